"""Where generators win: effective samples a second of a generator, of replica exchange and of dynamics.

    python benchmarks/map.py FOLDER [--molecules ALA2 ...] [--minutes 30] [-n 100000] [--seed 0] [--quick]

Molecules are ACE-(ALA)n-NME for n = 1 to 9 ("ALA2" to "ALA10", as residues with one cap count) and mixed
peptides, in AMBER ff99SB-ILDN with OBC2, bonds to hydrogen constrained, 300 K. Each, in FOLDER/NAME, gets the
same minutes of each way, one after the other:

    generator   `boltzgen train --minutes M`, then `boltzgen sample -n N`
    remd        `boltzgen simulate`, frames for M minutes
    md          `boltzgen simulate --method md`, 8 walkers one after the other, frames for M minutes

Effective samples of a way are the median, over the residues' regions with a share of 2 to 98 % in the replica
exchange, of p (1 - p) / error^2, with the error that the way's own walkers or draws have; for the dynamics
also with the distance from the replica exchange, where that is larger. They are given per second of all that
the way took, and for the generator also without training. Then the shares of all regions by the generator and
by replica exchange, with z. Finished parts are not repeated.
"""

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

FORCEFIELD = [
    "--forcefield",
    "amber99sbildn.xml",
    "--forcefield",
    "amber99_obc.xml",
    "--constraints",
    "HBonds",
]
SEQUENCES = {f"ALA{n + 1}": "ACE " + "ALA " * n + "NME" for n in range(1, 10)}
SEQUENCES |= {
    "charged": "ACE LYS GLU ALA NME",
    "aromatic": "ACE TRP ALA PHE NME",
    "proline": "ACE ALA PRO ALA NME",
    "polar": "ACE SER ASN THR NME",
    "sulfur": "ACE CYS GLY MET NME",
    "chignolin": "GLY TYR ASP PRO GLU THR GLY THR TRP GLY",
}
#: Regions that count: neither next to nothing nor all of the ensemble.
_LEAST = 0.02
#: Frames by which the pace of a simulation is found.
_FIRST = 4


def boltzgen(*arguments: object) -> dict[str, Any]:
    """What one command says as JSON."""
    command = [sys.executable, "-m", "boltzgen", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"boltzgen {' '.join(map(str, arguments))}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def simulated(folder: Path, system: Path, minutes: float, *options: object) -> dict[str, Any]:
    """A simulation of so many minutes: a few frames, then as many as there is time for."""
    summary = folder / "simulation.json"
    if not (folder / "done").exists():
        if not summary.exists():
            boltzgen("simulate", system, "-o", folder, "-n", _FIRST, *options)
        costs = json.loads(summary.read_text())["costs"]
        pace = costs["frames"]["seconds"] / _FIRST
        before = sum((costs[part] or {"seconds": 0.0})["seconds"] for part in ("starts", "tuning"))
        frames = max(_FIRST, int((60 * minutes - before) / pace))
        boltzgen("simulate", system, "-o", folder, "-n", frames, "--resume")
        (folder / "done").touch()
    found: dict[str, Any] = json.loads(summary.read_text())
    return found


def run(place: Path, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Everything for one molecule, unless that is done."""
    file = place / "result.json"
    if file.exists():
        kept: dict[str, Any] = json.loads(file.read_text())
        return kept
    place.mkdir(parents=True, exist_ok=True)
    system, trained = place / "system", place / "run"
    if not system.exists():
        boltzgen("prepare", "--sequence", SEQUENCES[name], *FORCEFIELD, "-o", system)
    if not (trained / "summary.json").exists():
        resume = (trained / "state.safetensors").exists()
        length = ["--rounds", 1] if options.quick else ["--minutes", options.minutes]
        how = ["--resume"] if resume else ["--seed", options.seed, *length]
        boltzgen("train", system, "-o", trained, *how)
    drawn = boltzgen("sample", trained, "-n", options.n, "-o", place / "samples.h5", "--force")
    remd = simulated(place / "remd", system, options.minutes)
    md = simulated(place / "md", system, options.minutes, "--method", "md", "--walkers", 8)
    judged = boltzgen(
        "evaluate", trained, "-n", options.n, "--reference", place / "remd" / "reference.h5", "--force"
    )
    summary = json.loads((trained / "summary.json").read_text())
    result = {
        "molecule": name,
        "training_seconds": summary["seconds"],
        "energies": summary["n_energy_evaluations"],
        "drawing_seconds": drawn["seconds"],
        "efficiency": drawn["sampling_efficiency"],
        "clipped": drawn["sampling_efficiency_clipped"],
        "effective": drawn["effective_sample_size"],
        "remd": _part(remd),
        "md": _part(md),
        "regions": judged["regions"],
        "missing": judged["missing_modes"],
    }
    file.write_text(json.dumps(result))
    return result


def _part(summary: dict[str, Any]) -> dict[str, Any]:
    shares = {
        (residue, row["name"]): (row["population"], row["error"])
        for residue, rows in summary["regions"].items()
        for row in rows
    }
    return {
        "seconds": summary["seconds"],
        "energies": summary["n_energy_evaluations"],
        "stationary": summary["stationarity"]["stationary"],
        "shares": [[*name, *values] for name, values in shares.items()],
    }


def effective(result: dict[str, Any], way: str) -> float:
    """Effective samples of a simulation: the median over regions."""
    truth = {(r, n): p for r, n, p, _ in result["remd"]["shares"]}
    found = []
    for residue, name, p, error in result[way]["shares"]:
        known = truth.get((residue, name), 0.0)
        if not _LEAST < known < 1 - _LEAST:
            continue
        away = abs(p - known) if way == "md" else 0.0
        spread = max(error, away)
        found.append(known * (1 - known) / spread**2 if spread > 0 else 0.0)
    return float(np.median(found)) if found else math.nan


def rows(result: dict[str, Any]) -> str:
    training, drawing = result["training_seconds"], result["drawing_seconds"]
    n = result["effective"]
    ways = {way: effective(result, way) / result[way]["seconds"] for way in ("remd", "md")}
    worst = max(result["regions"], key=lambda row: abs(row["z"]), default=None)
    z = "" if worst is None else f"{worst['z']:+.1f} ({worst['residue']} {worst['name']})"
    return (
        f"| {result['molecule']} | {100 * result['efficiency']:.1f} | {100 * result['clipped']:.1f} | "
        f"{training / 60:.0f} | {n / drawing:.3g} | {n / (training + drawing):.3g} | {ways['remd']:.3g} | "
        f"{ways['md']:.3g} | {z} | {'yes' if result['remd']['stationary'] else 'no'} | "
        f"{len(result['missing'])} |"
    )


def populations(result: dict[str, Any]) -> str:
    lines = [
        f"{result['molecule']}: residue, region, replica exchange, generator, z",
        *(
            f"| {row['residue']} {row['name']} | {100 * row['reference']:.3g} +- "
            f"{100 * row['reference_error']:.2g} | {100 * row['population']:.3g} | {row['z']:+.1f} |"
            for row in result["regions"]
        ),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--molecules", nargs="+", choices=SEQUENCES, default=list(SEQUENCES), metavar="NAME")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-n", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="a single round of training: does it run?")
    options = parser.parse_args()
    for name in options.molecules:
        run(options.folder / name, name, options)
    results = [
        json.loads(file.read_text())
        for name in SEQUENCES
        if (file := options.folder / name / "result.json").exists()
    ]
    print(
        "| molecule | efficiency, % | clipped, % | training, min | effective / s, drawing | with training | "
        "replica exchange | dynamics | largest z | stationary | missing |\n" + "|---" * 11 + "|"
    )
    print("\n".join(map(rows, results)), end="\n\n")
    print("\n\n".join(map(populations, results)))


if __name__ == "__main__":
    main()
