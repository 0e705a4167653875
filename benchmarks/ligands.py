"""Drugs from SMILES: what `prepare` says of them, and whether energies and coordinates are right away from
the minimum. With `--minutes`, what a short training gives.

    python benchmarks/ligands.py FOLDER [--molecules NAME ...] [--frames 20] [--seed 0] [--minutes 10]
        [-n 40960]
    python benchmarks/ligands.py FOLDER --report [--json FILE]

Needs the extra `ligands`. For each molecule of `ligand_molecules.py` (the twenty-five drugs, or those that
are named), in FOLDER/NAME: `prepare` with OpenFF
2.3.0, NAGL's charges and OBC2; FRAMES of OpenMM's Langevin dynamics at 600 K, one each 0.5 ps (steps of 0.5
fs); on them the batched energy against OpenMM's Reference platform, the way through the coordinates and back,
the share of frames inside the domain and what others break; at the first and last of them log|det| against
the autograd Jacobian. A row is printed for each molecule and kept in FOLDER/NAME/check.json; finished ones
are not repeated.

With `--minutes M` each molecule is then trained for M minutes, sampled (n draws for each of five sampling
seeds), analyzed, and compared with replica exchange; each of RDKit's conformers, minimised by the force
field, is looked for among the draws of the first seed, within 40 degrees in every torsion. A row for each is
kept in FOLDER/NAME/result.json, so that several processes can share the work by `--molecules`; a molecule
that fails is named with its message and the others go on. `--report` prints the table of what is there;
with `--json` it puts that into FILE, in place of what FILE has of the same molecules, and prints all of FILE,
so that the work can be divided among machines.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openmm
import torch
from kept import results
from ligand_molecules import CHAIRS, MOLECULES
from openmm import unit
from pooled import draws_cells, forward_cells, forward_of, pooled

from boltzgen.analysis.strain import placed
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.choose import energy_for
from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.energy.openmm import OpenMMEnergy
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.geometry import wrap
from boltzgen.molecule.system import System
from boltzgen.preparation.ligands.source import PROTONATION
from boltzgen.preparation.relax import minimise
from boltzgen.preparation.run import prepare
from boltzgen.samples.file import read_samples
from boltzgen.samples.sdf import Connections
from boltzgen.samples.shards import BLOCK

KNOWN = MOLECULES | CHAIRS
FORCEFIELD, SOLVENT = "openff-2.3.0", "OBC2"
HOT = 600.0
#: Degrees within which every full torsion of a draw must be for it to be in a conformer's basin.
_NEAR = 40.0
#: Conformers within this energy, in kT, of the lowest are expected among the draws.
_LOW = 5.0
_SEEDS = 5
#: Of what `evaluate` finds missing: modes by their populations; all else is told by weights of the reference.
_MODES = {"basin", "region", "arc"}
#: Of the replica exchange.
_WALKERS = 32
_CONFORMERS = 50


def frames(system: System, n: int, seed: int) -> torch.Tensor:
    """Positions (n, n_atoms, 3) in nm, 0.5 ps apart, at 600 K from the reference positions."""
    integrator = openmm.LangevinMiddleIntegrator(
        HOT * unit.kelvin, 1 / unit.picosecond, 0.0005 * unit.picosecond
    )
    integrator.setRandomNumberSeed(seed + 1)
    platform = openmm.Platform.getPlatformByName("CPU")
    context = openmm.Context(system.openmm_system, integrator, platform, {"Threads": "1"})
    context.setPositions(system.positions.numpy())
    context.setVelocitiesToTemperature(HOT, seed + 1)
    found = []
    for _ in range(n):
        integrator.step(1000)
        state = context.getState(getPositions=True)
        found.append(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer))
    return torch.tensor(np.array(found), dtype=torch.float64)


def jacobian_error(coordinates: MolecularCoordinates, y: torch.Tensor) -> float:
    """|log_det - log|det|| of the square Jacobian of (y, rotation, translation) -> x, at y (3n - 6,)."""
    x, log_det = coordinates(y)
    columns = torch.autograd.functional.jacobian(lambda v: coordinates(v)[0].flatten(), y)
    turns = torch.stack(
        [torch.linalg.cross(axis.expand_as(x), x).flatten() for axis in torch.eye(3).to(x)], -1
    )
    shifts = torch.eye(3).to(x).repeat(len(x), 1)
    square = torch.cat((columns, turns, shifts), -1)
    return float((torch.linalg.slogdet(square).logabsdet - log_det).abs())


def check(place: Path, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """A molecule's row."""
    file = place / "check.json"
    if file.exists():
        return json.loads(file.read_text())
    molecule = KNOWN[name]
    made = prepare(
        None, place / "system", smiles=molecule.smiles, forcefield=FORCEFIELD, solvent=SOLVENT, force=True
    )
    system = System.load(place / "system")
    x = frames(system, options.frames, options.seed)
    ours, reference = ForceFieldEnergy(system).potential(x), OpenMMEnergy(system).potential(x)
    coordinates = MolecularCoordinates(system)
    x = coordinates.canonical(x)
    y, log_det = coordinates.inverse(x)
    back, back_log_det = coordinates(y)
    apart = [torch.cdist(r, r, compute_mode="donot_use_mm_for_euclid_dist") for r in (x, back)]
    conditions = coordinates.domain_conditions(y)
    rings = {frozenset(bond) for bond in system.graph.ring_bonds()}
    row = {
        "molecule": name,
        "atoms": system.n_atoms,
        "torsions": coordinates.n_full,
        "rotors": coordinates.n_rotors,
        "rings": len(rings) - len({i for bond in rings for i in bond}) + _ring_systems(rings),
        "energy": made["energy"],
        "energy_error": float((ours - reference).abs().max()),
        "round_trip": float((apart[0] - apart[1]).abs().max()),
        "log_det_inverse": float((log_det + back_log_det).abs().max()),
        "jacobian": max(jacobian_error(coordinates, y[k]) for k in (0, -1)),
        "inside": float(coordinates.in_domain(y).double().mean()),
        "broken": {key: int((~met).sum()) for key, met in conditions.items() if not bool(met.all())},
        "flags": [text for text in made["notes"] if text != PROTONATION],
        "domain": system.domain.model_dump(),
        "prepare_notes": made["notes"],
    }
    file.write_text(json.dumps(row))
    return row


def _ring_systems(bonds: set[frozenset[int]]) -> int:
    """Connected pieces of the ring bonds: rings are bonds less atoms, plus one for each piece."""
    pieces: list[set[int]] = []
    for bond in bonds:
        touching = [piece for piece in pieces if piece & bond]
        pieces = [piece for piece in pieces if not piece & bond] + [set(bond).union(*touching)]
    return len(pieces)


def boltzgen(*arguments: object) -> str:
    """The output of one command."""
    command = [sys.executable, "-m", "boltzgen", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"boltzgen {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def train(place: Path, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Training, draws, a report, a simulation, and the share of draws about each of RDKit's conformers."""
    file = place / "result.json"
    if file.exists():
        return json.loads(file.read_text())
    if not (place / "run" / "summary.json").exists():
        resume = (place / "run" / "state.safetensors").exists()
        length = ["--resume"] if resume else ["--seed", options.seed, "--minutes", options.minutes]
        boltzgen("train", place / "system", "-o", place / "run", *length)
    samples = place / "samples.h5"
    boltzgen("sample", place / "run", "-n", options.n, "-o", samples, "--force")
    boltzgen("analyze", samples, "-o", place / "report", "--force", "--json")
    if not (place / "remd" / "reference.h5").exists():
        resume = bool(list((place / "remd").glob("checkpoint_*")))
        begun = ["--resume"] if resume else ["--walkers", _WALKERS, "--seed", options.seed]
        boltzgen("simulate", place / "system", "-o", place / "remd", "-n", options.simulated, *begun)
    judged = json.loads(
        boltzgen("evaluate", place / "run", "--reference", place / "remd" / "reference.h5", "--json")
    )
    summary = json.loads((place / "run" / "summary.json").read_text())
    system = System.load(place / "system")
    generator = BoltzmannGenerator.load(place / "run", system)
    n = -(-options.n // BLOCK) * BLOCK
    checked = json.loads((place / "check.json").read_text())
    result = {
        "molecule": name,
        "atoms": checked["atoms"],
        "rings": checked["rings"],
        "rounds": summary["settings"]["rounds"],
        "energies": summary["n_energy_evaluations"],
        "minutes": summary["seconds"] / 60,
        "draws": pooled(generator, energy_for(system), n, _SEEDS, show=False),
        "forward": forward_of(summary),
        "missing_modes": judged["missing_modes"],
        **conformer_shares(system, name, samples),
        "seed": options.seed,
        "versions": summary["versions"],
        "threads": torch.get_num_threads(),
    }
    file.write_text(json.dumps(result))
    return result


def conformer_shares(system: System, name: str, samples: Path) -> dict[str, Any]:
    """Weight and number of the draws near each distinct conformer of RDKit's, with its energy above the
    lowest in kT; the weight of draws that are near none; rotatable bonds by RDKit's count.

    Conformers are put into the draws' labelling of equivalent atoms; those outside the domain are left out.
    """
    from rdkit import Chem
    from rdkit.Chem.rdMolDescriptors import CalcNumRotatableBonds

    from boltzgen.preparation.ligands.conformers import conformers

    mol = Chem.AddHs(Chem.MolFromSmiles(KNOWN[name].smiles))
    connections = Connections.parse(Chem.MolToMolBlock(mol))
    coordinates, energy = MolecularCoordinates(system), OpenMMEnergy(system)
    inside = []
    for start in conformers(mol, _CONFORMERS):
        relaxed = torch.from_numpy(minimise(system.openmm_system, start))
        try:
            inside.append(placed(system, coordinates, connections, relaxed, "a conformer"))
        except ValueError:
            continue
    if not inside:
        raise ValueError(f"none of {_CONFORMERS} conformers is in the domain")
    x = torch.stack(inside)
    torsions = coordinates.full_torsions(coordinates.inverse(x)[0])
    u = energy(x)
    drawn = read_samples(samples)
    weight = torch.softmax(drawn.log_w, 0)
    own = coordinates.full_torsions(coordinates.inverse(coordinates.canonical(drawn.x.double()))[0])
    found: list[dict[str, float]] = []
    kept: list[torch.Tensor] = []
    elsewhere = torch.ones(len(own), dtype=torch.bool)
    for k in u.argsort().tolist():
        if any(bool((wrap(torsions[k] - other).rad2deg().abs() < _NEAR).all()) for other in kept):
            continue
        kept.append(torsions[k])
        near = (wrap(own - torsions[k]).rad2deg().abs() < _NEAR).all(-1)
        above = float(u[k] - u.min())
        found.append({"energy": above, "share": float(weight[near].sum()), "draws": int(near.sum())})
        elsewhere &= ~near
    return {
        "conformers": found,
        "outside_domain": _CONFORMERS - len(inside),
        "elsewhere": float(weight[elsewhere].sum()),
        "rotatable": CalcNumRotatableBonds(mol),
    }


def table(rows: list[dict[str, Any]]) -> str:
    heads = ["molecule", "atoms", "torsions", "rotors", "rings", "energy error", "round trip", "Jacobian"]
    heads += ["inside, %", "outside by", "flagged"]
    lines = ["| " + " | ".join(heads) + " |", "|" + len(heads) * "---|"]
    for r in rows:
        cells = [r["molecule"], r["atoms"], r["torsions"], r["rotors"], r["rings"]]
        cells += [f"{r[key]:.0e}" for key in ("energy_error", "round_trip", "jacobian")]
        cells += [f"{100 * r['inside']:.0f}", ", ".join(r["broken"]) or "-", "; ".join(r["flags"]) or "-"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def trained_table(rows: dict[str, dict[str, Any]], names: list[str]) -> str:
    """A row for each molecule that has a result, with the medians below."""
    heads = ["molecule", "atoms", "rotatable", "rings", "rounds", "energies", "minutes", "efficiency, %"]
    heads += ["of single seeds", "clipped, %", "forward ESS, %", "largest log w", "forward test"]
    heads += ["modes missed: replica exchange", "thin there", "ETKDG", "of the low ones", "elsewhere, %"]
    lines = ["| " + " | ".join(heads) + " |", "|" + len(heads) * "---|"]
    efficiencies = [100 * r["draws"]["efficiency"] for r in rows.values()]
    for name, r in rows.items():
        low = [conformer for conformer in r["conformers"] if conformer["energy"] < _LOW]
        cells = [name, r["atoms"], r["rotatable"], r["rings"], r["rounds"], f"{r['energies']:.1e}"]
        cells += [f"{r['minutes']:.1f}", *draws_cells(r["draws"]), *forward_cells(r["forward"])]
        missed = [found["kind"] for found in r["missing_modes"]]
        cells += [sum(kind in _MODES for kind in missed), "no" if set(missed) <= _MODES else "yes"]
        cells += [f"{_unseen(group)} of {len(group)}" for group in (r["conformers"], low)]
        cells += [f"{100 * r['elsewhere']:.1f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    if efficiencies:
        median, least = np.median(efficiencies), min(efficiencies)
        lines += [
            "",
            f"Efficiency of {len(efficiencies)} molecules: median {median:.1f} %, least {least:.1f} %.",
        ]
    without = [name for name in names if name not in rows]
    if without:
        lines += ["", f"Without a result, and not in the median: {', '.join(without)}."]
    return "\n".join(lines)


def _unseen(conformers: list[dict[str, float]]) -> int:
    return sum(not conformer["draws"] for conformer in conformers)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--molecules", nargs="+", choices=KNOWN, default=list(MOLECULES), metavar="NAME")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="train each for so long, too")
    parser.add_argument("--simulated", type=int, default=400, help="frames of each walker of the simulation")
    parser.add_argument("-n", type=int, default=40_960, help="draws for each of the five sampling seeds")
    parser.add_argument("--report", action="store_true", help="print the table of what is there, and no more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="with --report: results are kept here")
    options = parser.parse_args()
    if options.report:
        found = results(options.folder, options.molecules, options.json)
        print(trained_table(found, options.molecules))
        return
    rows = []
    for name in options.molecules:
        (options.folder / name).mkdir(parents=True, exist_ok=True)
        try:
            rows.append(check(options.folder / name, name, options))
        except (RuntimeError, ValueError) as error:
            print(f"{name} failed: {error}", flush=True)
            continue
        print(table(rows[-1:]).splitlines()[-1], flush=True)
    print("", table(rows), sep="\n")
    for name in [row["molecule"] for row in rows] if options.minutes else ():
        try:
            train(options.folder / name, name, options)
        except (RuntimeError, ValueError) as error:
            print(f"{name} failed: {error}", flush=True)
    if options.minutes:
        found = results(options.folder, options.molecules, None)
        print("", trained_table(found, options.molecules), sep="\n")


if __name__ == "__main__":
    main()
