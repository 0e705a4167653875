"""The numbers that define a training run."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

#: Rules that choose the next temperature.
ANNEALING = ("ess", "trust_region")


@dataclass(frozen=True)
class Settings:
    """How a generator is trained: reverse KL at a high temperature, adaptive annealing, then refinement at the target temperature.

    With data, maximum likelihood takes the place of the first two, and the refinement is left out unless energies are used as well.

    Attributes:
        start_temperature: K, where reverse KL loses no mode.
        warmup_rounds, warmup_steps, warmup_batch, warmup_rate: reverse KL; steps in each round, draws in each step, learning rate.
        warmup_cap: kT above the median at which clashes are compressed, see `reverse_kl`.
        round_samples: draws, each with one energy, at the start of every annealing round.
        hot_temperature, hot_share: once annealing passes this temperature [K], torsions of this share of the draws come from the flow before.
        annealing: what chooses the next temperature: "ess" (`next_temperature`) or "trust_region" (`trust_region_temperature`).
        keep, at_most: for "ess": the next temperature keeps this share of the present efficiency.
        trust, entropy: for "trust_region": bounds in nats on the KL divergence and the entropy's decrease from one temperature to the next.
        replay: rounds whose draws are trained on.
        spread, boost: oversampling of rarely visited torsions, see `Replay.draw_batches`.
        anneal_steps, anneal_batch, anneal_rate: training in each annealing round; the rate falls by a cosine to a tenth.
        final_rounds, final_steps, final_batch, final_rate: refinement at the target on fresh draws, see `hierarchical_kl`; the rate falls by one
            cosine to zero over all rounds.
        kl_weight: the loss in annealing is `log_dispersion` plus this much of `forward_kl`, whose gradient is noisy even at the optimum.
        average_decay: decay of the exponential average of the weights in the refinement, per step.
        max_norm: gradients are scaled down to this norm.
        data_rounds, data_steps, data_batch, data_rate: training on data; the rate falls by one cosine to zero over all rounds.
        data_patience: it ends after so many rounds without a better likelihood of the frames held out; the best round's parameters are kept.
        data_decay: the rate times this is the share by which the weight matrices shrink in each step of maximum likelihood, against overfitting.
        data_share: share of data in each batch of the refinement.
        data_weight: what `forward_kl` on the data counts beside the log-dispersion where energies are used as well.
    """

    start_temperature: float = 1200.0
    warmup_rounds: int = 3
    warmup_steps: int = 100
    warmup_batch: int = 1024
    warmup_rate: float = 2e-3
    warmup_cap: float = 30.0
    round_samples: int = 65536
    hot_temperature: float = 600.0
    hot_share: float = 0.3
    annealing: str = "ess"
    keep: float = 0.6
    at_most: float = 0.5
    trust: float = 0.3
    entropy: float = 5.0
    replay: int = 6
    spread: float = 0.75
    boost: float = 100.0
    anneal_steps: int = 100
    anneal_batch: int = 1024
    anneal_rate: float = 4e-3
    final_rounds: int = 42
    final_steps: int = 100
    final_batch: int = 2048
    final_rate: float = 8e-3
    kl_weight: float = 0.1
    average_decay: float = 0.95
    max_norm: float = 100.0
    data_rounds: int = 8
    data_steps: int = 90
    data_batch: int = 1024
    data_rate: float = 1e-2
    data_decay: float = 5.0
    data_patience: int = 3
    data_share: float = 0.5
    data_weight: float = 0.1

    def __post_init__(self) -> None:
        if self.annealing not in ANNEALING:
            raise ValueError(f"unknown rule {self.annealing!r} for the setting annealing; known: {', '.join(ANNEALING)}")
        if not (self.trust > 0 and self.entropy > 0):
            raise ValueError(f"expected positive bounds, got trust {self.trust} and entropy {self.entropy} nats")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"unknown training settings {sorted(unknown)}; known: {[f.name for f in fields(cls)]}")
        return cls(**values)


#: Named settings: "full" is the default, and what the shipped checkpoints are made with.
PRESETS = {"full": Settings(), "quick": Settings(warmup_rounds=1, round_samples=16384, final_rounds=4)}
