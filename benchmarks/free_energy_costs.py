"""What free energies cost to +-0.1 kT: generators beside a staged path of simulations, and their figures.

    python benchmarks/free_energy_costs.py RUN_A RUN_B [-n 20000] [--repeats 3] [--figures FOLDER] [--quick]

RUN_A and RUN_B are trained generators (runs, or systems that come trained) of one molecule and two
Hamiltonians. The routes take turns, repeat after repeat, on one thread; times are those of the processor, so
that other programs on the machine count little. An estimate that took t seconds and has a standard error e
would take t (e / 0.1 kT)^2 to have one of 0.1 kT: draws are independent, and so are walkers. Training is
counted by itself: it is paid once for all questions.

The staged path is that of `free_energy_paths.py` by Hamiltonian Monte Carlo; its burn-in is included.
With `--figures`, the pictures of docs/free_energy.md are drawn from B's draws too.
"""

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import free_energy_paths as paths
import numpy as np
import torch

from boltzgen.analysis.free_energy_figures import free_energy_figure
from boltzgen.analysis.pmf_report import pmf_report
from boltzgen.analysis.states import state_energies
from boltzgen.analysis.states_report import StatesReport
from boltzgen.analysis.temperature_report import temperature_report
from boltzgen.energy import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.locate import locate
from boltzgen.samples.writer import SamplesWriter
from boltzgen.thermodynamics.convergence import hamiltonian_convergence
from boltzgen.thermodynamics.hamiltonians import HamiltonianDifference

GOAL = 0.1  # kT

#: Of one estimate: its value and error in kT, processor seconds, and energies (of the path: with forces).
Measured = tuple[float, float, float, int]


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.process_time()
    found = work()
    return found, time.process_time() - began


def by_generators(a: BoltzmannGenerator, b: BoltzmannGenerator, n: int, seed: int) -> dict[str, Measured]:
    found, drawing = timed(lambda: HamiltonianDifference.draw(a, b, n, seed=seed))
    rows = {}
    for name in ("mixture", "independent", "targeted", "forward"):
        result, estimating = timed(getattr(found, name))
        # All estimators pay for all draws and energies here, though some use fewer.
        rows[name] = (result.value, result.error, drawing + estimating, 6 * n)
    return rows


def by_path(a: BoltzmannGenerator, b: BoltzmannGenerator, walkers: int, frames: int, seed: int) -> Measured:
    temperature = a.temperature

    def run() -> dict[str, Any]:
        x = paths.hmc(a.system, b.system, temperature, walkers, frames, seed)
        energies = [energy_for(g.system) for g in (a, b)]
        flat = x.reshape(-1, a.system.n_atoms, 3)
        with torch.no_grad():
            parts = torch.stack([e.potential(flat) for e in energies], -1).double().numpy()
        return paths.estimate(parts.reshape(*x.shape[:3], 2), temperature)

    found, seconds = timed(run)
    moves = paths.INTERVAL * (frames // 3 + frames)
    n_energies = 2 * moves * walkers * len(paths.path(temperature)[0]) * (paths.HMC_STEPS + 1)
    return found["delta_f"], found["error"], seconds, n_energies


def by_states(b: BoltzmannGenerator, n: int, seed: int) -> dict[str, Measured]:
    energy = energy_for(b.system, b.temperature)
    samples, seconds = timed(lambda: b.sample(n, energy, seed=seed))
    found = state_energies(samples)
    rows = {}
    for row in found.rows:
        if row.name != found.reference and row.n_effective >= 10:
            name = f"{found.reference} to {row.name}"
            rows[name] = (row.free_energy.value, row.free_energy.error, seconds, n)
    return rows


def print_table(measured: dict[str, list[Measured]]) -> None:
    columns = "estimate", "delta F / kT", "error", "processor s", "energies"
    columns += "s to 0.1 kT, median (least)", "energies to 0.1 kT"
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name, runs in measured.items():
        seconds = [seconds * (error / GOAL) ** 2 for _, error, seconds, _ in runs]
        energies = [n * (error / GOAL) ** 2 for _, error, _, n in runs]
        cells = (
            name,
            f"{np.mean([r[0] for r in runs]):.4f}",
            f"{math.sqrt(np.mean([r[1] ** 2 for r in runs])):.2g}",
            f"{statistics.median(r[2] for r in runs):.1f}",
            f"{runs[0][3]:,}",
            f"{statistics.median(seconds):.3g} ({min(seconds):.3g})",
            f"{statistics.median(energies):,.0f}",
        )
        print(f"| {' | '.join(cells)} |")


def draw_figures(a: BoltzmannGenerator, b: BoltzmannGenerator, n: int, folder: Path) -> None:
    energy = energy_for(b.system, b.temperature)
    options = {"dpi": 110}
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "samples.h5"
        with SamplesWriter(file, b.system, b.temperature) as writer:
            for chunk in b.sample_chunks(n, energy, seed=0):
                writer.write(chunk)
        title = f"{b.system.name}, {b.temperature:g} K: {n:,} draws"
        pictures = {
            "states": StatesReport(state_energies(file), "kJ/mol").figure(title),
            "pmf": pmf_report(file, ["phi"], unit="kJ/mol").figure(title),
            "temperature": temperature_report(file, range(280, 401, 20), unit="kJ/mol").figure(title),
        }
    found = HamiltonianDifference.draw(a, b, n, seed=0)
    curve = hamiltonian_convergence(found)
    label = f"F({b.system.name}) - F({a.system.name}) / kT"
    pictures["difference"] = free_energy_figure(
        found.estimates(), {"mixture": curve}, label="ΔF / kT", title=f"{label}: {n:,} draws of each"
    )
    for name, figure in pictures.items():
        figure.savefig(folder / f"free_energy_{name}.png", **options)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("start")
    parser.add_argument("end")
    parser.add_argument("-n", type=int, default=20_000)
    parser.add_argument("--walkers", type=int, default=16)
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--figures", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    n, walkers, frames, repeats = arguments.n, arguments.walkers, arguments.frames, arguments.repeats
    if arguments.quick:
        n, walkers, frames, repeats = 500, 3, 3, 1
    generators, trainings = [], []
    for source in (arguments.start, arguments.end):
        system, folder = locate(source)
        generators.append(BoltzmannGenerator.load(folder, system))
        summary = folder / "summary.json"
        trainings.append(json.loads(summary.read_text()) if summary.is_file() else None)
    a, b = generators
    measured: dict[str, list[Measured]] = {}
    for repeat in range(repeats):
        found = by_generators(a, b, n, repeat)
        found["staged path"] = by_path(a, b, walkers, frames, repeat)
        found |= by_states(b, n, repeat)
        for name, row in found.items():
            measured.setdefault(name, []).append(row)
    print_table(measured)
    for generator, summary in zip(generators, trainings, strict=True):
        if summary is not None:
            print(
                f"training {generator.system.name}: {summary['n_energy_evaluations']:,} energies, "
                f"{summary['seconds']:.0f} s"
            )
    if arguments.figures is not None:
        draw_figures(a, b, n, arguments.figures)


if __name__ == "__main__":
    main()
