"""The whole way from a molecule as it was given to its folder."""

from pathlib import Path
from typing import Any

import numpy as np
import openmm
import torch

from boltzgen import units
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.energy.openmm import OpenMMEnergy
from boltzgen.molecule.system import System
from boltzgen.preparation.checks import check_coordinates, check_energy, check_system, handedness
from boltzgen.preparation.folder import check_free, check_name, new_folder, write_system
from boltzgen.preparation.relax import minimise
from boltzgen.preparation.sources import Source
from boltzgen.preparation.structure import atom_names, check_molecule


def prepare(
    source: Source, output: Path, *, name: str | None = None, temperature: float = 300.0
) -> dict[str, Any]:
    """Minimise a molecule's energy, check all that training and sampling need, write its folder, and return
    what there is to know about it.

    The checks are made on the system as it is loaded from the folder, before that gets its name: it appears
    whole or not at all.

    Args:
        source: the molecule, from one of the functions in `sources`.
        output: the folder.
        name: of the system, by default the folder's.
        temperature: the system's, in K.

    Raises:
        FileExistsError: there is something in the folder already.
        ValueError: the molecule cannot be treated; the message says why, and what may help.
    """
    check_free(output)
    name = output.resolve().name if name is None else name
    check_name(name)
    units.kt(temperature)
    check_system(source.topology, source.openmm_system)
    given = System(source.topology, source.openmm_system, source.positions)
    ForceFieldEnergy(given)  # for what it says of forces that it does not compute
    positions = minimise(source.openmm_system, source.positions)
    check_molecule(source.topology, positions)
    _check_handedness(given, positions)
    with new_folder(output) as folder:
        write_system(folder, source, positions, name=name, temperature=temperature)
        system = System.load(folder)
        _check_loaded(given, system)
        energy = check_energy(system)
        coordinates = check_coordinates(system, energy).coordinates
    return {
        "name": name,
        "folder": str(output),
        "atoms": system.n_atoms,
        "residues": system.topology.getNumResidues(),
        "free_torsions": free_torsions(system, coordinates),
        "symmetric_rotors": symmetric_rotors(system, coordinates),
        "constrained_bonds": len(system.constraints),
        "solvent": "implicit" if _has_solvent(system.openmm_system) else "none (vacuum)",
        "temperature": system.temperature,
        "energy": float(energy.potential(system.positions)),
    }


def _check_handedness(given: System, positions: np.ndarray) -> None:
    before, after = handedness(given, given.positions.numpy()), handedness(given, positions)
    turned = [atom_names(given.topology)[k] for k in before if before[k] != after[k]]
    if turned:
        raise ValueError(
            f"minimising the energy turned {turned[0]} into its mirror image; give a structure that is less "
            "strained"
        )


def _check_loaded(given: System, system: System) -> None:
    """Raise ValueError unless the folder gives the molecule back that was put in."""
    noise = np.random.default_rng(0).normal(scale=0.002, size=(3, system.n_atoms, 3))
    x = system.positions + torch.from_numpy(noise)
    before, after = OpenMMEnergy(given).potential(x), OpenMMEnergy(system).potential(x)
    same = given.graph == system.graph and given.constraints == system.constraints
    if not same or not torch.allclose(before, after, rtol=1e-9, atol=1e-6):
        off = float((before - after).abs().max())
        raise ValueError(
            f"the molecule does not come back from its own folder as it was (energies differ by {off:.2g} "
            "kJ/mol): its PDB file is read otherwise; "
            "serialize the OpenMM System and give it with --system"
        )


def _has_solvent(system: openmm.System) -> bool:
    return any(isinstance(force, openmm.GBSAOBCForce | openmm.CustomGBForce) for force in system.getForces())


def free_torsions(system: System, coordinates: MolecularCoordinates) -> list[str]:
    """Names of the full torsions in the order of the flow coordinates: ``"phi"``, or the bond that turns,
    ``"OG-CB (SER 2)"``.
    """
    known = {frozenset(atoms[1:3]): name for name, atoms in system.torsions.items()}
    names, rows = [], coordinates.zmatrix.torsion_rows
    atoms = list(system.topology.atoms())
    for k in coordinates.order[: coordinates.n_full]:
        row = rows[k - (2 * system.n_atoms - 3)]
        near, far = sorted((row.bonded, row.second))
        where = atoms[far].residue
        names.append(
            known.get(
                frozenset((row.bonded, row.second)),
                f"{atoms[near].name}-{atoms[far].name} ({where.name} {where.id})",
            )
        )
    return names


def symmetric_rotors(system: System, coordinates: MolecularCoordinates) -> list[str]:
    """The atoms on which equivalent branches turn, in the order of the flow coordinates: ``"CB (ALA 2)"``."""
    names = atom_names(system.topology)
    return [names[rotor.rotor.centre] for rotor in coordinates.rotors]
