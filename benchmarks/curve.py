"""The curve of a run: efficiency and temperature against energies, from its `metrics.jsonl`.

    python benchmarks/curve.py RUN [RUN ...] [--every 10] [--figure FILE]

Runs follow each other, as with `boltzgen train --from`: each one's energies are added to those before.
Printed is a table of every tenth round: the efficiency, unclipped and clipped, of its draws (44,800 with
default settings, fewer while the temperature falls) towards the temperature shown, each weighted by the
parameters that made it; and each run's validation draws with clipped efficiency, log Z and minutes.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from boltzgen.generator.locate import SUMMARY
from boltzgen.training.checkpoint import METRICS


def read(runs: list[Path]) -> list[dict[str, Any]]:
    """A row for each round, and one for each run's validation; energies and rounds count on from one run to
    the next.
    """
    rows: list[dict[str, Any]] = []
    energies = rounds = 0
    for run in runs:
        for line in (run / METRICS).read_text().splitlines():
            m = json.loads(line)
            row = {
                "round": rounds + m["round"] + 1,
                "temperature": m["temperature"],
                "energies": energies + m["n_energy_evaluations"],
            }
            row |= {"efficiency": m["sampling_efficiency"], "clipped": m["sampling_efficiency_clipped"]}
            rows.append(row | {"minutes": m["seconds"] / 60, "run": run.name})
        rounds = rows[-1]["round"]
        if (run / SUMMARY).exists():
            s = json.loads((run / SUMMARY).read_text())
            energies += s["n_energy_evaluations"]
            row = {
                "round": "validation",
                "temperature": s["temperature"],
                "energies": energies,
                "efficiency": s["sampling_efficiency"],
            }
            row |= {
                "clipped": s["sampling_efficiency_clipped"],
                "log_z": f"{s['log_z']:.4f} +- {s['log_z_error'] or math.nan:.4f}",
            }
            rows.append(row | {"minutes": s["seconds"] / 60, "run": run.name})
    return rows


def table(rows: list[dict[str, Any]], every: int) -> str:
    lines = [
        "| run | round | temperature, K | energies | minutes | efficiency, % | clipped, % | log Z |",
        "|" + 8 * "---|",
    ]
    for row in rows:
        if row["round"] == "validation" or row["round"] % every == 0:
            clipped = f"{100 * row['clipped']:.1f}" if "clipped" in row else ""
            cells = [
                row["run"],
                row["round"],
                f"{row['temperature']:.0f}",
                f"{row['energies']:.3g}",
                f"{row['minutes']:.1f}",
            ]
            lines.append(
                "| "
                + " | ".join(
                    map(str, [*cells, f"{100 * row['efficiency']:.1f}", clipped, row.get("log_z", "")])
                )
                + " |"
            )
    return "\n".join(lines)


def plot(rows: list[dict[str, Any]], file: Path) -> None:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    rounds = [row for row in rows if row["round"] != "validation"]
    ends = [row for row in rows if row["round"] == "validation"]
    axes.plot(
        [row["energies"] for row in rounds],
        [100 * row["efficiency"] for row in rounds],
        lw=0.8,
        label="a round's draws",
    )
    axes.plot(
        [row["energies"] for row in ends], [100 * row["efficiency"] for row in ends], "o", label="validation"
    )
    axes.set(xlabel="energy evaluations", ylabel="sampling efficiency, %", ylim=(0, 100))
    axes.legend(loc="upper left")
    beside = axes.twinx()
    beside.plot(
        [row["energies"] for row in rounds], [row["temperature"] for row in rounds], "--", color="0.6", lw=1
    )
    beside.set_ylabel("temperature, K (dashed)")
    figure.savefig(file, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    rows = read(options.runs)
    print(table(rows, options.every))
    if options.figure:
        plot(rows, options.figure)


if __name__ == "__main__":
    main()
