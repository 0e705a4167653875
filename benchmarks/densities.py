"""The paper's experiment in the plane: RealNVP over a normal, a mixture and a resampled base.

    python benchmarks/densities.py FOLDER [--seeds 0 1 2] [--steps 1500] [--figure FILE] [--quick]
    python benchmarks/densities.py FOLDER --authors CHECKOUT   # their own code too, from resampled-base-flows

Each is trained by forward and by reverse KL. Targets: two moons, a circle of eight Gaussians, two rings
(`boltzgen.flow.toy`), all normalised. Flow: eight affine couplings with networks of
2 x 32. Bases: a standard normal; a mixture of ten normals, all parameters learned; a standard normal
resampled by a network of 2 x 64 with T = 100, whose loss has -log(1 - alpha) added, the chance of a forced
draw (`Resampled.log_unforced`). Forward KL draws a fresh batch of the target in each step, reverse KL a fresh
batch of the flow; there the target's u is multiplied by 0.1 at first, and by a factor that grows to 1 over
the first half, against the loss of modes. Muon and Adam, one cosine to zero, 1024 samples a step; rate 1e-2,
but 3e-3 of the flow over the resampled base.

Each run leaves FOLDER/NAME.json; finished ones are not repeated, so that several processes can share the work
by `--targets` and `--seeds`. The table has means and ranges over seeds of KL(p || q), by quadrature in the
plane, and of KL(q || p), from 100,000 draws, a * where seeds whose figure is not a number are left out; the
least milliseconds a step and seconds for 100,000 draws with their log q of the seeds (other work only slows a
run); and the mean of the resampled base's Z. Runs that end in NaN are counted as diverged. The authors' runs
have their base and their flow (ReLU networks, an acceptance network of 2 x 256, activation normalisation),
their objectives (reverse KL with the covariance estimator), our optimizer and schedule, and Z from 500,000
proposals at the end.
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from density_models import Authors, Ours, Tempered

from boltzgen.flow.resampled import Resampled
from boltzgen.flow.toy import CircleOfGaussians, PlaneDensity, TwoMoons, TwoRings
from boltzgen.training.fit import fit
from boltzgen.training.objective import FunctionObjective
from boltzgen.training.optimizer import MatrixOptimizer
from boltzgen.training.schedule import cosine

TARGETS: dict[str, PlaneDensity] = {"moons": TwoMoons(), "circle": CircleOfGaussians(), "rings": TwoRings()}
BASES = ("normal", "mixture", "resampled")
OBJECTIVES = ("forward", "reverse")
AUTHORS = "resampled, authors'"
#: Learning rates: of everything, and of the flow over the resampled base, which then does what the base alone
#: cannot.
RATE, SLOW = 1e-2, 3e-3
#: Points to an axis: of the integral of KL(p || q), and of the picture.
FINE, PICTURE = 600, 200


class Together:
    """Optimizers of different parameters as one."""

    def __init__(self, parts: list[MatrixOptimizer]) -> None:
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts for group in part.param_groups]

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad()

    def step(self) -> None:
        for part in self.parts:
            part.step()


def run(
    folder: Path, name: str, objective: str, base: str, seed: int, steps: int, authors: Path | None
) -> None:
    """Train, measure, and write the figures down, unless that is done."""
    stem = f"{name}_{objective}_{base.replace(', ', '_').replace(chr(39), '')}_{seed}"
    if (folder / f"{stem}.json").exists():
        return
    torch.manual_seed(seed)
    target = TARGETS[name]
    model = Ours(base) if base in BASES else Authors(authors, target)  # type: ignore[arg-type]
    modules = [(model.flow, RATE)]
    if isinstance(model, Ours) and isinstance(model.flow.base, Resampled):
        modules = [(model.flow.base, RATE), (model.flow.transform, SLOW)]
    optimizer = Together([MatrixOptimizer(module, learning_rate=rate) for module, rate in modules])
    begin = time.perf_counter()
    fit(
        FunctionObjective(lambda k: model.loss(objective, Tempered(target, min(1.0, 0.1 + 1.8 * k / steps)))),
        optimizer,
        cosine(steps),
        range(steps),
    )
    step = (time.perf_counter() - begin) / steps
    model.finish()
    with torch.no_grad():
        torch.manual_seed(1000 + seed)
        begin = time.perf_counter()
        x, log_q = model.draw(100_000)
        drawing = time.perf_counter() - begin
        grid, cell = target.grid(FINE)
        log_p = target.log_prob(grid)
        p = log_p.exp() * cell
        found = torch.cat([model.log_prob(part) for part in grid.float().split(20_000)]).double()
        reverse = (log_q.double() - target.log_prob(x.double()))[log_q.isfinite()]
        diverged = len(reverse) < 2 or not bool(found.isfinite().any())
        picture = torch.cat([model.log_prob(part) for part in target.grid(PICTURE)[0].float().split(20_000)])
        rate = model.rate()
    np.save(folder / f"{stem}.npy", picture.exp().reshape(PICTURE, PICTURE).numpy())
    result = {
        "target": name,
        "objective": objective,
        "base": base,
        "seed": seed,
        "steps": steps,
        "forward_kl": None if diverged else float((p * (log_p - found)).sum()),
        "reverse_kl": None if diverged else float(reverse.mean()),
        "reverse_kl_error": None if diverged else float(reverse.std()) / math.sqrt(len(reverse)),
        "mass": None if diverged else float(found.exp().sum() * cell),
        "ms_per_step": 1e3 * step,
        "seconds_per_1e5_draws": drawing,
        "acceptance_rate": rate,
    }
    (folder / f"{stem}.json").write_text(json.dumps(result))
    print(json.dumps(result), flush=True)


def finished(folder: Path) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
    """Results by target, objective and base, in the order of the table."""
    results = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for name in TARGETS:
        for objective in OBJECTIVES:
            for base in (*BASES, AUTHORS):
                rows = [
                    r for r in results if (r["target"], r["objective"], r["base"]) == (name, objective, base)
                ]
                if rows:
                    found[name, objective, base] = rows
    return found


def table(folder: Path) -> str:
    lines = [
        "| target | trained by | base | seeds | KL(p, q) | KL(q, p) | ms a step | s for 1e5 draws | Z |",
        "|---|---|---|" + 6 * "---|",
    ]
    for (name, objective, base), rows in finished(folder).items():

        def span(key: str, form: str, rows: list[dict[str, Any]] = rows) -> str:
            values = [r[key] for r in rows if r[key] is not None and math.isfinite(r[key])]
            if not values:
                return "not a number"
            return f"{sum(values) / len(values):{form}} ({min(values):{form}} to {max(values):{form}})" + (
                "" if len(values) == len(rows) else "*"
            )

        def least(key: str, form: str, rows: list[dict[str, Any]] = rows) -> str:
            return f"{min(r[key] for r in rows):{form}}"

        rates = [
            r["acceptance_rate"]
            for r in rows
            if r["acceptance_rate"] is not None and math.isfinite(r["acceptance_rate"])
        ]

        diverged = sum(r["forward_kl"] is None for r in rows)
        cells = [
            name,
            objective,
            base,
            str(len(rows)) + (f", {diverged} diverged" if diverged else ""),
            span("forward_kl", ".4f"),
            span("reverse_kl", ".4f"),
        ]
        cells += [
            least("ms_per_step", ".1f"),
            least("seconds_per_1e5_draws", ".2f"),
            f"{sum(rates) / len(rates):.2f}" if rates else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(folder: Path, file: Path) -> None:
    """Densities: a row for each target and objective, a column for the target and each base; the first
    seed's.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [(name, objective) for name in TARGETS for objective in OBJECTIVES]
    figure = Figure(figsize=(8, 2 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), 1 + len(BASES), squeeze=False)
    for line, (name, objective) in zip(axes, rows, strict=True):
        target = TARGETS[name]
        truth = target.log_prob(target.grid(PICTURE)[0]).exp().reshape(PICTURE, PICTURE).numpy()
        pictures = [("target", truth)]
        for base in BASES:
            files = sorted(folder.glob(f"{name}_{objective}_{base}_[0-9]*.npy"))
            pictures.append((base, np.load(files[0], allow_pickle=False) if files else np.zeros_like(truth)))
        for axis, (title, picture) in zip(line, pictures, strict=True):
            axis.imshow(picture.T, origin="lower", vmin=0, vmax=truth.max(), cmap="viridis")
            axis.set(
                xticks=[],
                yticks=[],
                title=title if name == next(iter(TARGETS)) and objective == "forward" else None,
            )
        line[0].set_ylabel(f"{name}, {objective} KL")
    figure.savefig(file, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--targets", nargs="*", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--objectives", nargs="*", choices=OBJECTIVES, default=list(OBJECTIVES))
    parser.add_argument("--bases", nargs="*", choices=BASES, default=list(BASES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--authors", type=Path, help="a checkout of the authors' code, to run beside ours")
    parser.add_argument("--figure", type=Path, help="where to write the figure")
    parser.add_argument("--quick", action="store_true", help="a few steps: does it run?")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    bases = [*options.bases, AUTHORS] if options.authors else options.bases
    for seed in options.seeds:
        for name in options.targets:
            for objective in options.objectives:
                for base in bases:
                    run(
                        options.folder,
                        name,
                        objective,
                        base,
                        seed,
                        3 if options.quick else options.steps,
                        options.authors,
                    )
    print(table(options.folder))
    if options.figure is not None:
        draw(options.folder, options.figure)


if __name__ == "__main__":
    main()
