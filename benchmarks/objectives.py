"""Refine one half-trained generator of alanine dipeptide by each objective, and compare what comes out.

    python benchmarks/objectives.py --folder FOLDER [--seeds 0 1 2] [--steps 2200] [--batch 2048]
        [--learning-rate 4e-3] [--json FILE]

FOLDER holds the common state: a short training run as far as it has been annealed to the target, made at the
first call and reused by later ones. From it every objective takes `--steps` steps of `--batch` samples, with
training's optimizer or with Adam (`--optimizer`); moments start afresh, the learning rate falls from
`--learning-rate` by one cosine to zero, and the parameters are averaged as in training. The first row is the
common state itself. Efficiencies are unclipped, of `-n` draws from one seed; their energies are not among the
evaluations, which are those of the refinement alone (one for each call with or without gradient).

* hierarchical: training's default, `EnergyObjective`;
* log-variance: `log_variance_loss` + 0.1 importance-weighted `forward_kl` on draws of the last six rounds; a
  round is 32 batches, and 100 steps follow it;
* forward KL: importance-weighted, on the same kind of draws;
* reverse KL, and its path gradient: training's `ReverseKL` and `ReverseKLPath`;
* alpha-2: annealed importance sampling of p^2/q (`--levels`, 8 by default, of 4 leapfrog steps) into a
  prioritised buffer; what each call adds is followed by 8 steps on batches from it.
"""

import argparse
import dataclasses
import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from fab import PrioritisedBuffer, adapted_steps, alpha_2, annealed_importance_sampling
from torch import Tensor
from torch.optim import Adam

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.target import PullbackEnergy
from boltzgen.molecule.system import System
from boltzgen.seeding import random_stream
from boltzgen.training.checkpoint import STATE, load_run, save_run
from boltzgen.training.energy_objective import EnergyObjective
from boltzgen.training.fit import ParameterAverage, fit
from boltzgen.training.losses import forward_kl, log_variance_loss
from boltzgen.training.objective import FunctionObjective, Objective
from boltzgen.training.optimizer import MatrixOptimizer
from boltzgen.training.reverse_kl_objective import ReverseKL, ReverseKLPath
from boltzgen.training.run_objective import RunObjective, Task
from boltzgen.training.schedule import cosine
from boltzgen.training.settings import Settings
from boltzgen.training.training_run import TrainingRun
from boltzgen.weights import clip_log_weights, sampling_efficiency

#: Down to the target temperature in a few minutes, at the end of the annealing; the rest is the objectives'
#: work.
WARM, QUICK = Settings(rounds=8), Settings(rounds=3, steps=2, batch=64)
#: Leapfrog steps at each level of annealed importance sampling, and how often each batch made by it is
#: trained on.
LEAPFROG, REUSE = 4, 8
#: Where draws are replayed: batches in a round, steps after each, and rounds that are kept.
ROUND, ROUND_STEPS, KEPT = 32, 100, 6
#: FAB's bound on what a buffered sample counts.
MOST = 10.0
#: Gradients are scaled down to this norm.
MAX_NORM = 100.0

Losses = Iterator[Tensor]


def replayed(
    loss: Callable[[Tensor, Tensor, Tensor], Tensor],
    task: Task,
    target: PullbackEnergy,
    stream: torch.Generator,
    levels: int,
) -> Losses:
    """loss(log_q, u, weight) of batches of the last rounds' draws, each weighted as when it was made."""
    flow, batch = task.generator.flow, task.settings.batch
    drawn: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=KEPT * ROUND)
    while True:
        with torch.no_grad():
            for _ in range(ROUND):
                y, log_q, _ = flow.draw((batch,), generator=stream)
                u = target(y)
                good = u.isfinite()
                drawn.append((y[good], u[good], -(u + log_q)[good]))
        y, u, log_w = (torch.cat(each) for each in zip(*drawn, strict=True))
        weight = torch.softmax(log_w, 0)
        for _ in range(ROUND_STEPS):
            index = torch.randint(len(y), (batch,), generator=stream)
            yield loss(flow.log_prob(y[index]), u[index], weight[index])


def annealed(task: Task, target: PullbackEnergy, stream: torch.Generator, levels: int) -> Losses:
    """alpha-2 of samples of p^2/q from a prioritised buffer of 64 batches, which starts with four."""
    flow, batch = task.generator.flow, task.settings.batch
    buffer, steps = PrioritisedBuffer(64 * batch), torch.full((levels,), 0.05)
    while True:
        for _ in range(1 if len(buffer) else 4):
            draws = annealed_importance_sampling(
                flow,
                target,
                batch,
                steps,
                n_periodic=task.generator.coordinates.n_periodic,
                leapfrog=LEAPFROG,
                generator=stream,
            )
            steps = adapted_steps(steps, draws.acceptance)
            buffer.add(draws.y, draws.log_w, draws.log_q)
        for _ in range(REUSE):
            index = buffer.draw(batch, generator=stream)
            log_q = flow.log_prob(buffer.y[index])
            yield alpha_2(log_q, buffer.correct(index, log_q).clamp(max=math.log(MOST)))


#: Training's own, and ways to make one loss after another.
OBJECTIVES: dict[str, type[RunObjective] | Callable[..., Losses]] = {
    "hierarchical": EnergyObjective,
    "log-variance": partial(
        replayed, lambda log_q, u, weight: log_variance_loss(log_q, u) + 0.1 * forward_kl(log_q, weight)
    ),
    "forward KL": partial(replayed, lambda log_q, u, weight: forward_kl(log_q, weight)),
    "reverse KL": ReverseKL,
    "path gradient": ReverseKLPath,
    "alpha-2": annealed,
}


def objective_for(name: str, run: TrainingRun, options: argparse.Namespace, seed: int) -> Objective:
    """An objective at the target's temperature; the default one goes on with the run's walkers."""
    stream, made = random_stream("cpu", seed), OBJECTIVES[name]
    settings = dataclasses.replace(run.settings, batch=options.batch, annealing=0.0)
    task = dataclasses.replace(run.task, settings=settings)
    if isinstance(made, type):
        objective = made(task)
        if isinstance(objective, EnergyObjective):
            objective.load_state_dict(run.objective.state_dict())
        objective.start_round(stream)
        return objective
    target = PullbackEnergy(task.energy.at(task.temperature), task.generator.coordinates)
    losses = made(task, target, stream, options.levels)
    return FunctionObjective(lambda _: next(losses))


def common_state(folder: Path, system: System, energy: CountedEnergy, settings: Settings) -> None:
    """Train to the end of the annealing and save that, unless it is there."""
    if (folder / STATE).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    generator = BoltzmannGenerator.for_system(system, energy, temperature=settings.start(system.temperature))
    run = TrainingRun(generator, energy, system.temperature, settings, seed=0)
    while generator.temperature > system.temperature:
        run.run_round()
    save_run(folder, run)


def refine(run: TrainingRun, name: str, seed: int, options: argparse.Namespace) -> int:
    """Take the steps, leave averaged parameters in the flow, and count gradients that were not finite."""
    flow = run.generator.flow
    optimizer: MatrixOptimizer | Adam = MatrixOptimizer(flow, learning_rate=options.learning_rate)
    if options.optimizer == "adam":
        optimizer = Adam(flow.parameters(), lr=options.learning_rate)

    def clip() -> bool:
        return bool(torch.isfinite(torch.nn.utils.clip_grad_norm_(flow.parameters(), MAX_NORM)))

    average = ParameterAverage(flow, run.settings.average_decay)
    average.update()
    found = fit(
        objective_for(name, run, options, seed),
        optimizer,
        cosine(options.steps),
        range(options.steps),
        clipping=clip,
        average=average,
    )
    flow.load_state_dict(average.state)
    return int(found["skipped_steps"])


def measure(
    folder: Path, system: System, energy: CountedEnergy, name: str, seed: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Refine the common state by one objective with one seed, and draw."""
    run = load_run(folder, system, energy)
    before, began, skipped = energy.n_evaluations, time.perf_counter(), 0
    if name != "start":
        skipped = refine(run, name, seed, options)
    evaluations, seconds = energy.n_evaluations - before, time.perf_counter() - began
    log_w = torch.cat([chunk.log_w for chunk in run.generator.sample_chunks(options.n, energy, seed=2**31)])
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
    parser.add_argument("--learning-rate", type=float, default=4e-3)
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
        f"learning rate {options.learning_rate:g}, efficiency of {options.n} draws, "
        f"{torch.get_num_threads()} threads"
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
        settings = {
            name: getattr(options, name) for name in ("steps", "batch", "learning_rate", "optimizer", "n")
        }
        options.json.write_text(json.dumps(settings | {"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
