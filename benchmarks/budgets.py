"""Train alanine dipeptide with smaller and smaller budgets, and draw efficiency against energy evaluations.

    python benchmarks/budgets.py FOLDER [--budgets NAME ...] [--seeds 0 1 2] [--figure docs/efficiency.png]

Every run is `boltzgen train alanine_dipeptide` with other settings (`BUDGETS`: quick-N is the preset quick with N rounds of refinement), in
FOLDER/NAME_SEED; finished ones are not repeated and interrupted ones go on. A run's point is the unclipped efficiency of its 1e5 validation
draws against all energies that it computed before these, minimisation and Hessian included. Printed is a table of all finished runs in FOLDER.
Other methods' points are those of their papers, at second hand: the same force field and temperature, their own numbers of samples and clipping,
domains that differ slightly from ours.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from boltzgen.system import System
from boltzgen.train.checkpoint import METRICS, STATE
from boltzgen.train.run import SUMMARY, train
from boltzgen.train.settings import PRESETS, Settings

BUDGETS: dict[str, Settings] = {f"quick-{n}": replace(PRESETS["quick"], final_rounds=n) for n in (1, 2)} | {
    "quick": PRESETS["quick"],
    "quick-12": replace(PRESETS["quick"], final_rounds=12),
    "full": PRESETS["full"],
}
PUBLISHED = {"FAB": (2.13e8, 94.8), "TA-BG": (1e8, 95.8), "CMT": (1e8, 97.7)}


def run(folder: Path, name: str, seed: int) -> None:
    """Train unless that is done."""
    place, system = folder / f"{name}_{seed}", System.load("alanine_dipeptide")
    if (place / SUMMARY).exists():
        return
    if (place / STATE).exists():
        train(system, place, resume=True)
    else:
        train(system, place, seed=seed, settings=BUDGETS[name])


def finished(folder: Path) -> list[dict[str, Any]]:
    """Budget, seed, evaluations before the validation, and the summary's figures, of every finished run."""
    rows = []
    for name in BUDGETS:
        for place in sorted(folder.glob(f"{name}_*")):
            if (place / SUMMARY).exists():
                last = json.loads((place / METRICS).read_text().splitlines()[-1])
                rows.append(json.loads((place / SUMMARY).read_text()) | {"budget": name, "evaluations": last["n_energy_evaluations"]})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| budget | seed | evaluations | minutes | efficiency, % | clipped, % | largest weight, % | log Z |", "|---|" + 7 * "---|"]
    for r in rows:
        cells = [r["budget"], str(r["seed"]), f"{r['evaluations']:,}", f"{r['seconds'] / 60:.1f}"]
        cells += [f"{100 * r['sampling_efficiency']:.2f}", f"{100 * r['sampling_efficiency_clipped']:.2f}", f"{100 * r['largest_weight_share']:.3f}"]
        lines.append("| " + " | ".join([*cells, f"{r['log_z']:.4f} +- {r['log_z_error']:.4f}"]) + " |")
    return "\n".join(lines)


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """The figure: 1 - efficiency on a logarithmic axis, since 98 and 99 % are as far apart as 96 and 98."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    axes.loglog([r["evaluations"] for r in rows], [100 - 100 * r["sampling_efficiency"] for r in rows], "o", label="boltzgen, a run each")
    for name, (evaluations, efficiency) in PUBLISHED.items():
        axes.plot(evaluations, 100 - efficiency, "s", color="0.5")
        axes.annotate(name, (evaluations, 100 - efficiency), textcoords="offset points", xytext=(-6, 6), ha="right", color="0.3")
    axes.plot([], [], "s", color="0.5", label="as published, GPU")
    axes.set(xlabel="energy evaluations in training", ylabel="sampling efficiency, % (unclipped)")
    shown = [80, 90, 95, 97, 98, 99, 99.5, 99.8]
    axes.set_yticks([100 - v for v in shown], [f"{v:g}" for v in shown])
    axes.set_yticks([], minor=True)
    axes.set_ylim(20, 0.15)
    axes.axhline(2, color="0.8", linewidth=0.8)
    axes.legend(loc="upper left")
    figure.savefig(file, dpi=150)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--budgets", nargs="*", choices=BUDGETS, default=list(BUDGETS), metavar="NAME", help=f"of {', '.join(BUDGETS)}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--figure", type=Path, help="where to write the figure")
    options = parser.parse_args()
    for seed in options.seeds:
        for name in options.budgets:
            run(options.folder, name, seed)
    rows = finished(options.folder)
    print(table(rows))
    if options.figure is not None and rows:
        draw(rows, options.figure)


if __name__ == "__main__":
    main()
