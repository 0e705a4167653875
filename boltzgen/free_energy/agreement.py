"""Whether the populations of several independent samples agree: chi-squared tests, one for each state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import chi2

from boltzgen.free_energy.result import warnings_of
from boltzgen.weights import normalized_weights

#: Effective draws that each sample must be expected to have in a state, and outside of it, for a test.
LEAST_EXPECTED = 5.0
#: Chance of a false alarm, over all states together.
_ALARM = 0.05


@dataclass(frozen=True)
class Agreement:
    """The populations of one state in several samples.

    Attributes:
        name: of the state.
        populations: its share of each sample's weight.
        standard_errors: of each; None where they are not estimated, see `result.warnings_of`.
        chi_squared: sum of squared deviations from the common population over their variances; None where a
            sample has too few effective draws, or weights that are not to be trusted.
        degrees_of_freedom: samples, less one.
        probability: of so large a value, or a larger one, if all samples are of one distribution; small where
            they do not agree.
    """

    name: str
    populations: list[float]
    standard_errors: list[float | None]
    chi_squared: float | None
    degrees_of_freedom: int
    probability: float | None


def agreement(
    labels: Sequence[np.ndarray], log_w: Sequence[np.ndarray], names: Sequence[str]
) -> list[Agreement]:
    """Whether independent samples agree in the populations of states.

    With p_s the population in sample s, and m_s = p_s (1 - p_s) / error_s^2 as many equal draws as would have
    its error, this is Pearson's test of homogeneity: the common population is p = sum m_s p_s / sum m_s, and
    chi^2 = sum m_s (p_s - p)^2 / (p (1 - p)) has one degree of freedom fewer than there are samples.

    Args:
        labels: state of each draw, int (n,), index into `names` or -1 for none; for each sample.
        log_w: log-weights (n,); for each sample.
        names: of the states.

    Returns:
        One entry for each state, in order.
    """
    samples = [_Shares(one, w, len(names)) for one, w in zip(labels, log_w, strict=True)]
    found = []
    for k, name in enumerate(names):
        p = np.array([s.population[k] for s in samples])
        m = np.array([s.size[k] for s in samples])
        common = float(m @ p / m.sum())
        expected = m.min() * min(common, 1.0 - common)
        value = None
        if len(samples) > 1 and expected >= LEAST_EXPECTED and all(s.is_trusted for s in samples):
            value = float(m @ np.square(p - common)) / (common * (1.0 - common))
        freedom = len(samples) - 1
        found.append(
            Agreement(
                name,
                p.tolist(),
                [float(s.error[k]) if s.is_trusted else None for s in samples],
                value,
                freedom,
                None if value is None else float(chi2.sf(value, freedom)),
            )
        )
    return found


def agreement_in_words(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[str, bool]:
    """Whether several samples agree, in a sentence; and whether they are known not to.

    Args:
        found: of each group of states, `Agreement` as dictionaries.
    """
    tested = [(group, row) for group, rows in found.items() for row in rows if row["probability"] is not None]
    if not tested:
        return (
            "whether the samples agree is not known: no state has the effective draws in every sample that a "
            f"test needs, {LEAST_EXPECTED:g} in it and outside it. Draw more",
            True,
        )
    freedom = tested[0][1]["degrees_of_freedom"]
    degrees = f"(chi-squared with {freedom} degree{'s' * (freedom > 1)} of freedom)"
    worst = [pair for pair in tested if pair[1]["probability"] < _ALARM / len(tested)]
    if worst:
        names = ", ".join(state_in_words(group, row, several=len(found) > 1) for group, row in worst)
        return (
            f"the samples do not agree in {names}: a difference as large is less likely than {_ALARM:g} over "
            f"all {len(tested)} states if all are of one distribution. Weights too heavy for their errors "
            f"are a cause: draw more, or train longer {degrees}",
            True,
        )
    return (
        f"the samples agree in {len(tested)} states that could be tested: no probability is below "
        f"{_ALARM:g} / {len(tested)} {degrees}",
        False,
    )


def state_in_words(group: str, row: Mapping[str, Any], *, several: bool) -> str:
    """A state's name, with its group's where there are several."""
    return f"{group} {row['name']}" if several else str(row["name"])


class _Shares:
    """Populations of one sample with their errors, and as many equal draws as would have these."""

    def __init__(self, labels: np.ndarray, log_w: np.ndarray, n_states: int) -> None:
        if not np.isfinite(log_w).any():
            # Without any weight there is nothing to compare.
            self.population: np.ndarray = np.zeros(n_states)
            self.error = self.size = self.population
            self.is_trusted = False
            return
        w = normalized_weights(torch.from_numpy(np.asarray(log_w, dtype=np.float64))).numpy()
        index = np.asarray(labels) + 1
        p = np.bincount(index, w, minlength=n_states + 1)[1:]
        square = np.bincount(index, np.square(w), minlength=n_states + 1)[1:]
        whole = float(np.square(w).sum())
        variance = np.maximum(square * (1 - 2 * p) + whole * p**2, 0.0)
        self.population, self.error = p, np.sqrt(variance)
        inside = (p > 0) & (p < 1) & (variance > 0)
        self.size = np.divide(p * (1 - p), variance, out=np.full(n_states, 1.0 / whole), where=inside)
        self.is_trusted = not warnings_of(log_w)
