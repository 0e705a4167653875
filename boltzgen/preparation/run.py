"""The whole way from a molecule as it was given to its folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from boltzgen import units
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.coordinates.zmatrix import TorsionKind
from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.energy.openmm import OpenMMEnergy
from boltzgen.molecule.labels import atom_names
from boltzgen.molecule.system import System
from boltzgen.preparation.checks import check_coordinates, check_energy, check_system, handedness
from boltzgen.preparation.description import charge
from boltzgen.preparation.description import solvent as solvent_of
from boltzgen.preparation.folder import check_free, check_name, new_folder, write_system
from boltzgen.preparation.ligands.options import ligand_of
from boltzgen.preparation.ligands.source import sources as ligand_sources
from boltzgen.preparation.relax import minimise
from boltzgen.preparation.sources import Source, source_of
from boltzgen.preparation.structure import check_molecule


def prepare(
    molecule: Source | str | Path | None,
    output: str | Path,
    *,
    sequence: str | None = None,
    smiles: str | None = None,
    sdf: str | Path | None = None,
    mol2: str | Path | None = None,
    forcefield: str | Sequence[str] = (),
    system: str | Path | None = None,
    coordinates: str | Path | None = None,
    solvent: str | None = None,
    constraints: str | None = None,
    amides: str | None = None,
    add_hydrogens: bool = False,
    temperature: float = 300.0,
    name: str | None = None,
    trust_forcefield: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Make a molecule a system: check it, minimise its energy, write its folder.

    All that training and sampling need is checked on the system as it is loaded from the folder, before that
    gets its name: it appears whole or not at all.

    Args:
        molecule: a PDB file (or .cif), an Amber topology (.prmtop), or a `Source`; None with a `sequence` or
            a small molecule.
        output: the folder to write.
        sequence: residues of a peptide to build, for instance ``"ACE ALA ALA NME"``.
        smiles: a small molecule; needs the extra `ligands`. Its stereochemistry must be given; see
            `prepare_stereoisomers`.
        sdf: an SDF or MDL mol file of a small molecule, likewise.
        mol2: a Tripos mol2 file of a small molecule, likewise.
        forcefield: OpenMM force-field files (or one), for a PDB file or a sequence; the name of an OpenFF one
            for a small molecule, such as ``"openff-2.3.0"``.
        system: serialized OpenMM System of the PDB file's atoms, in place of a force field.
        coordinates: of an Amber topology: .inpcrd, .rst7 or .pdb.
        solvent: implicit solvent of an Amber topology or a small molecule, see `sources.SOLVENTS`; by default
            none.
        constraints: "none", the default, or "HBonds": bonds to hydrogens keep their length.
        amides: of a small molecule: "either", the default, or "trans": secondary amides stay so, as in
            peptides.
        add_hydrogens: add the hydrogens that a PDB file lacks, as at pH 7.
        temperature: the system's, in K.
        name: of the system, by default the folder's.
        trust_forcefield: run the Python code that your own force-field files may hold.
        force: replace a folder that holds a system and nothing else. It stays as it is until the new one is
            whole.

    Returns:
        What there is to know about the system: its name, atoms, coordinates of the flow, torsions, energy in
        kJ/mol; `notes` say what of the files was not taken, and how they were read.

    Raises:
        FileExistsError: there is something in the folder already; with `force`, something else than a
            system.
        FileNotFoundError: a file is missing.
        ValueError: an option does not belong to such a molecule, or the molecule cannot be treated; the
            message says why, and what may help.
    """
    output = Path(output)
    check_free(output, force=force)
    options = {
        "forcefield": [forcefield] if isinstance(forcefield, str) else list(forcefield),
        "system": system,
        "coordinates": coordinates,
        "solvent": solvent,
        "constraints": constraints,
        "add_hydrogens": add_hydrogens,
        "trust_forcefield": trust_forcefield,
    }
    small = {"smiles": smiles, "sdf": sdf, "mol2": mol2, "amides": amides}
    ligand = ligand_of({"molecule": molecule, "sequence": sequence, **options, **small})
    if ligand is None:
        source = source_of(molecule, sequence, options)
    else:
        ((_, source),) = ligand_sources(ligand)
    return _write(source, output, name=name, temperature=temperature, force=force)


def prepare_stereoisomers(
    output: str | Path,
    *,
    temperature: float = 300.0,
    name: str | None = None,
    force: bool = False,
    **options: Any,
) -> list[dict[str, Any]]:
    """Make every stereoisomer of a small molecule a system; what of its stereochemistry is given is kept.

    Args:
        output: the folder to write; of several isomers ``output-R``, ``output-S`` and so on, by the CIP
            labels of what was not given.
        temperature: the systems', in K.
        name: of the systems, with the same endings; by default the folders'.
        force: replace folders, as `prepare` does.
        **options: `smiles`, `sdf` or `mol2`, with `forcefield`, `solvent`, `constraints` and `amides`.

    Returns:
        What `prepare` returns, of each isomer.

    Raises:
        FileExistsError, FileNotFoundError, ValueError: as `prepare`; or there are too many isomers.
    """
    ligand = ligand_of(options)
    if ligand is None:
        raise ValueError("`enumerate_stereo` needs `smiles`, `sdf` or `mol2`")
    found = ligand_sources(ligand, enumerate_stereo=True)
    output = Path(output)
    folders = [output.with_name(f"{output.name}-{label}") if label else output for label, _ in found]
    names = [f"{name}-{label}" if label and name else name for label, _ in found]
    for folder in folders:
        check_free(folder, force=force)
    return [
        _write(source, folder, name=own, temperature=temperature, force=force)
        for (_, source), folder, own in zip(found, folders, names, strict=True)
    ]


def _write(
    source: Source, output: Path, *, name: str | None, temperature: float, force: bool
) -> dict[str, Any]:
    """Minimise the energy of a molecule that was read, check it, and write its folder."""
    name = output.resolve().name if name is None else name
    check_name(name)
    temperature = units.kelvin(temperature)
    check_system(source.topology, source.openmm_system)
    given = System(source.topology, source.openmm_system, source.positions, domain=source.domain)
    ForceFieldEnergy(given)  # for what it says of forces that it does not compute
    positions = minimise(source.openmm_system, source.positions)
    check_molecule(source.topology, positions)
    _check_handedness(given, positions)
    with new_folder(output, force=force) as folder:
        write_system(folder, source, positions, name=name, temperature=temperature)
        system = System.load(folder)
        _check_loaded(given, system)
        energy = check_energy(system)
        coordinates = check_coordinates(system, energy).coordinates
    return {
        "name": name,
        "folder": str(output),
        "notes": list(source.notes),
        "atoms": system.n_atoms,
        "coordinates": coordinates.n_periodic + coordinates.n_stiff,
        "residues": system.topology.getNumResidues(),
        "free_torsions": free_torsions(system, coordinates),
        "symmetric_rotors": symmetric_rotors(system, coordinates),
        "constrained_bonds": len(system.constraints),
        "made_from": source.origin,
        "solvent": solvent_of(source),
        "charge": charge(system.topology, system.openmm_system),
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
            "serialize the OpenMM System and give it with `system`"
        )


def free_torsions(system: System, coordinates: MolecularCoordinates) -> list[str]:
    """Names of the full torsions in the order of the flow coordinates, those of `System.torsions`."""
    known = {frozenset(atoms[1:3]): name for name, atoms in system.torsions.items()}
    rows = coordinates.zmatrix.torsion_rows
    turned = [rows[k - (2 * system.n_atoms - 3)] for k in coordinates.order[: coordinates.n_full]]
    # Of a group whose atoms are equivalent by their bonds, but not to the force field, there is no name.
    return [
        f"inversion of {system.labels(row.bonded)}"
        if row.kind is TorsionKind.OFFSET
        else f"ring {system.labels(row.atom, row.bonded, row.second, row.third)}"
        if row.kind is TorsionKind.RING
        else known.get(
            frozenset((row.bonded, row.second)),
            f"torsion {system.labels(row.atom, row.bonded, row.second, row.third)}",
        )
        for row in turned
    ]


def symmetric_rotors(system: System, coordinates: MolecularCoordinates) -> list[str]:
    """The atoms on which equivalent branches turn, in the order of the flow coordinates: ``"CB (ALA 2)"``."""
    names = atom_names(system.topology)
    return [names[rotor.rotor.centre] for rotor in coordinates.rotors]
