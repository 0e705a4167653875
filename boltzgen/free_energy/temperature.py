"""State functions and populations at other temperatures than that of the draws, by reweighting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from boltzgen.free_energy.means import Errors, probability
from boltzgen.free_energy.result import Result, joined
from boltzgen.free_energy.state_functions import energy, free_energy, heat_capacity, minus_ts
from boltzgen.units import kelvin
from boltzgen.weights import effective_sample_size, psis_k_hat


@dataclass(frozen=True)
class AtTemperature:
    """What draws say of one temperature.

    Attributes:
        temperature: in K.
        free_energy, energy, minus_ts: F, U and -T S in kT of this temperature.
        heat_capacity: over k, at constant volume, configurational.
        populations: of each named condition.
        n_effective, k_hat: of the weights at this temperature.
    """

    temperature: float
    free_energy: Result
    energy: Result
    minus_ts: Result
    heat_capacity: Result
    populations: dict[str, Result]
    n_effective: float
    k_hat: float

    @property
    def results(self) -> dict[str, Result]:
        """All of them by name."""
        own = {f.name: value for f in fields(self) if isinstance(value := getattr(self, f.name), Result)}
        return own | self.populations

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of all results, each once."""
        return joined(*(found.warnings for found in self.results.values()))

    @property
    def is_trusted(self) -> bool:
        """No warning of the state functions."""
        return self.free_energy.is_trusted and self.energy.is_trusted and self.heat_capacity.is_trusted


def reweighted(
    u: np.ndarray, log_w: np.ndarray, temperature: float, other: float
) -> tuple[np.ndarray, np.ndarray]:
    """Reduced energies and log-weights (n,) at another temperature T' [K] than the T that u and log_w are of.

    u' = u T / T' and log w' = log w + u - u', which is exact where the potential energy itself does not
    depend on the temperature. So it is for OpenMM's force fields in vacuum and for its implicit solvents
    without salt; the screening length of salt, and dielectric constants as functions of T, would be kept at
    their values at T.

    Raises:
        ValueError: a temperature that is not positive.
    """
    u, log_w = np.asarray(u, dtype=np.float64), np.asarray(log_w, dtype=np.float64)
    scaled = u * (kelvin(temperature) / kelvin(other))
    with np.errstate(invalid="ignore"):
        return scaled, np.where(np.isfinite(log_w), log_w + u - scaled, -np.inf)


def at_temperatures(
    u: np.ndarray,
    log_w: np.ndarray,
    temperature: float,
    at: Sequence[float],
    *,
    conditions: Mapping[str, np.ndarray] | None = None,
    errors: Errors = "analytic",
    seed: int = 0,
) -> list[AtTemperature]:
    """F(T), U(T), -T S, the heat capacity and populations at each temperature, from draws made for one.

    The draws may come from one generator, or from several pooled by `mixture_log_q`. Those made for the
    highest temperature reach lowest: from below, high energies are not drawn. Far off few draws decide, and
    every result warns: see `trusted_range`. Results at different temperatures are of the same draws, and
    their errors are correlated.

    Args:
        u: reduced energies (n,) at `temperature`.
        log_w: log-weights (n,) to the target at `temperature`.
        temperature: in K.
        at: temperatures in K.
        conditions: booleans (n,) of which draws are in a state, by the state's name.
        errors: ``"analytic"`` or ``"bootstrap"``; populations are always analytic.
        seed: of the bootstrap.

    Returns:
        One for each temperature, in order.
    """
    found = []
    for other in at:
        v, weights = reweighted(u, log_w, temperature, other)
        options: Any = {"temperature": kelvin(other), "errors": errors, "seed": seed}
        found.append(
            AtTemperature(
                temperature=kelvin(other),
                free_energy=free_energy(weights, **options),
                energy=energy(v, weights, **options),
                minus_ts=minus_ts(v, weights, **options),
                heat_capacity=heat_capacity(v, weights, errors=errors, seed=seed),
                populations={
                    name: probability(inside, weights) for name, inside in (conditions or {}).items()
                },
                n_effective=effective_sample_size(torch.from_numpy(weights)),
                k_hat=psis_k_hat(weights),
            )
        )
    return found


def trusted_range(points: Sequence[AtTemperature], temperature: float) -> tuple[float, float] | None:
    """Lowest and highest of temperatures [K] next to each other about `temperature` that have no warning.

    None if the nearest one has one.
    """
    ordered = sorted(points, key=lambda point: point.temperature)
    if not ordered:
        return None
    start = min(range(len(ordered)), key=lambda k: abs(ordered[k].temperature - temperature))
    if not ordered[start].is_trusted:
        return None
    low = high = start
    while low > 0 and ordered[low - 1].is_trusted:
        low -= 1
    while high < len(ordered) - 1 and ordered[high + 1].is_trusted:
        high += 1
    return ordered[low].temperature, ordered[high].temperature


def mixture_log_q(log_q: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Log-density (n,) of the mixture that draws of several generators together are from.

    With -u - mixture_log_q as log-weights all estimates here are those of MBAR (Shirts and Chodera, J. Chem.
    Phys. 129, 124105, 2008) whose sampled states are the generators' densities with their known
    normalisation, f = 0; the balance heuristic of Veach and Guibas (1995). Their errors, which take the
    draws as independent ones of the mixture, are a little too large.

    Args:
        log_q: log-densities (n_generators, n) of every draw under every generator, -inf where it cannot be.
        counts: draws from each generator, n in all.

    Raises:
        ValueError: shapes do not agree.
    """
    log_q = np.asarray(log_q, dtype=np.float64)
    drawn = np.asarray(counts)
    if log_q.ndim != 2 or drawn.shape != log_q.shape[:1] or drawn.sum() != log_q.shape[1]:
        raise ValueError(
            f"expected `log_q` of shape (generators, draws) and draws of each, got {log_q.shape} and "
            f"{drawn.tolist()}"
        )
    with np.errstate(divide="ignore"):
        return np.logaddexp.reduce(log_q + np.log(drawn / drawn.sum())[:, None], axis=0)
