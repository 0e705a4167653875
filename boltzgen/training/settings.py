"""The numbers that define a training run."""

import math
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, Self

#: Learning rate of flows of up to `_SMALL` coordinates.
_RATE, _SMALL = 8e-3, 60
#: Units of narrow and of wide networks, and the rounds from which on a training is long.
_NARROW, _WIDE, _LONG = 128, 256, 100


def learning_rate_for(n_dims: int) -> float:
    """The learning rate for a flow of so many coordinates: 0.008 up to 60, then falling as their inverse.

    A step of one length in every parameter changes log q by more, the more coordinates add to it. The
    trainings that this rests on are in docs/results/training.md.
    """
    return _RATE * min(1.0, _SMALL / max(n_dims, 1))


def stiff_width_for(rounds: int) -> int:
    """Units in the hidden layers of the stiff coordinates' networks: 128, or 256 for 100 rounds or more.

    Narrow ones are faster, and short trainings need the rounds; long ones end better with wide ones. The
    trainings that this rests on are in docs/results/training.md#wide-networks-in-long-trainings.
    """
    return _WIDE if rounds >= _LONG else _NARROW


@dataclass(frozen=True)
class Settings:
    """How a generator is trained: on fresh draws in every step, while the temperature falls to the target's.

    With data, maximum likelihood comes in place of that, or where energies are used as well before it, and no
    temperature falls.

    Attributes:
        objective: what is minimised on energies, a name of `boltzgen.training.objectives.OBJECTIVES`.
        start_temperature: K, at which training begins; one where no mode is lost.
        annealing: share of the steps over which the temperature falls, by the same factor in each, to the
            target.
        walkers, walker_share: how many `Walkers` there are, and the share of the draws whose torsions come
            from them: so many move in each step.
        replays: updates of the torsions' flow after each step, each with torsions of the round's last steps,
            for each full torsion a quarter of a step's: they need no energy and no draw of the rest. None:
            one for up to four full torsions, two for more.
        rounds, steps, batch: steps in each round, draws in each step, each with one energy and gradient.
        learning_rate: after `warmup` steps in which it rises it is constant for the share `hold` of all
            steps, then falls by a cosine to zero. None: by the molecule's size, see `learning_rate_for`.
        torsion_weight_decay: decoupled weight decay of the torsions' weight matrices, in training on
            energies: without it their couplings and base can come to undo each other.
        average_decay: decay of the exponential average of the parameters, per step.
        max_norm: the gradients of the torsions' flow and of the rest's are each scaled down to so many times
            the running average of their norm.
        data_rounds, data_steps, data_batch, data_learning_rate: training on data; the learning rate falls by
            one cosine to zero over all rounds.
        data_patience: it ends after so many rounds without a better likelihood of the frames held out; the
            best round's parameters are kept.
        data_weight_decay: decoupled weight decay of the weight matrices in maximum likelihood, against
            overfitting.
        data_share: share of data in each batch where energies are used as well.
        data_weight: what `forward_kl` on the data counts beside the log-variance loss where energies are used
            as well.

    Raises:
        ValueError: `annealing` is not a share from 0 to below 1; or a setting is of the wrong kind, negative
            or not finite.
    """

    objective: str = "hierarchical_kl"
    start_temperature: float = 1200.0
    annealing: float = 0.5
    walkers: int = 1024
    walker_share: float = 0.125
    replays: int | None = None
    rounds: int = 140
    steps: int = 50
    batch: int = 1024
    learning_rate: float | None = None
    warmup: int = 20
    hold: float = 0.3
    torsion_weight_decay: float = 0.1
    average_decay: float = 0.95
    max_norm: float = 2.0
    data_rounds: int = 8
    data_steps: int = 90
    data_batch: int = 1024
    data_learning_rate: float = 1e-2
    data_weight_decay: float = 5.0
    data_patience: int = 3
    data_share: float = 0.5
    data_weight: float = 0.1

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "objective" or (field.name in ("learning_rate", "replays") and value is None):
                continue
            whole = field.type is int or field.name == "replays"
            right = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
            if not (right and 0 <= value < math.inf):
                kind = "a whole number" if whole else "a number"
                raise ValueError(f"expected as `{field.name}` {kind} from 0, got {value!r}")
        if not 0 <= self.annealing < 1:
            raise ValueError(
                f"expected for `annealing` a share of the steps from 0 to below 1, got {self.annealing}"
            )

    def for_size(self, n_dims: int) -> Self:
        """The same with a learning rate, for a flow of `n_dims` coordinates."""
        if self.learning_rate is not None:
            return self
        return replace(self, learning_rate=learning_rate_for(n_dims))

    @property
    def rate(self) -> float:
        """The learning rate; raises ValueError where it is still to be found, see `for_size`."""
        if self.learning_rate is None:
            raise ValueError("the learning rate depends on the molecule; call `for_size` first")
        return self.learning_rate

    def start(self, target: float) -> float:
        """The temperature [K] at which training towards one of `target` begins."""
        return max(self.start_temperature, target)

    def as_dict(self) -> dict[str, Any]:
        """All settings by name, as JSON holds them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The settings that `as_dict` gave; raises ValueError for names that are none."""
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(
                f"unknown training settings {sorted(unknown)}; known: {[f.name for f in fields(cls)]}"
            )
        return cls(**values)
