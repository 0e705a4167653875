"""Whether training with its defaults holds for molecules of many kinds and sizes.

    python benchmarks/defaults.py FOLDER [--molecules NAME ...] [--seeds 0 1 2] [--rounds 24] [--jobs 2]

Each molecule (see `MOLECULES`) is prepared by `boltzgen prepare` and trained by `boltzgen train --rounds`,
from each training seed, in FOLDER/NAME. Finished runs are not repeated and interrupted ones go on. `--jobs`
trainings run at once, each on one thread. A line for each run: learning rate at the start and at the end, how
often training went back, energies and minutes, efficiency of 100,000 validation draws, unclipped and clipped,
log Z, and the forward test of the summary.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
_PEPTIDE = ["--forcefield", "amber99sbildn.xml", "--forcefield", "amber99_obc.xml", "--constraints", "HBonds"]
#: Arguments of `boltzgen prepare`.
MOLECULES: dict[str, list[str]] = {
    "ARG": ["--sequence", "ACE ARG NME", *_PEPTIDE],
    "TRP": ["--sequence", "ACE TRP NME", *_PEPTIDE],
    "ibuprofen": [
        str(DATA / "ibuprofen" / "ibuprofen.pdb"),
        "--system",
        str(DATA / "ibuprofen" / "ibuprofen_system.xml"),
    ],
    "GLF": ["--sequence", "GLY LEU PHE", *_PEPTIDE],
    "tetrapeptide": ["--sequence", "ACE ALA ALA ALA NME", *_PEPTIDE],
    "hexapeptide": ["--sequence", "ACE ALA ALA ALA ALA ALA NME", *_PEPTIDE],
}


def boltzgen(*arguments: object) -> None:
    """Run one command on one thread; RuntimeError with what it said if it fails."""
    command = [sys.executable, "-m", "boltzgen", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"boltzgen {' '.join(map(str, arguments))}: {done.stderr}")


def train(system: Path, seed: int, rounds: int) -> Path:
    """The finished run of a seed."""
    run = system.parent / f"{rounds} rounds, seed {seed}"
    if not (run / "summary.json").exists():
        resume = (run / "state.safetensors").exists()
        boltzgen(
            "train", system, "-o", run, *(["--resume"] if resume else ["--seed", seed, "--rounds", rounds])
        )
    return run


def row(name: str, run: Path) -> dict[str, Any]:
    """What the run's files say."""
    summary = json.loads((run / "summary.json").read_text())
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    forward = summary.get("forward", {})
    return {
        "molecule": name,
        "seed": summary["seed"],
        "learning rate": f"{metrics[0]['learning_rate']:.2g} to {metrics[-1]['learning_rate']:.2g}",
        "went back": sum("went_back" in m for m in metrics),
        "energies": f"{summary['n_energy_evaluations']:.2e}",
        "minutes": f"{summary['seconds'] / 60:.1f}",
        "efficiency, %": f"{100 * summary['sampling_efficiency']:.1f}",
        "clipped, %": f"{100 * summary['sampling_efficiency_clipped']:.1f}",
        "log Z": f"{summary['log_z']:.3f} +- {summary['log_z_error'] or math.nan:.3f}",
        "forward ESS, %": f"{100 * forward['forward_ess']:.1f}" if forward else "",
        "largest log w": f"{forward['largest_log_w']:.1f}" if forward else "",
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([str(v) for v in r.values()] for r in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--molecules", nargs="+", choices=MOLECULES, default=list(MOLECULES), metavar="NAME")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    for name in options.molecules:
        system = options.folder / name / "system"
        if not system.exists():
            system.parent.mkdir(parents=True, exist_ok=True)
            boltzgen("prepare", *MOLECULES[name], "-o", system)
    with ThreadPoolExecutor(options.jobs) as pool:
        runs = {
            (name, seed): pool.submit(train, options.folder / name / "system", seed, options.rounds)
            for seed in options.seeds
            for name in options.molecules
        }
    print(
        table([row(name, runs[name, seed].result()) for name in options.molecules for seed in options.seeds])
    )


if __name__ == "__main__":
    main()
