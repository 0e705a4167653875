"""Refine one half-trained generator of alanine dipeptide by each objective, with equal numbers of training
samples, and compare what comes out.

    python benchmarks/objectives.py --folder FOLDER [--seeds 0 1 2] [--steps 2200] [--batch 2048] [--rate
    4e-3] [--json FILE]

FOLDER holds the common state: a short training run as far as it has cooled to the target, made at the first
call and reused by later ones. From it every objective takes `--steps` steps of `--batch` samples, with
training's optimizer or with Adam (`--optimizer`); moments start afresh, the rate falls from `--rate` by one
cosine to zero, and the parameters are averaged as in training. The first row is the common state itself.
Efficiencies are unclipped, of `-n` draws from one seed; their energies are not among the evaluations, which
are those of the refinement alone (one for each call with or without gradient).

* hierarchical: `hierarchical_kl` and what teaches the torsions, on fresh draws, some with walkers' torsions,
  as in a training run;
* log-dispersion: `log_variance_loss` + 0.1 importance-weighted `forward_kl` on draws of the last six rounds; a
  round is 32 batches, and 100 steps follow it;
* forward KL: importance-weighted, on the same kind of draws;
* reverse KL, and its path gradient: on fresh draws;
* alpha-2: annealed importance sampling of p^2/q (`--levels`, 8 by default, of 4 leapfrog steps) into a
  prioritised buffer; what each call adds is followed by 8 steps on batches from it.
"""

import argparse
import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.target import PullbackEnergy
from boltzgen.molecule.system import System
from boltzgen.seeding import random_stream
from boltzgen.training.ais import adapted_steps, annealed_importance_sampling
from boltzgen.training.buffer import PrioritisedBuffer
from boltzgen.training.checkpoint import STATE, load_state, save_state
from boltzgen.training.objectives import (
    alpha_2,
    forward_kl,
    hierarchical_kl,
    log_variance_loss,
    reverse_kl,
    reverse_kl_path,
)
from boltzgen.training.optimizer import MatrixOptimizer
from boltzgen.training.settings import Settings
from boltzgen.training.trainer import Trainer, TrainingState, learn_torsions, start
from boltzgen.training.walkers import Walkers
from boltzgen.weights import clip_log_weights, sampling_efficiency

#: Down to the target temperature in a few minutes, at the end of `cooling`; the rest is the objectives' work.
WARM, QUICK = Settings(rounds=8), Settings(rounds=2, steps=2, batch=64)
#: Leapfrog steps at each level of annealed importance sampling, and how often each batch made by it is
#: trained on.
LEAPFROG, REUSE = 4, 8
#: Where draws are replayed: batches in a round, steps after each, and rounds that are kept.
ROUND, ROUND_STEPS, KEPT = 32, 100, 6
#: FAB's bound on what a buffered sample counts.
MOST = 10.0
#: Gradients are scaled down to this norm.
MAX_NORM = 100.0


@dataclass(frozen=True)
class Task:
    """What an objective needs to make one loss after another."""

    state: TrainingState
    target: PullbackEnergy
    settings: Settings
    batch: int
    levels: int
    stream: torch.Generator


def replayed(loss: Callable[[Tensor, Tensor, Tensor], Tensor], task: Task) -> Iterator[Tensor]:
    """loss(log_q, u, weight) of batches of the last rounds' draws, each weighted by the parameters that made
    it.
    """
    flow = task.state.generator.flow
    drawn: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=KEPT * ROUND)
    while True:
        with torch.no_grad():
            for _ in range(ROUND):
                y, log_q, _ = flow.draw((task.batch,), generator=task.stream)
                u = task.target(y)
                good = u.isfinite()
                drawn.append((y[good], u[good], -(u + log_q)[good]))
        y, u, log_w = (torch.cat(each) for each in zip(*drawn, strict=True))
        weight = torch.softmax(log_w, 0)
        for _ in range(ROUND_STEPS):
            index = torch.randint(len(y), (task.batch,), generator=task.stream)
            yield loss(flow.log_prob(y[index]), u[index], weight[index])


def fresh(objective: Callable[..., tuple[Tensor, Tensor]], task: Task) -> Iterator[Tensor]:
    """Of fresh draws in every step."""
    while True:
        yield objective(task.state.generator.flow, task.target, task.batch, generator=task.stream)[0]


def hierarchical(task: Task) -> Iterator[Tensor]:
    """Of fresh draws, a share of them with the torsions of walkers."""
    flow, generator, state = task.state.generator.flow, task.state.generator, task.state
    assert state.walkers is not None and state.walkers_score is not None
    energy = task.target.energy
    walkers = Walkers(
        energy,
        generator.system,
        generator.coordinates,
        state.walkers,
        state.walkers_score,
        state.walkers_step,
    )
    n_own = task.batch - int(task.settings.walker_share * task.batch)
    while True:
        with torch.no_grad():
            own = flow.leading.sample((n_own,), generator=task.stream)
        torsions = torch.cat(
            (own, walkers.draw(task.batch - n_own, energy.temperature, task.stream)[1].to(own))
        )
        loss, log_q, u, _ = hierarchical_kl(flow, task.target, torsions, generator=task.stream)
        yield loss + learn_torsions(log_q, u, n_own)[0] / task.batch


def annealed(task: Task) -> Iterator[Tensor]:
    """alpha-2 of samples of p^2/q from a prioritised buffer of the last 64 batches, which starts with
    four.
    """
    flow, n_periodic = task.state.generator.flow, task.state.generator.coordinates.n_periodic
    buffer, steps = PrioritisedBuffer(64 * task.batch), torch.full((task.levels,), 0.05)
    while True:
        for _ in range(1 if len(buffer) else 4):
            draws = annealed_importance_sampling(
                flow,
                task.target,
                task.batch,
                steps,
                n_periodic=n_periodic,
                leapfrog=LEAPFROG,
                generator=task.stream,
            )
            steps = adapted_steps(steps, draws.acceptance)
            buffer.add(draws.y, draws.log_w, draws.log_q)
        for _ in range(REUSE):
            index = buffer.draw(task.batch, generator=task.stream)
            log_q = flow.log_prob(buffer.y[index])
            yield alpha_2(log_q, buffer.correct(index, log_q).clamp(max=math.log(MOST)))


OBJECTIVES: dict[str, Callable[[Task], Iterator[Tensor]]] = {
    "hierarchical": hierarchical,
    "log-dispersion": partial(
        replayed, lambda log_q, u, weight: log_variance_loss(log_q, u) + 0.1 * forward_kl(log_q, weight)
    ),
    "forward KL": partial(replayed, lambda log_q, u, weight: forward_kl(log_q, weight)),
    "reverse KL": partial(fresh, reverse_kl),
    "path gradient": partial(fresh, reverse_kl_path),
    "alpha-2": annealed,
}


class AdamAlone(Adam):
    """Adam on every parameter."""

    def set_rate(self, rate: float) -> None:
        self.param_groups[0]["lr"] = rate


def common_state(folder: Path, system: System, energy: CountedEnergy, settings: Settings) -> None:
    """Train to the end of the cooling and save that, unless it is there."""
    if (folder / STATE).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    generator = BoltzmannGenerator.for_system(system, energy, temperature=settings.start(system.temperature))
    state = start(generator, settings)
    trainer = Trainer(energy, system.temperature, settings, seed=0)
    while state.temperature > system.temperature:
        trainer.run_round(state)
    save_state(folder, state, settings, energy.n_evaluations)


def refine(task: Task, name: str, n_steps: int, rate: float, optimizer: MatrixOptimizer | AdamAlone) -> int:
    """Take the steps, leave the averaged parameters in the flow, and return how many gradients were not
    finite.
    """
    flow, s = task.state.generator.flow, task.settings
    average = {k: v.detach().clone() for k, v in flow.named_parameters()}
    skipped = 0
    for step, loss in zip(range(n_steps), OBJECTIVES[name](task), strict=False):
        optimizer.set_rate(rate * 0.5 * (1 + math.cos(math.pi * step / n_steps)))
        optimizer.zero_grad()
        loss.backward()
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(flow.parameters(), MAX_NORM)):
            optimizer.step()
        else:
            skipped += 1
        for k, v in flow.named_parameters():
            average[k].lerp_(v.detach(), 1 - s.average_decay)
    flow.load_state_dict(average, strict=False)
    return skipped


def measure(
    folder: Path, system: System, energy: CountedEnergy, name: str, seed: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Refine the common state by one objective with one seed, and draw."""
    state, settings, _ = load_state(folder, system, "cpu")
    target = PullbackEnergy(energy.at(system.temperature), state.generator.coordinates)
    task = Task(state, target, settings, options.batch, options.levels, random_stream("cpu", seed))
    before, began, skipped = energy.n_evaluations, time.perf_counter(), 0
    if name != "start":
        flow = state.generator.flow
        optimizer = (
            AdamAlone(flow.parameters(), lr=0.0)
            if options.optimizer == "adam"
            else MatrixOptimizer(flow, 0.0)
        )
        skipped = refine(task, name, options.steps, options.rate, optimizer)
    evaluations, seconds = energy.n_evaluations - before, time.perf_counter() - began
    log_w = torch.cat([chunk.log_w for chunk in state.generator.sample_chunks(options.n, energy, seed=2**31)])
    return {
        "objective": name,
        "seed": seed,
        "efficiency": sampling_efficiency(log_w),
        "clipped": sampling_efficiency(clip_log_weights(log_w)),
        "evaluations": evaluations,
        "seconds": seconds,
        "skipped_steps": skipped,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, required=True, help="of the common state; made if it holds none"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=list(OBJECTIVES))
    parser.add_argument("--steps", type=int, default=2200)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--levels", type=int, default=8, help="of annealed importance sampling")
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--optimizer", choices=("muon", "adam"), default="muon")
    parser.add_argument("-n", type=int, default=100_000, help="draws for the efficiency")
    parser.add_argument("--json", type=Path, help="write the rows to this file as well")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a few steps of small batches from a state that is hardly trained: does it run?",
    )
    options = parser.parse_args()
    if options.quick:
        options.steps, options.batch, options.levels, options.n = 2, 64, 1, 2048
    system = System.load("alanine_dipeptide")
    energy = CountedEnergy(energy_for(system))
    common_state(options.folder, system, energy, QUICK if options.quick else WARM)
    print(
        f"{options.steps} steps of {options.batch} samples, {options.optimizer}, "
        f"rate {options.rate:g}, efficiency of {options.n} draws, {torch.get_num_threads()} threads"
    )
    print(
        f"{'objective':16s} {'seed':>4s} {'efficiency':>10s} {'clipped':>8s} {'evaluations':>12s} "
        f"{'seconds':>8s} {'skipped':>7s}"
    )
    rows = []
    for name in ["start", *options.objectives]:
        for seed in options.seeds if name != "start" else [0]:
            row = measure(options.folder, system, energy, name, seed, options)
            rows.append(row)
            print(
                f"{name:16s} {seed:4d} {100 * row['efficiency']:8.2f} % {100 * row['clipped']:6.2f} % "
                f"{row['evaluations']:12d} {row['seconds']:8.1f} {row['skipped_steps']:7d}"
            )
    if options.json:
        settings = {name: getattr(options, name) for name in ("steps", "batch", "rate", "optimizer", "n")}
        options.json.write_text(json.dumps(settings | {"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
