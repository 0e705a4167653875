"""Peptides from their sequence: an extended backbone, PDBFixer's side chains, OpenMM's hydrogens."""

import io
import re
from dataclasses import dataclass

import numpy as np
import openmm
import torch
from openmm import app, unit

from boltzgen.geometry import dihedral, place
from boltzgen.molecule.labels import residue_names
from boltzgen.preparation.relax import minimise
from boltzgen.preparation.residues import add_hydrogens, create_system
from boltzgen.preparation.structure import check_molecule

AMINO_ACIDS = (
    "ALA",
    "ARG",
    "ASN",
    "ASP",
    "CYS",
    "GLN",
    "GLU",
    "GLY",
    "HIS",
    "ILE",
    "LEU",
    "LYS",
    "MET",
    "PHE",
    "PRO",
    "SER",
    "THR",
    "TRP",
    "TYR",
    "VAL",
)
#: Forms of residues that differ in their protons, by Amber's names.
VARIANTS = {"HID": "HIS", "HIE": "HIS", "HIP": "HIS", "ASH": "ASP", "GLH": "GLU", "LYN": "LYS"}
CAPS = ("ACE", "NME")
ATTEMPTS = 5
#: Residues of a sequence. The time to build one grows with the square of their number; generators of more
#: than some ten have not been trained.
MOST_RESIDUES = 50
#: A backbone's bonds in Angstrom and angles in degrees (Engh and Huber, Acta Cryst. A 47, 392, 1991).
_BONDS = {"C-N": 1.329, "N-CA": 1.458, "CA-C": 1.525, "C-O": 1.231}
_ANGLES = {"C-N-CA": 121.7, "N-CA-C": 111.2, "CA-C-N": 116.2}
#: An extended strand, in degrees; a proline's ring fixes its phi.
_PHI, _PSI, _PHI_PROLINE = -120.0, 130.0, -65.0

Atoms = dict[str, np.ndarray]


@dataclass(frozen=True)
class Sequence:
    """A peptide's residues.

    Attributes:
        residues: their names in order, caps included.
        variants: for each the variant of its protons that was asked for, or None.
    """

    residues: tuple[str, ...]
    variants: tuple[str | None, ...]

    @classmethod
    def parse(cls, text: str) -> "Sequence":
        """Read names such as ``"ACE ALA HID NME"``; spaces, commas and hyphens separate.

        Raises:
            ValueError: an unknown name, a cap inside the chain, no amino acid at all, or too many.

        >>> Sequence.parse("ACE-HID-NME")
        Sequence(residues=('ACE', 'HIS', 'NME'), variants=(None, 'HID', None))
        """
        given = [name.upper() for name in re.split(r"[\s,-]+", text.strip()) if name]
        unknown = [name for name in given if name not in (*AMINO_ACIDS, *VARIANTS, *CAPS)]
        if unknown:
            raise ValueError(
                f"unknown residues in the sequence: {', '.join(dict.fromkeys(unknown))}; known are "
                f"{' '.join((*AMINO_ACIDS, *VARIANTS))} "
                "and the caps ACE (first) and NME (last)"
            )
        if len(given) > MOST_RESIDUES:
            raise ValueError(
                f"expected a sequence of at most {MOST_RESIDUES} residues, got {len(given)}: generators of "
                "larger molecules cannot be trained; take a part of it"
            )
        inside = [
            name
            for k, name in enumerate(given)
            if name not in CAPS or (name, k) not in (("ACE", 0), ("NME", len(given) - 1))
        ]
        if not inside or set(inside) & set(CAPS):
            raise ValueError(
                f"expected amino acids, with ACE only before and NME only after them, got {text!r}; for "
                "instance 'ACE ALA NME'"
            )
        return cls(
            tuple(VARIANTS.get(name, name) for name in given),
            tuple(name if name in VARIANTS else None for name in given),
        )


def build(sequence: Sequence, forcefield: app.ForceField) -> tuple[app.Topology, np.ndarray]:
    """A peptide of L amino acids and trans peptide bonds at an energy minimum, always the same one.

    Handedness and peptide bonds are measured at the minimum; where one is wrong, or atoms overlap, other
    starts are tried, five in all.

    Returns:
        (topology, positions): of all atoms, (n_atoms, 3) in nm.

    Raises:
        ValueError: the force field does not fit, or no start gave such a peptide.
    """
    reason = ""
    for attempt in range(ATTEMPTS):
        topology, positions = add_hydrogens(*_with_side_chains(sequence, attempt), None, sequence.variants)
        positions = minimise(create_system(topology, positions, forcefield), positions)
        try:
            check_molecule(topology, positions)
        except ValueError as error:
            reason = str(error)
            continue
        reason = fault(topology, positions)
        if not reason:
            return topology, positions
    raise ValueError(
        f"{ATTEMPTS} attempts at building {'-'.join(sequence.residues)} failed: {reason}; build it with "
        "another program and give the PDB file"
    )


def fault(topology: app.Topology, positions: np.ndarray) -> str:
    """What is wrong with a peptide's backbone at positions (n_atoms, 3), or an empty text.

    Wrong is an amino acid that is not L, and a peptide bond without |omega| > 150 degrees.
    """
    residues = [
        {atom.name: positions[atom.index] for atom in residue.atoms()} for residue in topology.residues()
    ]
    names = residue_names(topology)
    for name, atoms in zip(names, residues, strict=True):
        if "CB" in atoms and np.linalg.det([atoms[k] - atoms["CA"] for k in ("N", "C", "CB")]) < 0:
            return f"{name} is not L"
    for name, before, after in zip(names[1:], residues, residues[1:], strict=False):
        ends = before.get("CA", before.get("CH3")), before["C"], after["N"], after.get("CA", after.get("C"))
        omega = np.degrees(float(dihedral(*(torch.from_numpy(np.asarray(r)) for r in ends))))
        if abs(omega) <= 150:
            return f"the peptide bond before {name} is not trans: omega is {omega:.0f} degrees"
    return ""


def _with_side_chains(sequence: Sequence, attempt: int) -> tuple[app.Topology, np.ndarray]:
    """Every heavy atom: topology and positions (n, 3) in nm."""
    from pdbfixer import PDBFixer

    fixer = PDBFixer(pdbfile=io.StringIO(_pdb_text(sequence, _backbone(sequence, attempt))))
    fixer.platform = openmm.Platform.getPlatformByName("Reference")
    fixer.missingResidues = {}
    fixer.findMissingAtoms()
    fixer.addMissingAtoms(seed=attempt + 1)
    return fixer.topology, np.array(fixer.positions.value_in_unit(unit.nanometer), dtype=np.float64)


def _backbone(sequence: Sequence, attempt: int) -> list[Atoms]:
    """Heavy backbone atoms and CB of every residue, in Angstrom.

    A strand, after the first attempt with torsions moved at random.
    """
    rng = np.random.default_rng(attempt)
    spread = 25.0 if attempt else 0.0
    chain: list[Atoms] = []
    trace = list(np.eye(3))  # where the chain begins, and how it is turned, does not matter
    psi = _PSI
    for name in sequence.residues:
        atoms: Atoms = {}
        if name != "ACE":
            atoms["N"] = _next(trace, "C-N", "CA-C-N", psi)
            trace.append(atoms["N"])
        atoms["CA"] = _next(trace, "N-CA", "C-N-CA", 180.0)
        trace.append(atoms["CA"])
        if name != "NME":
            phi = (_PHI_PROLINE if name == "PRO" else _PHI) + spread * rng.uniform(-1, 1)
            psi = _PSI + spread * rng.uniform(-1, 1)
            atoms["C"] = _next(trace, "CA-C", "N-CA-C", phi)
            trace.append(atoms["C"])
            atoms["O"] = _oxygen(trace, psi)
        if name not in (*CAPS, "GLY"):
            atoms["CB"] = _beta_carbon(atoms)
        chain.append(atoms)
    for k, name, cap in ((0, "ACE", "CH3"), (-1, "NME", "C")):
        if sequence.residues[k] == name:
            chain[k][cap] = chain[k].pop("CA")
    return chain


def _next(trace: list[np.ndarray], bond: str, angle: str, torsion: float) -> np.ndarray:
    """The next atom of a chain."""
    numbers = (
        torch.tensor(v, dtype=torch.float64)
        for v in (_BONDS[bond], np.radians(_ANGLES[angle]), np.radians(torsion))
    )
    return place(*(torch.from_numpy(r) for r in trace[:-4:-1]), *numbers).numpy()


def _oxygen(trace: list[np.ndarray], psi: float) -> np.ndarray:
    """The oxygen on the chain's last atom, opposite its two neighbours."""
    carbon, neighbours = trace[-1], (trace[-2], _next(trace, "C-N", "CA-C-N", psi))
    outwards = np.sum([(carbon - r) / np.linalg.norm(carbon - r) for r in neighbours], axis=0)
    return carbon + _BONDS["C-O"] * outwards / np.linalg.norm(outwards)


def _beta_carbon(atoms: Atoms) -> np.ndarray:
    """Where the beta carbon of an L amino acid is: tetrahedral, 1.53 Angstrom from the alpha carbon."""
    u, v = ((r - atoms["CA"]) / np.linalg.norm(r - atoms["CA"]) for r in (atoms["N"], atoms["C"]))
    normal = np.cross(u, v)
    bisector = -(u + v) / np.linalg.norm(u + v)
    half = np.radians(109.5) / 2
    return atoms["CA"] + 1.53 * (np.cos(half) * bisector + np.sin(half) * normal / np.linalg.norm(normal))


def _pdb_text(sequence: Sequence, chain: list[Atoms]) -> str:
    lines: list[str] = []
    for number, (name, atoms) in enumerate(zip(sequence.residues, chain, strict=True), 1):
        for atom, (x, y, z) in atoms.items():
            lines.append(
                f"ATOM  {len(lines) + 1:5d}  {atom:<3s} {name} A{number:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  "
                f"1.00  0.00           {atom[0]}"
            )
    return "\n".join([*lines, "TER", "END", ""])
