"""Train alanine dipeptide with smaller and smaller budgets, and draw efficiency against energy evaluations.

    python benchmarks/budgets.py FOLDER [--budgets N ...] [--seeds 0 1 2]
    [--results docs/results/efficiency.csv] [--figure docs/results/efficiency.png]

Every run is `boltzgen train alanine_dipeptide --rounds N`, in FOLDER/N_SEED; finished ones are not repeated
and interrupted ones go on. A run's point is the unclipped efficiency of its 1e5 validation draws against all
energies that it computed before these, minimisation and Hessian included. Printed and drawn are all finished
runs in FOLDER and those that the file of results has from before; it gets the new ones. `--budgets` without a
number trains nothing. Other methods' points are those of their papers, at second hand: the same force field
and temperature, their own numbers of samples and clipping, domains that differ slightly from ours.
"""

import argparse
import csv
import json
import math
from pathlib import Path

from boltzgen.generator.locate import SUMMARY
from boltzgen.molecule.system import System
from boltzgen.training.checkpoint import METRICS, STATE
from boltzgen.training.run import train
from boltzgen.training.settings import Settings

BUDGETS = (4, 8, 12, 20, 60, 160)
PUBLISHED = {"FAB": (2.13e8, 94.8), "TA-BG": (1e8, 95.8), "CMT": (1e8, 97.7)}


def run(folder: Path, rounds: int, seed: int) -> None:
    """Train unless that is done."""
    place, system = folder / f"{rounds}_{seed}", System.load("alanine_dipeptide")
    if (place / SUMMARY).exists():
        return
    if (place / STATE).exists():
        train(system, place, resume=True)
    else:
        train(system, place, seed=seed, settings=Settings(rounds=rounds))


COLUMNS = [
    "rounds",
    "seed",
    "evaluations",
    "minutes",
    "efficiency, %",
    "clipped, %",
    "largest weight, %",
    "log Z",
    "its error",
    "threads",
]


def finished(folder: Path) -> list[dict[str, str]]:
    """Rounds, seed, evaluations before the validation, and the summary's figures, of every finished run; keys
    are `COLUMNS`.
    """
    rows = []
    for rounds in BUDGETS:
        for place in sorted(folder.glob(f"{rounds}_[0-9]*")):
            if (place / SUMMARY).exists():
                last, r = (
                    json.loads((place / METRICS).read_text().splitlines()[-1]),
                    json.loads((place / SUMMARY).read_text()),
                )
                values = [
                    str(rounds),
                    str(r["seed"]),
                    str(last["n_energy_evaluations"]),
                    f"{r['seconds'] / 60:.1f}",
                    f"{100 * r['sampling_efficiency']:.2f}",
                ]
                values += [
                    f"{100 * r['sampling_efficiency_clipped']:.2f}",
                    f"{100 * r['largest_weight_share']:.3f}",
                ]
                values += [
                    f"{r['log_z']:.4f}",
                    f"{r['log_z_error'] or math.nan:.4f}",
                    str(r["hardware"]["threads"]),
                ]
                rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def merged(rows: list[dict[str, str]], results: Path | None) -> list[dict[str, str]]:
    """With those of the file, which is written anew."""
    if results is None:
        return rows
    if results.exists():
        known = {(r["rounds"], r["seed"]) for r in rows}
        with results.open(newline="") as file:
            rows = rows + [r for r in csv.DictReader(file) if (r["rounds"], r["seed"]) not in known]
    rows = sorted(rows, key=lambda r: (int(r["rounds"]), int(r["seed"])))
    with results.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return rows


def table(rows: list[dict[str, str]]) -> str:
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + len(COLUMNS) * "---|"]
    return "\n".join(lines + ["| " + " | ".join(r[c] for c in COLUMNS) + " |" for r in rows])


def draw(rows: list[dict[str, str]], file: Path) -> None:
    """The figure: 1 - efficiency on a logarithmic axis, since 98 and 99 % are as far apart as 96 and 98."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    axes.loglog(
        [int(r["evaluations"]) for r in rows],
        [100 - float(r["efficiency, %"]) for r in rows],
        "o",
        label="boltzgen, a run each",
    )
    for name, (evaluations, efficiency) in PUBLISHED.items():
        axes.plot(evaluations, 100 - efficiency, "s", color="0.5")
        axes.annotate(
            name,
            (evaluations, 100 - efficiency),
            textcoords="offset points",
            xytext=(-6, 6),
            ha="right",
            color="0.3",
        )
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--budgets",
        nargs="*",
        type=int,
        choices=BUDGETS,
        default=BUDGETS,
        metavar="N",
        help=f"of {', '.join(map(str, BUDGETS))}",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--results", type=Path, help="a file of results, to be read and written")
    parser.add_argument("--figure", type=Path, help="where to write the figure")
    options = parser.parse_args()
    for seed in options.seeds:
        for rounds in options.budgets:
            run(options.folder, rounds, seed)
    rows = merged(finished(options.folder), options.results)
    print(table(rows))
    if options.figure is not None and rows:
        draw(rows, options.figure)


if __name__ == "__main__":
    main()
