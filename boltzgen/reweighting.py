"""Importance weights: their diagnostics, the partition function, and the samples that carry them.

Everything here works on log-weights ``log_w = -u - log_q`` of draws from q, computes in float64 and in log space, and accepts
-inf for a draw of weight zero (one outside the target's domain).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import torch
from torch import Tensor

from boltzgen.coordinates.geometry import dihedral
from boltzgen.perception import Quadruple

if TYPE_CHECKING:
    from boltzgen.free_energy import BasinPopulation, FreeEnergyDifference
    from boltzgen.named_torsions import Rotamer
    from boltzgen.system import Basin


def log_weights(u: Tensor, log_q: Tensor) -> Tensor:
    """``log_w = -u - log_q``, float64 (...), of reduced energies u [kT] and log-densities log_q; -inf where u is not finite.

    Raises:
        ValueError: log_q is NaN or -inf where u is finite: such a draw has no weight, finite or zero.
    """
    u, log_q = u.detach().double(), log_q.detach().double()
    finite = torch.isfinite(u)
    bad = finite & (torch.isnan(log_q) | (log_q == -math.inf))
    if bad.any():
        raise ValueError(f"{int(bad.sum())} of {bad.numel()} draws have a finite energy but a log-density of NaN or -inf; check the flow's log_prob")
    return torch.where(finite, -u - log_q, -math.inf)


def normalized_weights(log_w: Tensor) -> Tensor:
    """Weights that sum to one, float64 (n,), of log-weights (n,).

    Raises:
        ValueError: a log-weight is NaN or +inf, there are none, or all are -inf. So do all functions below.

    >>> normalized_weights(torch.tensor([0.0, math.log(3.0), -math.inf]))
    tensor([0.2500, 0.7500, 0.0000], dtype=torch.float64)
    """
    return torch.softmax(_checked(log_w), dim=0)


def effective_sample_size(log_w: Tensor) -> float:
    """Kish's effective sample size (sum w)^2 / sum w^2, between 1 and n (Kish, Survey Sampling, 1965)."""
    return 1.0 / float(normalized_weights(log_w).square().sum())


def sampling_efficiency(log_w: Tensor) -> float:
    """Effective sample size over the number of draws, those of weight zero included; between 0 and 1."""
    return effective_sample_size(log_w) / log_w.numel()


def largest_weight_share(log_w: Tensor) -> float:
    """The share of the total weight that the heaviest draw holds."""
    return float(normalized_weights(log_w).max())


def clip_log_weights(log_w: Tensor, fraction: float = 1e-4) -> Tensor:
    """Log-weights (n,) float64 with the top `fraction` of them set to the smallest among that top; order is kept.

    floor(n * fraction) weights are touched, so none below n = 1 / fraction, and with one nothing changes. This biases every
    estimate made from them: it is a diagnostic of how much of a low efficiency is due to single outliers (the convention
    of TA-BG, Schopmans & Friederich 2025, arXiv:2501.19077).
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"expected a fraction of weights to clip in [0, 1), got {fraction}")
    values = _checked(log_w)
    n_clipped = min(math.floor(values.numel() * fraction + 1e-9), int(torch.isfinite(values).sum()))
    if n_clipped == 0:
        return values.clone()
    return values.clamp(max=torch.topk(values, n_clipped).values[-1])


def log_z(log_w: Tensor) -> tuple[float, float]:
    """log Z of the target on its domain, and its standard error: the log of the mean weight, Z = E_q[w].

    The error is the delta method's, std(w) / (sqrt(n) mean(w)) = sqrt((n / ESS - 1) / (n - 1)); inf for one draw. It is as reliable as
    the largest weights are well sampled: read it together with `largest_weight_share`.
    """
    values = _checked(log_w)
    n = values.numel()
    estimate = float(torch.logsumexp(values, dim=0)) - math.log(n)
    if n == 1:
        return estimate, math.inf
    return estimate, math.sqrt(max(n / effective_sample_size(values) - 1.0, 0.0) / (n - 1))


def dihedrals(x: Tensor, atoms: Quadruple) -> Tensor:
    """The torsion of four atoms in every conformation, (...) in (-pi, pi], of positions x (..., n_atoms, 3)."""
    a, b, c, d = atoms
    return dihedral(x[..., a, :], x[..., b, :], x[..., c, :], x[..., d, :])


class Molecule(Protocol):
    """What samples need to know of their molecule to name regions: a `System`, or the header of a samples file."""

    @property
    def torsions(self) -> Mapping[str, Quadruple]: ...

    @property
    def rotamers(self) -> Mapping[str, "Rotamer"]: ...

    @property
    def basins(self) -> Sequence["Basin"]: ...


@dataclass(frozen=True, eq=False)
class WeightedSamples:
    """Conformations drawn from q with their importance weights to the target.

    Attributes:
        x: positions, float32 (n, n_atoms, 3) in nm.
        u: reduced energies of the target, float64 (n,) in kT; non-finite outside the domain.
        log_q: log-density of each draw, float64 (n,).
        log_w: ``-u - log_q``, float64 (n,); -inf where u is not finite. `from_energies` computes it.
        system: the molecule, for torsions and basins; optional.

    Raises:
        ValueError: shapes do not agree.
    """

    x: Tensor
    u: Tensor
    log_q: Tensor
    log_w: Tensor
    system: Molecule | None = None

    def __post_init__(self) -> None:
        if self.x.dim() != 3 or self.x.shape[-1] != 3:
            raise ValueError(f"expected positions x of shape (n, n_atoms, 3) in nm, got {tuple(self.x.shape)}")
        object.__setattr__(self, "x", self.x.detach().to(torch.float32))
        for name in ("u", "log_q", "log_w"):
            value = getattr(self, name)
            if value.shape != (len(self.x),):
                raise ValueError(f"expected {name} of shape ({len(self.x)},), one value for each conformation, got {tuple(value.shape)}")
            object.__setattr__(self, name, value.detach().to(torch.float64))

    @classmethod
    def from_energies(cls, x: Tensor, u: Tensor, log_q: Tensor, system: Molecule | None = None) -> Self:
        """Samples with ``log_w = -u - log_q``; see `log_weights`."""
        return cls(x, u, log_q, log_weights(u, log_q), system)

    @classmethod
    def concatenate(cls, parts: Iterable[Self]) -> Self:
        """One object from several, in order; the first one's `system`."""
        found = list(parts)
        if not found:
            raise ValueError("expected at least one WeightedSamples to concatenate, got none")
        x, u, log_q, log_w = (torch.cat([getattr(p, name) for p in found]) for name in ("x", "u", "log_q", "log_w"))
        return cls(x, u, log_q, log_w, found[0].system)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: slice | Tensor) -> "WeightedSamples":
        """The conformations of a slice, a boolean mask or an index tensor."""
        if not isinstance(index, slice | Tensor):
            raise TypeError(f"expected a slice or a tensor of indices, got {type(index).__name__}; for one conformation use samples[i : i + 1]")
        return WeightedSamples(self.x[index], self.u[index], self.log_q[index], self.log_w[index], self.system)

    @property
    def effective_sample_size(self) -> float:
        """Kish's effective number of conformations."""
        return effective_sample_size(self.log_w)

    @property
    def sampling_efficiency(self) -> float:
        """Effective sample size over the number of draws."""
        return sampling_efficiency(self.log_w)

    @property
    def log_z(self) -> tuple[float, float]:
        """log Z of the target on its domain and its standard error."""
        return log_z(self.log_w)

    def resample(self, n: int, seed: int = 0) -> "WeightedSamples":
        """n conformations of equal weight (log_w = 0), drawn with replacement in proportion to the weights; u and log_q go along."""
        return _with_equal_weights(self[resampled_indices(self.log_w, n, seed)])

    def torsion(self, name: str) -> Tensor:
        """The named torsion (``"phi"``, ``"chi1_3"``, ...; see `System.torsions`) of every conformation, float32 (n,) in (-pi, pi]."""
        torsions = self._molecule().torsions
        if name not in torsions:
            raise ValueError(f"no torsion called {name!r} in this molecule; it has: {', '.join(torsions) or 'none'}")
        return dihedrals(self.x, torsions[name])

    def populations(self, **options: Any) -> "list[BasinPopulation]":
        """Weighted populations of the molecule's basins with intervals; options are `free_energy.basin_populations`'s."""
        from boltzgen.free_energy import basin_populations

        labels, names = self._labels()
        return basin_populations(labels, self.log_w.numpy(force=True), names, **options)

    def rotamer_populations(self, **options: Any) -> "dict[str, list[BasinPopulation]]":
        """Weighted populations of the states of each torsion of `System.rotamers`, with intervals; options are `free_energy.basin_populations`'s."""
        from boltzgen.free_energy import basin_populations
        from boltzgen.rotamers import DIVISIONS, rotamer_labels

        log_w = self.log_w.numpy(force=True)
        return {
            name: basin_populations(rotamer_labels(self.x, rotamer), log_w, DIVISIONS[rotamer.division].states, **options)
            for name, rotamer in self._molecule().rotamers.items()
        }

    def free_energy_difference(self, start: str, end: str, **options: Any) -> "FreeEnergyDifference":
        """F(end) - F(start) between two basins in kT, with its 95 % interval; options are `free_energy.free_energy_difference`'s."""
        from boltzgen.free_energy import free_energy_difference

        labels, names = self._labels()
        return free_energy_difference(labels, self.log_w.numpy(force=True), names, start, end, **options)

    def _labels(self) -> tuple[Any, list[str]]:
        from boltzgen.free_energy import assign_basins

        basins = self._molecule().basins
        labels = assign_basins(self.torsion("phi").numpy(force=True), self.torsion("psi").numpy(force=True), basins)
        return labels, [b.name for b in basins]

    def _molecule(self) -> Molecule:
        if self.system is None:
            raise ValueError("these samples carry no molecule, so torsions and basins are unknown; set `system` when making WeightedSamples")
        return self.system


def resampled_indices(log_w: Tensor, n: int, seed: int = 0) -> Tensor:
    """n indices, int64 (n,), drawn independently with probabilities proportional to the weights."""
    if n < 1:
        raise ValueError(f"expected to draw at least one conformation, got n = {n}")
    cumulative = normalized_weights(log_w).cumsum(0).cpu()
    points = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * cumulative[-1]
    # right=True: a point equal to a boundary belongs to the next draw, so draws of weight zero are never chosen.
    return torch.searchsorted(cumulative, points, right=True).to(log_w.device)


def _with_equal_weights(samples: WeightedSamples) -> WeightedSamples:
    return WeightedSamples(samples.x, samples.u, samples.log_q, torch.zeros_like(samples.log_w), samples.system)


def _checked(log_w: Tensor) -> Tensor:
    """`log_w` as float64 (n,) without gradient; ValueError unless it can be normalised."""
    if log_w.dim() != 1 or log_w.numel() == 0:
        raise ValueError(f"expected log-weights of shape (n,) with n >= 1, got {tuple(log_w.shape)}")
    values = log_w.detach().double()
    if torch.isnan(values).any() or (values == math.inf).any():
        n_bad = int((torch.isnan(values) | (values == math.inf)).sum())
        raise ValueError(f"{n_bad} of {values.numel()} log-weights are NaN or +inf; expected finite values, or -inf for weight zero")
    if (values == -math.inf).all():
        raise ValueError(f"all {values.numel()} weights are zero: no draw lies where the target's energy is finite; train longer, or draw more")
    return values
