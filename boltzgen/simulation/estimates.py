"""Estimates from a ladder of temperatures: MBAR, with errors from a bootstrap over independent walkers."""

import contextlib
import io
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from boltzgen import units

_BINS = 4000


def _pymbar() -> Any:
    """pymbar, without what it prints on being imported."""
    logging.getLogger("pymbar").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        import pymbar
        from pymbar import timeseries
    return pymbar, timeseries


def mbar(potential: np.ndarray, temperatures: np.ndarray, target: float) -> tuple[np.ndarray, np.ndarray]:
    """Reduced free energies of the ladder, and log-weights of every frame at the target temperature.

    MBAR (Shirts & Chodera, J. Chem. Phys. 129, 124105, 2008).

    Args:
        potential: U, (..., n_temperatures) in kJ/mol.
        temperatures: (n_temperatures,) in K, of the last axis.
        target: temperature in K.

    Returns:
        (f, log_w): reduced free energies f_k = -ln Z_k with f_0 = 0, (n_temperatures,); log-weights that sum
        to one at the target, as `potential`.
    """
    pymbar, _ = _pymbar()
    beta = 1.0 / (units.MOLAR_GAS_CONSTANT * np.asarray(temperatures))
    u = np.moveaxis(potential, -1, 0).reshape(len(beta), -1)
    n_each = np.full(len(beta), u.shape[1])
    # Energies relative to their mean keep exponents small.
    flat = u.ravel() - u.mean()
    f = np.asarray(pymbar.MBAR(np.outer(beta, flat), n_each).f_k)
    log_w = _log_weights(flat, f, beta, n_each, 1.0 / (units.MOLAR_GAS_CONSTANT * target))
    log_w = np.moveaxis(log_w.reshape(np.moveaxis(potential, -1, 0).shape), 0, -1)
    return f + (beta - beta[0]) * u.mean(), log_w - np.logaddexp.reduce(log_w, axis=None)


def _log_weights(
    u: np.ndarray, f: np.ndarray, beta: np.ndarray, n_each: np.ndarray, target: float
) -> np.ndarray:
    """Unnormalised log-weights at inverse temperature `target` of energies u from the whole ladder.

    They are -target u - ln sum_j N_j exp(f_j - beta_j u).
    """
    mixture = np.full(u.shape, -np.inf)
    for b, free, n in zip(beta, f, n_each, strict=True):
        np.logaddexp(mixture, np.log(n) + free - b * u, out=mixture)
    return -target * u - mixture


@dataclass(frozen=True)
class Populations:
    """Shares of named regions at one temperature.

    Attributes:
        names: of the regions.
        share, error: value and standard error of each, (n,).
    """

    names: tuple[str, ...]
    share: np.ndarray
    error: np.ndarray


class WalkerBootstrap:
    """A bootstrap over walkers in which MBAR is solved anew for each replicate.

    MBAR's equations need of a frame only its energy. Each walker's frames are therefore counted in narrow
    bins of energy, at their mean energy there: the estimates differ from those of single frames by the square
    of the bins' width.

    Args:
        potential: U, (n_frames, n_walkers, n_temperatures) in kJ/mol.
        temperatures: (n_temperatures,) in K.
        target: temperature in K.
        n_replicates: of the bootstrap.
        seed: of the bootstrap.
    """

    def __init__(
        self,
        potential: np.ndarray,
        temperatures: np.ndarray,
        target: float,
        *,
        n_replicates: int = 200,
        seed: int = 0,
    ) -> None:
        n_frames, self.n_walkers, _ = potential.shape
        self.beta = 1.0 / (units.MOLAR_GAS_CONSTANT * np.asarray(temperatures))
        self.target = 1.0 / (units.MOLAR_GAS_CONSTANT * target)
        self.per_walker = n_frames
        edges = np.linspace(potential.min(), np.nextafter(potential.max(), np.inf), _BINS + 1)
        self.bin = np.clip(np.searchsorted(edges, potential, side="right") - 1, 0, _BINS - 1)
        self.counts = self.count(np.ones(potential.shape, dtype=bool))
        total = np.bincount(self.bin.ravel(), potential.ravel(), minlength=_BINS)
        everywhere = self.counts.sum(0)
        occupied = everywhere > 0
        self.u = np.where(occupied, total / np.maximum(everywhere, 1), 0.0)
        self.shift = potential.mean()
        rng = np.random.default_rng(seed)
        self.draws = rng.multinomial(
            self.n_walkers, np.full(self.n_walkers, 1.0 / self.n_walkers), size=n_replicates
        )
        self.solution = self._free_energies(np.ones(self.n_walkers), np.zeros(len(self.beta)))
        self.solutions = np.stack([self._free_energies(d, self.solution) for d in self.draws])

    def count(self, chosen: np.ndarray) -> np.ndarray:
        """Frames of each walker in each bin of energy, (n_walkers, n_bins).

        Only those are counted that are `chosen`, bool like the energies.
        """
        walkers = np.broadcast_to(np.arange(self.n_walkers)[None, :, None], chosen.shape)
        index = (walkers * _BINS + self.bin)[chosen]
        return (
            np.bincount(index, minlength=self.n_walkers * _BINS)
            .reshape(self.n_walkers, _BINS)
            .astype(np.float64)
        )

    def populations(self, labels: np.ndarray, names: tuple[str, ...]) -> Populations:
        """Shares of regions at the target temperature, with their standard errors.

        Args:
            labels: region of each frame, int like the energies: an index into `names`, or -1 for none.
            names: of the regions.
        """
        members = np.stack([self.count(labels == k) for k in range(len(names))])
        share = self._shares(np.ones(self.n_walkers), members, self.solution)
        replicates = np.stack(
            [self._shares(d, members, f) for d, f in zip(self.draws, self.solutions, strict=True)]
        )
        return Populations(names, share, replicates.std(0, ddof=1))

    def free_energies(self) -> tuple[np.ndarray, np.ndarray]:
        """Reduced free energies f_k - f_0 of the ladder, and their standard errors, (n_temperatures,)."""
        return self.solution + (self.beta - self.beta[0]) * self.shift, self.solutions.std(0, ddof=1)

    def _free_energies(self, multiplicity: np.ndarray, f: np.ndarray) -> np.ndarray:
        """MBAR's reduced free energies, f_0 = 0, with walkers counted so many times.

        By its self-consistent equations, from f.
        """
        counts = multiplicity @ self.counts
        occupied = counts > 0
        log_counts, u = np.log(counts[occupied]), self.u[occupied] - self.shift
        n_each = np.full(len(self.beta), multiplicity.sum() * self.per_walker)
        for _ in range(2000):
            rest = log_counts + _log_weights(u, f, self.beta, n_each, 0.0)
            new = -np.logaddexp.reduce(rest[None, :] - self.beta[:, None] * u[None, :], axis=1)
            new -= new[0]
            done = np.abs(new - f).max() < 1e-7
            f = new
            if done:
                break
        return f

    def _shares(self, multiplicity: np.ndarray, members: np.ndarray, f: np.ndarray) -> np.ndarray:
        n_each = np.full(len(self.beta), multiplicity.sum() * self.per_walker)
        log_w = _log_weights(self.u - self.shift, f, self.beta, n_each, self.target)
        w = np.exp(log_w - log_w.max())
        shares: np.ndarray = (members @ w) @ multiplicity / ((multiplicity @ self.counts) @ w)
        return shares


def correlation_time(series: np.ndarray) -> float:
    """Statistical inefficiency g >= 1, in frames, of a quantity followed over many walkers.

    By pymbar.timeseries (Chodera et al., J. Chem. Theory Comput. 3, 26, 2007).

    Args:
        series: the quantity, (n_frames, n_walkers).
    """
    _, timeseries = _pymbar()
    if np.ptp(series) == 0 or len(series) < 4:
        return 1.0
    return float(
        timeseries.statistical_inefficiency_multiple(
            [np.ascontiguousarray(s, dtype=np.float64) for s in series.T]
        )
    )
