"""Where generators win: effective samples a second of a generator, of replica exchange and of dynamics.

    python benchmarks/map.py FOLDER [--molecules ALA2 ...] [--minutes 4] [-n 100000] [--seed 0]
                                    [--json FILE] [--report] [--quick]

Molecules are ACE-(ALA)n-NME for n = 1 to 9 ("ALA2" to "ALA10", as residues with one cap count) and mixed
peptides, in AMBER ff99SB-ILDN with OBC2, bonds to hydrogen constrained, 300 K. Each, in FOLDER/NAME, gets the
same minutes of each way, one after the other:

    generator   `boltzgen train --minutes M`, then `boltzgen sample -n N`
    remd        `boltzgen simulate --walkers 16 --interval 10`, frames for M minutes
    md          `boltzgen simulate --method md --walkers 8 --interval 100`, frames for M minutes, the walkers
                one after the other

A simulation takes longer where its starts, the tuning of its steps and its first frames do. Effective
samples of a way are the median, over the residues' regions with a share of 2 to 98 % in the replica
exchange, of p (1 - p) / error^2, with the error that the way's own walkers or draws have (of draws that are
too few for an error, that of as many independent ones), or with the distance from the replica exchange
where that is more than two standard errors. They are given per second of all that the way took, for the
generator also without training. *Off* are the regions of those that are so far away. Training pays after as
many minutes as it takes the generator to have more of them than replica exchange in the same time, unless
more than one and more than a tenth of the regions are off. Largest z is of all regions, whose shares by the
generator and by replica exchange follow. Finished parts are not repeated, nor molecules whose results the
JSON file has; `--report` prints what is there, and no more.
"""

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from kept import results
from pooled import forward_cells, forward_of

from boltzgen.molecule.system import System

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
#: The share of regions, or a single one, that may be off by chance.
_MOST_OFF = 0.1
#: Standard errors in a 95 % interval.
_INTERVAL = 2 * 1.96
#: How the simulations are set up: few walkers, and short ways between frames, for short times.
WAYS: dict[str, list[object]] = {
    "remd": ["--walkers", 16, "--interval", 10],
    "md": ["--method", "md", "--walkers", 8, "--interval", 100],
}


def boltzgen(*arguments: object) -> dict[str, Any]:
    """What one command says as JSON."""
    command = [sys.executable, "-m", "boltzgen", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"boltzgen {' '.join(map(str, arguments))}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def simulated(folder: Path, system: Path, minutes: float, *options: object) -> dict[str, Any]:
    """A simulation of so many minutes: a checkpoint, then as many frames as there is time for."""
    file = folder / "simulation.json"
    if not (folder / "done").exists():
        if not file.exists():
            # One that was stopped before its first frames begins anew.
            boltzgen("simulate", system, "-o", folder, "-n", 1, *options, "--force")
        summary = json.loads(file.read_text())
        # Frames come in whole checkpoints.
        first, costs = summary["plan"]["checkpoint_frames"], summary["costs"]
        before = sum((costs[part] or {"seconds": 0.0})["seconds"] for part in ("starts", "tuning"))
        frames = int(first * (60 * minutes - before) / costs["frames"]["seconds"])
        if frames > first:
            boltzgen("simulate", system, "-o", folder, "-n", frames, "--resume")
        (folder / "done").touch()
    found: dict[str, Any] = json.loads(file.read_text())
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
    remd, md = (simulated(place / way, system, options.minutes, *how) for way, how in WAYS.items())
    judged = boltzgen(
        "evaluate", trained, "-n", options.n, "--reference", place / "remd" / "reference.h5", "--force"
    )
    summary = json.loads((trained / "summary.json").read_text())
    result = {
        "molecule": name,
        "atoms": System.load(system).n_atoms,
        "minutes": options.minutes,
        "training_seconds": summary["seconds"],
        "energies": summary["n_energy_evaluations"],
        "drawing_seconds": drawn["seconds"],
        "efficiency": drawn["sampling_efficiency"],
        "clipped": drawn["sampling_efficiency_clipped"],
        "effective": drawn["effective_sample_size"],
        "forward": forward_of(summary),
        "remd": _part(remd),
        "md": _part(md),
        "regions": judged["regions"],
        "missing": judged["missing_modes"],
    }
    file.write_text(json.dumps(result))
    return result


def _part(summary: dict[str, Any]) -> dict[str, Any]:
    return {
        "seconds": summary["seconds"],
        "energies": summary["n_energy_evaluations"],
        "stationary": summary["stationarity"]["stationary"],
        "shares": [
            [residue, row["name"], row["population"], row["error"]]
            for residue, rows in summary["regions"].items()
            for row in rows
        ],
    }


def shares(result: dict[str, Any], way: str) -> dict[tuple[str, str], tuple[float, float]]:
    """Share and its error of each residue's region, by one way."""
    if way == "generator":
        return {(row["residue"], row["name"]): _share(row, result["effective"]) for row in result["regions"]}
    return {(residue, name): (p, error) for residue, name, p, error in result[way]["shares"]}


def _share(row: dict[str, Any], effective: float) -> tuple[float, float]:
    """A generator's share, and its error: where that is not estimated, that of so many effective draws."""
    p = row["population"]
    if row["low"] is None:
        return p, math.sqrt(p * (1 - p) / effective)
    return p, (row["high"] - row["low"]) / _INTERVAL


def effective(result: dict[str, Any], way: str) -> tuple[float, int, int]:
    """Effective samples of a way, the median over regions; how many of these are off; how many they are."""
    truth, found, off = shares(result, "remd"), [], 0
    for region, (p, error) in shares(result, way).items():
        known, known_error = truth.get(region, (0.0, 0.0))
        if not _LEAST < known < 1 - _LEAST:
            continue
        away = abs(p - known)
        if away > 2 * math.hypot(error, known_error):
            off, error = off + 1, max(away, error)
        found.append(known * (1 - known) / error**2 if error > 0 else 0.0)
    return float(np.median(found)) if found else math.nan, off, len(found)


def pays_after(training: float, drawing: float, other: float) -> float:
    """Seconds after which so many effective samples a second, training before them, are more than others."""
    return training * drawing / (drawing - other) if drawing > other else math.inf


def rows(result: dict[str, Any]) -> str:
    training, drawing = result["training_seconds"], result["drawing_seconds"]
    found = {way: effective(result, way) for way in ("generator", "remd", "md")}
    n, off, regions = found["generator"]
    remd, md = (found[way][0] / result[way]["seconds"] for way in ("remd", "md"))
    pays = math.inf if off > max(1, _MOST_OFF * regions) else pays_after(training, n / drawing, remd) / 60
    worst = max(result["regions"], key=lambda row: abs(row["z"]), default=None)
    z = "" if worst is None else f"{worst['z']:+.1f} ({worst['residue']} {worst['name']})"
    cells = [result["molecule"], result["atoms"], f"{result['energies']:.2e}"]
    cells += [f"{100 * result[key]:.3g}" for key in ("efficiency", "clipped")]
    cells += forward_cells(result["forward"])
    cells += [f"{n / drawing:.3g}", f"{n / (training + drawing):.3g}", f"{remd:.3g}", f"{md:.3g}"]
    cells += [f"{pays:.1f}" if math.isfinite(pays) else "no", f"{off} of {regions}", z]
    cells += [f"{found['md'][1]} of {found['md'][2]}", "yes" if result["remd"]["stationary"] else "no"]
    return "| " + " | ".join(map(str, cells)) + " |"


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
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-n", type=int, default=100_000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="results are kept here")
    parser.add_argument("--report", action="store_true", help="print what is there, and no more")
    parser.add_argument("--quick", action="store_true", help="a single round of training: does it run?")
    options = parser.parse_args()
    known = results(options.folder, SEQUENCES, options.json)
    for name in [] if options.report else options.molecules:
        if name not in known:
            run(options.folder / name, name, options)
    found = list(results(options.folder, SEQUENCES, options.json).values())
    print(
        "| molecule | atoms | energies | efficiency, % | clipped, % | forward ESS, % | largest log w | "
        "forward test | effective / s, drawing | "
        "with training | replica exchange | dynamics | training pays after, min | off | largest z | "
        "dynamics off | replica exchange stationary |\n" + "|---" * 17 + "|"
    )
    print("\n".join(map(rows, found)), end="\n\n")
    print("\n\n".join(map(populations, found)))


if __name__ == "__main__":
    main()
