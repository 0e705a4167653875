"""How much of a simulation is burn-in, and whether what is left is stationary."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from boltzgen.simulation.states import Series
from boltzgen.simulation.stationarity import drift, memory, split_r_hat

#: How often a stationary simulation is called one that is not, at most.
FALSE_ALARMS = 0.005
#: Above this probability, frames show nothing of their starts: no more of them are left out.
CLEAN = 0.05
#: Fewer walkers than these allow for no test at `FALSE_ALARMS`: split R-hat decides, by the limit of Vehtari
#: et al. (2021).
MIN_WALKERS = 12
R_HAT = 1.01
#: Frames that any verdict takes.
MIN_FRAMES = 20
#: Starts may be seen in at most this part of the frames; it is searched in so many steps.
_MOST = 1 / 6
_N_STEPS = 10
_N_BLOCKS = 10


@dataclass(frozen=True, eq=False)
class Evidence:
    """What speaks against stationarity.

    Attributes:
        drift, memory: z of every state, see `stationarity`, (n_states,).
        probability: of as much evidence in a stationary simulation: twice the smaller of both tests'.
        by_drift: whether that is the test of drift.
        r_hat: split R-hat of every state, (n_states,).
        tested: whether there are enough walkers for the tests; else R-hat alone counts.
    """

    drift: np.ndarray
    memory: np.ndarray
    probability: float
    by_drift: bool
    r_hat: np.ndarray
    tested: bool

    @classmethod
    def of(cls, series: Series, *, n_replicates: int = 9999) -> "Evidence":
        """Of a series."""
        first, second = (test(series, n_replicates=n_replicates) for test in (drift, memory))
        return cls(
            drift=first.z,
            memory=second.z,
            probability=min(1.0, 2 * min(first.probability, second.probability)),
            by_drift=first.probability <= second.probability,
            r_hat=split_r_hat(series.residual),
            tested=series.n_walkers >= MIN_WALKERS,
        )

    @property
    def is_clean(self) -> bool:
        """Whether nothing is seen."""
        return self.probability >= CLEAN if self.tested else bool(self.r_hat.max() <= R_HAT)

    @property
    def is_strong(self) -> bool:
        """Whether it is more than chance."""
        return self.probability < FALSE_ALARMS if self.tested else bool(self.r_hat.max() > R_HAT)


@dataclass(frozen=True, eq=False)
class Verdict:
    """What is burn-in, and whether the rest is stationary.

    Attributes:
        burn_in: frames of each walker, at its beginning, that are left out.
        stationary: None if there are too few frames to tell, or no torsions.
        whole: the evidence in all frames, None if it cannot be told.
        kept: that in the frames that are kept.
        series: of all frames.
    """

    burn_in: int
    stationary: bool | None
    whole: Evidence | None
    kept: Evidence | None
    series: Series

    @property
    def text(self) -> str:
        """The verdict in a sentence."""
        if not self.series.names:
            return "not tested: the molecule has no named torsions"
        if self.whole is None:
            return f"not tested: {len(self.series)} frames are too few, {MIN_FRAMES} or more are needed"
        if self.stationary:
            return f"stationary after {self.burn_in} frames" if self.burn_in else "stationary"
        if not self.whole.tested:
            k = self._worst(self.whole.r_hat)
            return (
                f"walkers, or their halves, differ in the share of {self._name(k)}: split R-hat is "
                f"{self.whole.r_hat[k]:.2f}, above {R_HAT}"
            )
        if self.whole.by_drift:
            k = self._worst(self.whole.drift)
            shares = ", ".join(f"{100 * p:.2g}" for p in self.series.blocks(_n_blocks(self.series))[:, k])
            return f"the share of {self._name(k)} drifts: {shares} % in blocks of frames, one after the other"
        k = self._worst(self.whole.memory)
        began = self.series.starts[:, k]
        inside, weight = self.series.inside.sum(0)[:, k], self.series.weight.sum(0)
        there, elsewhere = (float(inside[g].sum() / weight[g].sum()) for g in (began, ~began))
        return (
            f"walkers remember where they began: the share of {self._name(k)} is {100 * there:.3g} % in "
            f"those that began there and {100 * elsewhere:.3g} % in the others"
        )

    def _worst(self, values: np.ndarray) -> int:
        """The state of largest absolute value; of equal ones, as two states of a torsion are, the rarest."""
        size = np.abs(values)
        ties = np.flatnonzero((size >= size.max() * (1 - 1e-6)) | (size == size.max()))
        return int(ties[self.series.share[ties].argmin()])

    def _name(self, k: int) -> str:
        return " ".join(self.series.names[k])

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON holds it: the verdict, its evidence, and the shares of each state over time."""
        result: dict[str, Any] = {
            "stationary": self.stationary,
            "text": self.text,
            "burn_in_frames": self.burn_in,
        }
        if self.whole is None or self.kept is None:
            return result
        blocks = self.series.blocks(_n_blocks(self.series))
        return result | {
            "probability": self.whole.probability if self.whole.tested else None,
            "probability_after_burn_in": self.kept.probability if self.kept.tested else None,
            "largest_r_hat": float(self.kept.r_hat.max()),
            "states": [
                {
                    "torsion": torsion,
                    "state": state,
                    "blocks": blocks[:, k].tolist(),
                    "z_drift": float(self.whole.drift[k]),
                    "z_memory": float(self.whole.memory[k]),
                    "r_hat": float(self.kept.r_hat[k]),
                }
                for k, (torsion, state) in enumerate(self.series.names)
            ],
        }


def judge(series: Series) -> Verdict:
    """Choose the burn-in, and say whether the simulation is stationary.

    Sought are the fewest frames, up to a sixth, after which nothing is seen of the starts (a probability of
    `CLEAN` or more). Twice as many are burn-in: what has just become too small to be seen may still bias a
    share by two or three of its errors, and as many frames again let it fade by as much again.

    The simulation is not stationary if there are none so few, and all frames together show more than chance
    does (a probability below `FALSE_ALARMS`): false alarms are no more frequent than that. With fewer than
    `MIN_WALKERS` walkers both are a matter of split R-hat.
    """
    n = len(series)
    if n < MIN_FRAMES or not series.names:
        return Verdict(0, None, None, None, series)
    whole = Evidence.of(series)
    seen, is_clean = 0, whole.is_clean
    for step in range(1, _N_STEPS + 1):
        if is_clean:
            break
        seen = round(n * _MOST * step / _N_STEPS)
        is_clean = Evidence.of(series.after(seen), n_replicates=999).is_clean
    kept = Evidence.of(series.after(2 * seen), n_replicates=999) if seen else whole
    return Verdict(2 * seen, is_clean or not whole.is_strong, whole, kept, series)


def _n_blocks(series: Series) -> int:
    return min(_N_BLOCKS, len(series) // 2)
