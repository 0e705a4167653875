"""From a sequence to populations for many molecules, by the command line alone: what a few minutes of
training give, and how cost grows.

    python benchmarks/molecules.py FOLDER [--molecules NAME ...] [--minutes 4] [--seed 0] [-n 40960]
                                   [--sampling-seeds 5] [--quick] [--report]

For each molecule (by default the 20 capped amino acids and two hexapeptides, see `SEQUENCES`): `boltzgen
prepare --sequence`, `boltzgen train --minutes`, `boltzgen sample` and `boltzgen analyze` in FOLDER/NAME, with
nothing set by hand, and n draws with each of several sampling seeds. Finished ones are not repeated, so that
several processes can share the work by `--molecules`; `--report` prints what is there, and no more.

A line for each is printed: atoms, coordinates, parameters, rounds, energies and minutes of the whole run (its
validation and forward test included); the efficiency of all seeds' draws together, of single seeds, and
clipped; that of the draws of the untrained generator (the harmonic approximation with uniform torsions); what
the forward test of the run found; seconds for 10,000 draws with their energies. Then every chi torsion's
populations with 95 % intervals from the n draws of the first seed, the median and the least efficiency of the
capped amino acids, and the exponents of growth: slopes of least squares of log quantity against log atoms.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pooled import draws_cells, forward_cells, forward_of, pooled

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.free_energy.intervals import percent_interval
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.preparation.peptide import AMINO_ACIDS
from boltzgen.samples.shards import BLOCK

FORCEFIELD = [
    "--forcefield",
    "amber99sbildn.xml",
    "--forcefield",
    "amber99_obc.xml",
    "--constraints",
    "HBonds",
]
SEQUENCES = {name: f"ACE {name} NME" for name in AMINO_ACIDS} | {
    "hexapeptide": "ACE ALA ALA ALA ALA ALA NME",
    "mixed hexapeptide": "ACE GLY SER LEU ASP LYS NME",
}
#: Quantities whose growth with the number of atoms is fitted.
GROWING = ("n_parameters", "seconds_per_10000")


def boltzgen(*arguments: object) -> str:
    """The output of one command."""
    command = [sys.executable, "-m", "boltzgen", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"boltzgen {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def untrained(system: System, n: int) -> float:
    """The efficiency of n draws."""
    energy = energy_for(system)
    generator = BoltzmannGenerator.for_system(system, CountedEnergy(energy))
    return float(generator.sample(n, energy).sampling_efficiency)


def run(folder: Path, name: str, options: argparse.Namespace) -> None:
    """Everything for one molecule, unless that is done."""
    place = folder / name
    if (place / "result.json").exists():
        return
    place.mkdir(parents=True, exist_ok=True)
    if not (place / "system").exists():
        boltzgen("prepare", "--sequence", SEQUENCES[name], *FORCEFIELD, "-o", place / "system")
    if not (place / "run" / "summary.json").exists():
        resume = (place / "run" / "state.safetensors").exists()
        length = ["--rounds", 1] if options.quick else ["--minutes", options.minutes]
        boltzgen(
            "train",
            place / "system",
            "-o",
            place / "run",
            *(["--resume"] if resume else ["--seed", options.seed, *length]),
        )
    boltzgen("sample", place / "run", "-n", options.n, "-o", place / "samples.h5", "--force")
    report = json.loads(
        boltzgen("analyze", place / "samples.h5", "-o", place / "report", "--force", "--json")
    )
    system = System.load(place / "system")
    generator = BoltzmannGenerator.load(place / "run", system)
    summary = json.loads((place / "run" / "summary.json").read_text())
    n = -(-options.n // BLOCK) * BLOCK
    draws = pooled(generator, energy_for(system), n, options.sampling_seeds, show=False)
    result = {
        "molecule": name,
        "atoms": system.n_atoms,
        "periodic": generator.coordinates.n_periodic,
        "stiff": generator.coordinates.n_stiff,
        "n_parameters": sum(p.numel() for p in generator.flow.parameters()),
        "rounds": summary["settings"]["rounds"],
        "energies": summary["n_energy_evaluations"],
        "minutes": summary["seconds"] / 60,
        "draws": draws,
        "untrained": untrained(system, options.n),
        "forward": forward_of(summary),
        "seconds_per_10000": 1e4 * draws["seconds"] / draws["n"],
        "rotamers": {k: v for k, v in report["rotamers"].items() if k.startswith("chi")},
        "threads": torch.get_num_threads(),
    }
    (place / "result.json").write_text(json.dumps(result))


def table(results: list[dict[str, Any]]) -> str:
    heads = ["molecule", "atoms", "periodic", "stiff", "parameters", "rounds", "energies", "minutes"]
    heads += ["efficiency, %", "of single seeds", "clipped, %", "untrained, %"]
    heads += ["forward ESS, %", "largest log w", "forward test", "s for 10,000"]
    lines = ["| " + " | ".join(heads) + " |", "|" + len(heads) * "---|"]
    for r in results:
        cells = [r["molecule"], r["atoms"], r["periodic"], r["stiff"], f"{r['n_parameters']:,}"]
        cells += [r["rounds"], f"{r['energies']:.2e}", f"{r['minutes']:.1f}"]
        cells += [*draws_cells(r["draws"]), f"{100 * r['untrained']:.2g}"]
        cells += [*forward_cells(r["forward"]), f"{r['seconds_per_10000']:.2f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def populations(results: list[dict[str, Any]]) -> str:
    lines = ["| molecule | torsion | populations, % (95 % interval) |", "|---|---|---|"]
    for r in results:
        for name, states in r["rotamers"].items():
            shown = [f"{s['name']} {population(s)}" for s in states]
            lines.append(f"| {r['molecule']} | {name} | {', '.join(shown)} |")
    return "\n".join(lines)


def population(state: dict[str, Any]) -> str:
    interval = percent_interval(state["low"], state["high"])
    return interval if state["is_upper_bound"] else f"{100 * state['population']:.3g} ({interval})"


def exponent(results: list[dict[str, Any]], key: str) -> float:
    atoms, values = (np.log([r[k] for r in results]) for k in ("atoms", key))
    return float(np.polyfit(atoms, values, 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--molecules", nargs="+", choices=SEQUENCES, default=list(SEQUENCES), metavar="NAME")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-n", type=int, default=40_960, help="draws for each sampling seed")
    parser.add_argument("--sampling-seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a single round of training: does it run?")
    parser.add_argument("--report", action="store_true", help="print the table of what is there, and no more")
    options = parser.parse_args()
    for name in () if options.report else options.molecules:
        run(options.folder, name, options)
    finished = [options.folder / name / "result.json" for name in SEQUENCES]
    results = [json.loads(file.read_text()) for file in finished if file.exists()]
    print(table(results), populations(results), sep="\n\n", end="\n\n")
    capped = [100 * r["draws"]["efficiency"] for r in results if r["molecule"] in AMINO_ACIDS]
    if capped:
        print(f"{len(capped)} capped amino acids: median efficiency {np.median(capped):.1f} %, ", end="")
        print(f"least {min(capped):.1f} %")
    if len({r["atoms"] for r in results}) > 1:
        print(
            ", ".join(f"{key} grows with atoms to the power {exponent(results, key):.2f}" for key in GROWING)
        )


if __name__ == "__main__":
    main()
