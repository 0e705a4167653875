"""How much of a simulation is burn-in, and whether what is left is stationary."""

from dataclasses import dataclass, replace
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
#: Round trips between the lowest and the highest temperature after which replicas have forgotten where they
#: began; a whole simulation takes twice as many, at least.
ROUND_TRIPS = 7.0
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
        round_trips: of a replica in the mean, up to the last frame; None where they do not matter.
    """

    burn_in: int
    stationary: bool | None
    whole: Evidence | None
    kept: Evidence | None
    series: Series
    round_trips: float | None = None

    @property
    def is_short(self) -> bool:
        """Whether replicas made too few round trips to forget their starts and then to sample."""
        return self.whole is not None and self.round_trips is not None and self.round_trips < 2 * ROUND_TRIPS

    @property
    def text(self) -> str:
        """The verdict in a sentence."""
        if not self.series.names:
            return "not tested: the molecule has no named torsions"
        if self.whole is None:
            return f"not tested: {len(self.series)} frames are too few, {MIN_FRAMES} or more are needed"
        if self.is_short:
            return (
                "too short: replicas went up to the highest temperature and back "
                f"{self.round_trips:.1f} times in the mean, and {2 * ROUND_TRIPS:g} are needed; until then "
                "rare states keep a part of the shares that they had at the start"
            )
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
            "too_short": self.is_short,
            "round_trips_per_replica": self.round_trips,
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


def judge(series: Series, round_trips: np.ndarray | None = None) -> Verdict:
    """Choose the burn-in, and say whether the simulation is stationary.

    Sought are the fewest frames, up to a sixth, after which nothing is seen of the starts (a probability of
    `CLEAN` or more). Twice as many are burn-in: what has just become too small to be seen may still bias a
    share by two or three of its errors, and as many frames again let it fade by as much again.

    The simulation is not stationary if there are none so few, and all frames together show more than chance
    does (a probability below `FALSE_ALARMS`): false alarms are no more frequent than that. With fewer than
    `MIN_WALKERS` walkers both are a matter of split R-hat.

    In a short simulation a bias of several errors is too small for these tests. Replica exchange has a clock
    of its own: frames before `ROUND_TRIPS` are burn-in whatever the tests see, up to half of all, and a
    simulation of fewer than twice those is not called stationary.

    Args:
        series: the weight in each state.
        round_trips: that a replica has made in the mean until the end of each frame, (n_frames,).
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
    burn_in, trips = 2 * seen, None
    if round_trips is not None:
        trips = float(round_trips[-1])
        burn_in = max(burn_in, min(int((round_trips < ROUND_TRIPS).sum()), n // 2))
    kept = Evidence.of(series.after(burn_in), n_replicates=999) if burn_in else whole
    verdict = Verdict(burn_in, is_clean or not whole.is_strong, whole, kept, series, trips)
    return replace(verdict, stationary=False) if verdict.is_short else verdict


def _n_blocks(series: Series) -> int:
    return min(_N_BLOCKS, len(series) // 2)
