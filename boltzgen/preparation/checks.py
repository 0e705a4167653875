"""Whether a molecule can be treated: its OpenMM System, its batched energy, its coordinates."""

import numpy as np
import openmm
import torch
from openmm import app, unit
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.energy.openmm import OpenMMEnergy
from boltzgen.generator.harmonic import HarmonicReference, harmonic_reference
from boltzgen.generator.rings import check_rings
from boltzgen.geometry import dihedrals
from boltzgen.molecule.labels import atom_names
from boltzgen.molecule.system import System
from boltzgen.preparation.structure import listed

#: In kJ/mol, and relative.
ENERGY_TOLERANCE = (1e-3, 1e-8)
#: Atoms of a molecule. The Hessian at its minimum, and the flow's layers, grow with their square; what has
#: been trained has some hundred.
MOST_ATOMS = 1000
#: In nm, how much a distance may change on the way through the coordinates: a PDB file's rounding moves an
#: atom off its constraint by up to 2e-4.
DISTANCE_TOLERANCE = 5e-4


def check_system(topology: app.Topology, system: openmm.System) -> None:
    """Raise ValueError for a System with virtual sites or periodic forces, or of another number of atoms.

    Or where there are too many.
    """
    if topology.getNumAtoms() > MOST_ATOMS:
        raise ValueError(
            f"expected a molecule of at most {MOST_ATOMS} atoms, got {topology.getNumAtoms()}: generators of "
            "larger ones cannot be trained; take a part of it"
        )
    if system.getNumParticles() != topology.getNumAtoms():
        raise ValueError(
            f"the structure has {topology.getNumAtoms()} atoms but the System {system.getNumParticles()} "
            "particles; give files of the same molecule"
        )
    names = atom_names(topology)
    if sites := [names[k] for k in range(system.getNumParticles()) if system.isVirtualSite(k)]:
        raise ValueError(
            f"{listed(sites)} are virtual sites, whose positions are no coordinates; use a force field "
            "without them"
        )
    if system.usesPeriodicBoundaryConditions():
        raise ValueError(
            "the OpenMM System is periodic; expected a molecule on its own: strip the water, and make the "
            "System with nonbondedMethod=NoCutoff "
            "and an implicit solvent"
        )


def check_same_molecule(topology: app.Topology, system: openmm.System) -> None:
    """Raise ValueError unless masses and bonds of a System are those of the topology's atoms in their order.

    Mass may have been moved from heavy atoms to their hydrogens.
    """
    check_system(topology, system)
    atoms, names = list(topology.atoms()), atom_names(topology)
    mass = np.array([system.getParticleMass(k).value_in_unit(unit.dalton) for k in range(len(atoms))])
    expected = np.array([atom.element.mass.value_in_unit(unit.dalton) for atom in atoms])
    hydrogen = np.array([atom.element is app.element.hydrogen for atom in atoms])
    group = np.arange(len(atoms))
    for a, b in topology.bonds():
        if hydrogen[a.index] != hydrogen[b.index]:
            light, heavy = (a.index, b.index) if hydrogen[a.index] else (b.index, a.index)
            group[light] = heavy
    excess = np.abs(np.bincount(group, mass - expected, minlength=len(atoms)))
    wrong = (excess > 0.1) | (hydrogen & (mass > 5.0))
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ValueError(
            f"atom {k + 1} is {names[k]} in the structure, but the System gives it (and its hydrogens) "
            f"other masses: {mass[k]:.3f} dalton; "
            "both need the same atoms in the same order"
        )
    joined = _joined(system)
    for a, b in topology.bonds():
        if joined and frozenset((a.index, b.index)) not in joined:
            raise ValueError(
                f"the System has no bond {names[a.index]} - {names[b.index]}, which the structure has; both "
                "need the same atoms in the same order"
            )


def _joined(system: openmm.System) -> set[frozenset[int]]:
    """Pairs of atoms with a bond force or a constraint."""
    pairs = {frozenset(system.getConstraintParameters(k)[:2]) for k in range(system.getNumConstraints())}
    for force in system.getForces():
        if isinstance(force, openmm.HarmonicBondForce | openmm.CustomBondForce):
            pairs |= {frozenset(force.getBondParameters(k)[:2]) for k in range(force.getNumBonds())}
    return pairs


def check_energy(system: System) -> ForceFieldEnergy:
    """The batched energy, once it agrees with OpenMM's Reference platform on a few perturbed structures.

    Raises:
        UnsupportedForceError: the System has a force that it does not compute.
        ValueError: it does not agree.
    """
    energy = ForceFieldEnergy(system)
    noise = torch.randn(6, system.n_atoms, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = system.positions + torch.linspace(0.0, 0.01, 6, dtype=torch.float64)[:, None, None] * noise
    ours, reference = energy.potential(x), OpenMMEnergy(system).potential(x)
    absolute, relative = ENERGY_TOLERANCE
    off = float((ours - reference).abs().max())
    if not bool(((ours - reference).abs() <= absolute + relative * reference.abs()).all()):
        raise ValueError(
            f"the batched energy differs from OpenMM's by {off:.3g} kJ/mol; please report this force field: "
            "its forces are misread"
        )
    return energy


def check_coordinates(system: System, energy: ForceFieldEnergy) -> HarmonicReference:
    """The flow coordinates and their scales, once the structure has gone there and back.

    Raises:
        ValueError: it does not come back, or lies outside the domain; or there are no such coordinates for
            this molecule.
    """
    check_rings(system)
    coordinates = MolecularCoordinates(system)
    if sorted(row.atom for row in coordinates.zmatrix.rows) != list(range(system.n_atoms)):
        raise ValueError("the coordinates found do not place every atom; please report this molecule")
    _check_domain(system, coordinates, system.positions)
    harmonic = harmonic_reference(system, energy)
    scale = harmonic.coordinates.scale
    if not bool((scale.isfinite() & (scale > 0)).all()):
        raise ValueError(
            "the energy has no curvature along some bond or angle; expected a bound molecule: check the "
            "force field"
        )
    # Another minimum may have been found, in which symmetric rotors have other labels.
    _check_domain(system, harmonic.coordinates, harmonic.coordinates.canonical(system.positions))
    return harmonic


def _check_domain(system: System, coordinates: MolecularCoordinates, x: Tensor) -> None:
    y = coordinates.inverse(x)[0]
    there = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    back = coordinates(y)[0]
    off = float((torch.cdist(back, back, compute_mode="donot_use_mm_for_euclid_dist") - there).abs().max())
    if not off < DISTANCE_TOLERANCE:
        raise ValueError(
            f"the structure changes by {off:.2g} nm on its way through the coordinates; check for straight "
            "angles and stretched bonds"
        )
    conditions = coordinates.domain_conditions(y)
    if not bool(conditions["cis peptide bond"]):
        raise ValueError(cis_bonds(system, x))
    broken = [name for name, met in conditions.items() if not bool(met)]
    if broken:
        raise ValueError(
            f"the minimised structure lies outside the domain ({', '.join(broken)}); give a structure that "
            "is less strained"
        )


def cis_bonds(system: System, x: Tensor) -> str:
    """What to say of peptide bonds that are not trans."""
    names, found = atom_names(system.topology), []
    for c, n in system.graph.peptide_bonds():
        omega = float(dihedrals(x[None], system.graph.omega((c, n))).rad2deg())
        if abs(omega) < 90:
            found.append(f"{names[c]} - {names[n]} (omega {omega:.0f} degrees)")
    return (
        f"cis peptide bonds: {listed(found)}; the domain holds trans ones only: turn them in the structure, "
        "or build the peptide with `sequence`"
    )


def handedness(system: System, x: np.ndarray) -> dict[int, bool]:
    """Which way round the neighbours of each stereocentre are, at positions (n_atoms, 3)."""
    near = {k: system.graph.neighbours[k] for k in system.graph.stereocentres()}
    return {k: bool(np.linalg.det([x[i] - x[d] for i in (a, b, c)]) > 0) for k, (a, b, c, d) in near.items()}
