"""A small molecule, read and checked, with its force field and a structure."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from boltzgen.molecule.graph import MolecularGraph
from boltzgen.preparation.ligands.extra import check_installed
from boltzgen.preparation.relax import minimise
from boltzgen.preparation.sources import Source

PROTONATION = (
    "protonation and tautomer are as they were given: check that they are those at the pH that you mean"
)


@dataclass(frozen=True)
class Ligand:
    """What the command line says of a small molecule.

    Attributes:
        kind, value: "smiles" and the text, or "sdf" or "mol2" and the file.
        forcefield: of OpenFF, for instance "openff-2.3.0".
        solvent: implicit solvent, or "none".
        constraints: "none" or "HBonds".
        amides: "either", or "trans" where secondary amides are to stay so.
    """

    kind: Literal["smiles", "sdf", "mol2"]
    value: str | Path
    forcefield: str
    solvent: str = "none"
    constraints: str = "none"
    amides: Literal["either", "trans"] = "either"


def sources(ligand: Ligand, *, enumerate_stereo: bool = False) -> list[tuple[str, Source]]:
    """A molecule ready to be prepared, or every stereoisomer of it, with a short name of each.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the extra is missing, or the molecule cannot be treated; the message says why.
    """
    check_installed()
    from boltzgen.preparation.ligands import checks, reading, stereo
    from boltzgen.preparation.ligands.solvent import MODELS

    if ligand.solvent not in MODELS:
        raise ValueError(f"expected `solvent` to be one of {', '.join(MODELS)}, got {ligand.solvent!r}")
    if ligand.constraints not in ("none", "HBonds"):
        raise ValueError(f"expected `constraints` to be none or HBonds, got {ligand.constraints!r}")
    if ligand.amides not in ("either", "trans"):
        raise ValueError(f"expected `amides` to be either or trans, got {ligand.amides!r}")
    readers: Any = {"sdf": reading.read_sdf, "mol2": reading.read_mol2}
    given = (
        reading.read_smiles(str(ligand.value))
        if ligand.kind == "smiles"
        else readers[ligand.kind](Path(ligand.value))
    )
    checks.check(given.mol)
    if not enumerate_stereo:
        stereo.check_defined(given.mol)
        return [("", _source(given, given.mol, ligand, ()))]
    isomers = stereo.isomers(given.mol)
    if len(isomers) == 1:
        return [("", _source(given, isomers[0][1], ligand, ()))]
    note = f"one of {len(isomers)} stereoisomers, none of which was asked for: each is a system of its own"
    return [(name, _source(given, mol, ligand, (note,), isomer=True)) for name, mol in isomers]


def _source(given: Any, mol: Any, ligand: Ligand, notes: tuple[str, ...], *, isomer: bool = False) -> Source:
    from openff.toolkit import Molecule
    from rdkit import Chem

    from boltzgen.preparation.ligands import charges as nagl
    from boltzgen.preparation.ligands import parameters
    from boltzgen.preparation.ligands.atoms import topology_of
    from boltzgen.preparation.ligands.conformers import conformers, hydrogens_placed
    from boltzgen.preparation.ligands.domain import domain_of
    from boltzgen.preparation.ligands.extra import silence
    from boltzgen.preparation.ligands.rings import stiff_rings
    from boltzgen.preparation.ligands.solvent import add_solvent

    own_charges = parameters.has_nagl_charges(ligand.forcefield)  # and that there is such a force field
    with silence():
        whole, placed = (
            (Chem.AddHs(mol), None)
            if given.positions is None or isomer
            else hydrogens_placed(mol, given.positions)
        )
        Chem.AssignStereochemistry(whole, cleanIt=True, force=True)
    shapes = conformers(whole)
    start = shapes[0] if placed is None else placed
    topology = topology_of(whole)
    molecule = Molecule.from_rdkit(whole, allow_undefined_stereo=True, hydrogens_are_explicit=True)
    charges = nagl.partial_charges(molecule)
    system = parameters.system_of(
        molecule, topology, charges, ligand.forcefield, rigid_hydrogens=ligand.constraints == "HBonds"
    )
    add_solvent(system, topology, charges, ligand.solvent)
    positions = minimise(system, start)
    _check_stereo(whole, positions)
    names = [atom.name for atom in topology.atoms()]
    graph = MolecularGraph.from_bonds(
        [atom.GetSymbol() for atom in whole.GetAtoms()],
        [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in whole.GetBonds()],
    )
    domain = domain_of(whole, graph, positions, ligand.amides)
    smiles = Chem.MolToSmiles(Chem.RemoveHs(whole))
    more = [*given.notes, *notes, PROTONATION]
    if whole.GetNumAtoms() > mol.GetNumAtoms() and ligand.kind != "smiles":
        more.append(f"{whole.GetNumAtoms() - mol.GetNumAtoms()} hydrogens were added")
    if not own_charges:
        more.append(
            f"{ligand.forcefield} was made for AM1-BCC charges; these are NAGL's ({nagl.MODEL}), which are "
            "trained on such"
        )
    if domain.inverting:
        more.append(f"these nitrogens take both sides: {', '.join(names[i] for i in domain.inverting)}")
    more += [
        f"the ring {'-'.join(names[i] for i in ring)} has {n} shapes among RDKit's conformers; its torsions "
        "are narrow coordinates about the one of the structure: compare with `boltzgen simulate`"
        for ring, n in stiff_rings(whole, graph, shapes).items()
    ]
    origin = f"{smiles}, {ligand.forcefield}, NAGL charges, solvent {ligand.solvent}"
    sdf = Chem.MolToMolBlock(hydrogens_placed(whole, positions)[0])
    return Source(topology, system, positions, origin, notes=tuple(more), domain=domain, sdf=sdf)


def _check_stereo(whole: Any, positions: np.ndarray) -> None:
    """Raise ValueError unless the structure has the configurations that were asked for."""
    from rdkit import Chem

    from boltzgen.preparation.ligands.conformers import hydrogens_placed

    after, _ = hydrogens_placed(whole, positions)
    Chem.AssignStereochemistryFrom3D(after)
    asked, found = _configurations(whole), _configurations(after)
    for where, label in asked.items():
        if found.get(where) != label:
            raise ValueError(
                f"minimising the energy turned {where} from {label} into {found.get(where, 'neither')}; give "
                "an SDF file with another structure"
            )


def _configurations(mol: Any) -> dict[str, str]:
    """CIP labels of atoms and bonds."""
    from rdkit.Chem import rdCIPLabeler

    rdCIPLabeler.AssignCIPLabels(mol)
    places = [(f"{a.GetSymbol()}, atom {a.GetIdx() + 1},", a) for a in mol.GetAtoms() if a.GetSymbol() != "N"]
    places += [(f"the bond {b.GetBeginAtomIdx() + 1}-{b.GetEndAtomIdx() + 1}", b) for b in mol.GetBonds()]
    return {name: place.GetProp("_CIPCode") for name, place in places if place.HasProp("_CIPCode")}
