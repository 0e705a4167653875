"""One round of training after another, each from a saved state to the next."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from boltzgen.energy.base import CountedEnergy
from boltzgen.flow.flow import HierarchicalFlow
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.target import PullbackEnergy
from boltzgen.seeding import random_stream
from boltzgen.training.data import Data
from boltzgen.training.objectives import (
    MAX_WEIGHT,
    clipped_log_z,
    forward_kl,
    hierarchical_kl,
    importance_kl,
    log_variance_loss,
)
from boltzgen.training.optimizer import MatrixOptimizer
from boltzgen.training.progress import Progress, fraction_done
from boltzgen.training.settings import Settings
from boltzgen.training.walkers import Walkers
from boltzgen.weights import clip_log_weights, effective_sample_size, log_z, sampling_efficiency

logger = logging.getLogger(__name__)

#: Frames whose densities are computed together.
_BATCH = 8192
#: Decay of the running averages of the gradient's norms, per step.
_NORM_DECAY = 0.95


@dataclass
class TrainingState:
    """Everything that a run needs to go on, saved after each round.

    Attributes:
        stage: "data", "energies" or "done"; `stage_round` counts within it and `round_index` over the run.
        start_temperature, temperature: K at which training on energies begins, and at which the flow was
            trained last.
        norms: running average of the norm of each part's gradient, empty before the first step of a stage.
        average: exponential average of the flow's parameters, empty before the first step of a stage.
        best: the average after the round of the best likelihood of the frames held out, empty where there is
            no data.
        walkers, walkers_score, walkers_step: positions (n, n_atoms, 3) in nm of the walkers, their scores
            (n,) and time step in ps, see `Walkers`; None before the first round.
        metrics: one record for each round.
    """

    generator: BoltzmannGenerator
    optimizer: MatrixOptimizer
    stage: str = "energies"
    stage_round: int = 0
    round_index: int = 0
    start_temperature: float = 0.0
    temperature: float = 0.0
    seconds: float = 0.0
    norms: dict[str, float] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)
    walkers: Tensor | None = None
    walkers_score: Tensor | None = None
    walkers_step: float = 0.0
    metrics: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def using(self, parameters: dict[str, Tensor]) -> Iterator[HierarchicalFlow]:
        """The generator's flow with other parameters (none: its own) for as long as the block lasts."""
        flow = self.generator.flow
        if not parameters:
            yield flow
            return
        trained = {k: v.clone() for k, v in flow.state_dict().items()}
        flow.load_state_dict(parameters)
        try:
            yield flow
        finally:
            flow.load_state_dict(trained)


def start(generator: BoltzmannGenerator, settings: Settings, *, stage: str = "energies") -> TrainingState:
    """The state before the first round, at the temperature of the generator: "energies", or "data" to begin
    with data.
    """
    optimizer, temperature = MatrixOptimizer(generator.flow, settings.rate), generator.temperature
    return TrainingState(generator, optimizer, stage, start_temperature=temperature, temperature=temperature)


def learn_torsions(log_q: Tensor, u: Tensor, n_own: int) -> tuple[Tensor, Tensor]:
    """The loss of the torsions, summed over draws (n,) of which the first n_own are the flow's own, and the
    estimate of log Z in it.

    Own draws learn by `importance_kl`, others, that come from wherever walkers are, by `log_variance_loss` about
    the same log Z: where the flow has next to nothing, a slope of -1 for each, whatever is missing. Draws of
    infinite u have no part.
    """
    good, own = u.isfinite(), torch.arange(len(u), device=u.device) < n_own
    estimate = clipped_log_z(-(log_q.detach() + u)[:n_own])
    loss = n_own * importance_kl(log_q[good & own], u[good & own], estimate)
    if (others := good & ~own).any():
        loss = loss + (len(u) - n_own) * log_variance_loss(log_q[others], u[others], -estimate)
    return loss, estimate


class Trainer:
    """Trains a generator to its system's Boltzmann distribution at a target temperature [K].

    `run_round` takes the state through one round; all randomness in it derives from (seed, round), so that a
    round repeated from the same state gives the same result.
    """

    def __init__(
        self,
        energy: CountedEnergy,
        target_temperature: float,
        settings: Settings,
        *,
        seed: int,
        data: Data | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.energy, self.target, self.settings, self.seed, self.progress = (
            energy,
            target_temperature,
            settings,
            seed,
            progress,
        )
        self.data: Data | None = None
        self.held_out: Data | None = None
        if data is not None:
            self.data, self.held_out = data.split()

    def run_round(self, state: TrainingState) -> None:
        """Advance `state` by one round, in place."""
        began = time.perf_counter()
        stream = random_stream(state.generator.device, self.seed, state.round_index)
        record: dict[str, Any] = {"round": state.round_index, "stage": state.stage}
        record |= (
            self._on_data(state, stream, began)
            if state.stage == "data"
            else self._on_energies(state, stream, began)
        )
        if self.held_out is not None:
            record |= {"held_out_nll": self._held_out_nll(state)}
        state.generator.temperature = state.temperature
        state.seconds += time.perf_counter() - began
        state.metrics.append(
            record
            | {
                "temperature": state.temperature,
                "n_energy_evaluations": self.energy.n_evaluations,
                "seconds": state.seconds,
            }
        )
        state.round_index += 1
        if self.held_out is not None:
            self._keep_best(state)
        self._advance(state)

    def _advance(self, state: TrainingState) -> None:
        """Choose the next round's stage."""
        s = self.settings
        state.stage_round += 1
        following = state.stage
        if state.stage == "data" and (state.stage_round == s.data_rounds or self._is_stale(state)):
            state.generator.flow.load_state_dict(state.best)
            state.average = {}
            following = "energies" if self.mixed else "done"
        elif state.stage == "energies" and state.stage_round == s.rounds:
            following = "done"
        if following != state.stage:
            state.stage, state.stage_round, state.norms = following, 0, {}

    def temperature(self, start: float, step: int) -> float:
        """The temperature [K] of a step of the stage "energies" in a run that started at another one: the
        target's from the end of the cooling on.
        """
        cooled = (
            step / (self.settings.cooling * self.settings.rounds * self.settings.steps)
            if self.settings.cooling > 0
            else 1.0
        )
        return start * (self.target / start) ** min(cooled, 1.0)

    def _rate(self, step: int) -> float:
        s = self.settings
        done = step / (s.rounds * s.steps)
        falling = _cosine((done - s.hold) / (1 - s.hold)) if done > s.hold else 1.0
        return s.rate * min((step + 1) / s.warmup, 1.0) * falling

    def _on_energies(self, state: TrainingState, stream: torch.Generator, began: float) -> dict[str, Any]:
        """Train on fresh draws; the record is of the flow's own at the round's last temperature, each
        weighted by the parameters that made it.
        """
        s, generator, flow = self.settings, state.generator, state.generator.flow
        n_data = int(s.data_share * s.batch) if self.mixed else 0
        n = s.batch - n_data
        data = list(zip(*self._data_batches(s.steps, n_data, stream), strict=True)) if n_data else []
        walkers = None if self.data is not None else self._walkers(state)
        n_own = n if walkers is None else n - int(s.walker_share * n)
        losses, skipped = [], 0
        weights: list[Tensor] = []
        for step in range(s.steps):
            whole = state.stage_round * s.steps + step
            temperature = self.temperature(state.start_temperature, whole)
            if temperature != state.temperature:
                weights.clear()
            state.temperature = temperature
            state.optimizer.set_rate(self._rate(whole))
            target = PullbackEnergy(self.energy.at(temperature), generator.coordinates)
            with torch.no_grad():
                torsions = flow.leading.sample((n_own,), generator=stream)
            if walkers is not None:
                chosen, others = walkers.draw(n - n_own, temperature, stream)
                torsions = torch.cat((torsions, others.to(torsions)))
            loss, log_q, u, y = hierarchical_kl(flow, target, torsions, generator=stream)
            log_w = -(log_q.detach() + u)
            weights.append(log_w[:n_own])
            learned, estimate = learn_torsions(log_q, u, n_own)
            if walkers is not None:
                walkers.learn(
                    chosen, (log_w - estimate)[n_own:], log_q.detach()[n_own:], log_q.detach()[:n_own].min()
                )
                heavy = log_w[:n_own] - estimate > math.log(MAX_WEIGHT)
                if heavy.any():
                    walkers.replace(generator.coordinates(y[:n_own][heavy])[0])
            if data:
                y, u_data, weight = data[step]
                log_q = flow.log_prob(y)
                loss = loss + s.data_weight * forward_kl(log_q, weight)
                learned = learned + n_data * log_variance_loss(log_q, u_data, -estimate)
            loss = loss + learned / s.batch
            skipped += not self._step(state, loss)
            _update_average(state.average, flow.state_dict(), s.average_decay)
            losses.append(float(loss.detach()))
            self._report(state, losses[-1], sampling_efficiency(weights[-1]), (step + 1) / s.steps, began)
        if walkers is not None:
            state.walkers, state.walkers_score, state.walkers_step = walkers.x, walkers.score, walkers.step
        return _diagnose(torch.cat(weights)) | {"loss": sum(losses) / len(losses), "skipped_steps": skipped}

    def _walkers(self, state: TrainingState) -> Walkers | None:
        """The state's walkers, or new ones where it has none yet."""
        energy, generator = self.energy, state.generator
        if state.walkers is not None and state.walkers_score is not None:
            return Walkers(
                energy,
                generator.system,
                generator.coordinates,
                state.walkers,
                state.walkers_score,
                state.walkers_step,
            )
        s = self.settings
        n, hot = s.walkers if s.walker_share > 0 else 0, s.start_temperature
        temperature = self.temperature(state.start_temperature, state.stage_round * s.steps)
        return Walkers.start(
            energy,
            generator.system,
            generator.coordinates,
            n,
            hot=hot,
            temperature=temperature,
            seed=self.seed,
        )

    def _on_data(self, state: TrainingState, stream: torch.Generator, began: float) -> dict[str, Any]:
        """Train on the data: by maximum likelihood, or where its energies are known mostly by their
        log-dispersion.
        """
        s, flow = self.settings, state.generator.flow
        losses, likelihoods, skipped = [], [], 0
        for step, (y, u, weight) in enumerate(
            zip(*self._data_batches(s.data_steps, s.data_batch, stream), strict=True)
        ):
            rate = s.data_rate * _cosine(
                (state.stage_round * s.data_steps + step) / (s.data_rounds * s.data_steps)
            )
            state.optimizer.set_rate(rate)
            log_q = flow.log_prob(y)
            likelihood = forward_kl(log_q, weight)
            loss = s.data_weight * likelihood + log_variance_loss(log_q, u) if self.mixed else likelihood
            skipped += not self._step(state, loss)
            if not self.mixed:
                _shrink_matrices(flow, rate * s.data_decay)
            _update_average(state.average, flow.state_dict(), s.average_decay)
            losses.append(float(loss.detach()))
            likelihoods.append(float(likelihood.detach()))
            self._report(state, losses[-1], math.nan, (step + 1) / s.data_steps, began)
        assert self.data is not None
        nll = sum(likelihoods) / len(likelihoods) + _mean(self.data.log_det, self.data.weight)
        return {"loss": sum(losses) / len(losses), "nll": nll, "skipped_steps": skipped}

    @property
    def mixed(self) -> bool:
        """Whether training goes on with energies after the data alone."""
        return self.data is not None and self.data.potential is not None

    def _data_batches(
        self, n_batches: int, batch: int, stream: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Batches of training frames, each frame as often as any other.

        Returns:
            y (n_batches, batch, n_dims), u_y (NaN where energies are not known) and weights, both (n_batches,
            batch).
        """
        assert self.data is not None
        n = len(self.data)
        shuffled = [
            torch.randperm(n, generator=stream, device=stream.device)
            for _ in range(math.ceil(n_batches * batch / n))
        ]
        index = torch.cat(shuffled)[: n_batches * batch]
        y, weight = self.data.y[index], self.data.weight[index]
        u = self.data.reduced(self.target)[index] if self.mixed else torch.full_like(weight, math.nan)
        y, u, weight = (t.unflatten(0, (n_batches, batch)).to(y.dtype) for t in (y, u, weight))
        return y, u, weight

    @torch.no_grad()
    def _held_out_nll(self, state: TrainingState) -> float:
        """-log q(x) of the frames held out, weighted mean, under the averaged parameters."""
        assert self.held_out is not None
        with state.using(state.average) as flow:
            log_q = torch.cat([flow.log_prob(y) for y in self.held_out.y.split(_BATCH)])
        return _mean(self.held_out.log_det - log_q.double(), self.held_out.weight)

    def _keep_best(self, state: TrainingState) -> None:
        """Keep the averaged parameters if no earlier round on data alone held out better; where energies are
        used, always.
        """
        found = [m["held_out_nll"] for m in state.metrics]
        if state.stage != "data" or len(found) == 1 or found[-1] < min(found[:-1]):
            state.best = {k: v.clone() for k, v in state.average.items()}

    def _is_stale(self, state: TrainingState) -> bool:
        found = [m["held_out_nll"] for m in state.metrics]
        return len(found) - 1 - found.index(min(found)) >= self.settings.data_patience

    def _step(self, state: TrainingState, loss: Tensor) -> bool:
        """One step of the optimizer, or none where the gradient is not finite; whether it was made.

        Each part's gradient is scaled down to `max_norm` times its running average (like AutoClip:
        Seetharaman et al. 2020, arXiv:2007.14469): one draw where log q is steep can have a gradient a
        thousand times as long as all others, which momentum would follow for many steps.
        """
        state.optimizer.zero_grad()
        loss.backward()
        flow, norms = state.generator.flow, {}
        for name, part in (("leading", flow.leading), ("conditional", flow.conditional)):
            most = self.settings.max_norm * state.norms.get(name, 0.0) or math.inf
            found = float(torch.nn.utils.clip_grad_norm_(list(part.parameters()), most))
            norms[name] = _NORM_DECAY * state.norms.get(name, found) + (1 - _NORM_DECAY) * min(found, most)
        if not all(map(math.isfinite, norms.values())):
            logger.warning(
                "round %d: a step was skipped because its gradient is not finite", state.round_index
            )
            return False
        state.norms = norms
        state.optimizer.step()
        return True

    def _report(
        self, state: TrainingState, loss: float, efficiency: float, part: float, began: float
    ) -> None:
        if self.progress is None:
            return
        s = self.settings
        data = self.data is not None
        fraction = fraction_done(
            s, state.stage, state.stage_round + part, data=data, energies=self.mixed or not data
        )
        seconds = state.seconds + time.perf_counter() - began
        left = seconds * (1 - fraction) / fraction if fraction > 0 else math.inf
        self.progress(
            Progress(
                state.stage,
                fraction,
                loss,
                efficiency,
                state.temperature,
                self.energy.n_evaluations,
                seconds,
                left,
            )
        )


def _diagnose(log_w: Tensor) -> dict[str, float]:
    """Figures of a round's draws."""
    estimate, error = log_z(log_w)
    return {
        "efficiency": sampling_efficiency(log_w),
        "efficiency_clipped": sampling_efficiency(clip_log_weights(log_w)),
        "effective_sample_size": effective_sample_size(log_w),
        "log_z": estimate,
        "log_z_error": error,
        "fraction_outside_domain": float((log_w == -math.inf).double().mean()),
    }


def _mean(values: Tensor, weight: Tensor) -> float:
    return float((values * weight).sum() / weight.sum())


@torch.no_grad()
def _shrink_matrices(module: nn.Module, share: float) -> None:
    """Decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101) of matrices alone: biases hold
    the harmonic approximation.
    """
    for parameter in module.parameters():
        if parameter.dim() > 1:
            parameter.mul_(1 - share)


def _cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


@torch.no_grad()
def _update_average(average: dict[str, Tensor], present: dict[str, Tensor], decay: float) -> None:
    """average <- decay * average + (1 - decay) * present; starts as a copy."""
    for name, value in present.items():
        if name not in average:
            average[name] = value.detach().clone()
        elif value.is_floating_point():
            average[name].lerp_(value.detach(), 1 - decay)
        else:
            average[name].copy_(value)
