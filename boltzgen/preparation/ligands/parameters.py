"""The OpenMM System of a small molecule by a force field of OpenFF (SMIRNOFF).

openff-toolkit finds which parameter each bond, angle, torsion and atom has; the forces are made here, as the
SMIRNOFF specification 0.3 says: 1-4 interactions scaled, Lorentz-Berthelot rules, no cutoff, improper
torsions as a mean of three. (OpenFF's own exporter, openff-interchange, needs Python 3.12.)
"""

import warnings
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from openmm import app

from boltzgen.preparation.structure import listed

#: Handlers that are understood; others of a force field must find nothing to do.
_KNOWN = frozenset(
    {"Constraints", "Bonds", "Angles", "ProperTorsions", "ImproperTorsions", "vdW", "Electrostatics"}
)
_CHARGES = frozenset({"LibraryCharges", "NAGLCharges", "ToolkitAM1BCC"})
Assigned = Mapping[tuple[int, ...], Any]


def forcefield_names() -> list[str]:
    """Force fields of OpenFF for small molecules that are installed, without .offxml: ``"openff-2.3.0"``."""
    folder = Path(str(resources.files("openforcefields") / "offxml"))
    # Later ones, without water or of another functional form, have names of their own.
    found = [*folder.glob("openff-*.offxml"), *folder.glob("openff_unconstrained-*.offxml")]
    return sorted(file.stem for file in found)


def system_of(
    molecule: Any, topology: app.Topology, charges: np.ndarray, name: str, *, rigid_hydrogens: bool = False
) -> openmm.System:
    """The System of a molecule in vacuum.

    Args:
        molecule: of openff-toolkit.
        topology: the same atoms in the same order.
        charges: (n_atoms,) in elementary charges.
        name: one of `forcefield_names`.
        rigid_hydrogens: constrain bonds to hydrogen.

    Raises:
        ValueError: the force field lacks parameters, or has some that are not understood.
    """
    labels = _labels(molecule, name)
    names = [atom.name for atom in topology.atoms()]
    near = [set[int]() for _ in names]
    bonds = [(a.index, b.index) for a, b in topology.bonds()]
    for i, j in bonds:
        near[i].add(j)
        near[j].add(i)
    system = openmm.System()
    for atom in topology.atoms():
        system.addParticle(atom.element.mass)
    _check_complete("Bonds", labels["Bonds"], bonds, names)
    angles = [(i, j, k) for j, around in enumerate(near) for i, k in combinations(sorted(around), 2)]
    _check_complete("Angles", labels["Angles"], angles, names)
    turns = [(i, j, k, l) for j, k in bonds for i in near[j] - {k} for l in near[k] - {j, i}]
    _check_complete("ProperTorsions", labels["ProperTorsions"], turns, names)
    _check_complete("vdW", labels["vdW"], [(i,) for i in range(len(names))], names)
    rigid = {pair for pair in labels["Bonds"] if rigid_hydrogens and _has_hydrogen(topology, pair)}
    for force in (
        _bonds(labels["Bonds"], rigid, system),
        _angles(labels["Angles"]),
        _torsions(labels["ProperTorsions"], labels.get("ImproperTorsions", {})),
        _nonbonded(labels["vdW"], charges, bonds, _scales(name)),
    ):
        system.addForce(force)
    return system


@cache
def _forcefield(name: str) -> Any:
    from openff.toolkit import ForceField

    if name not in forcefield_names():
        raise ValueError(
            f"expected an OpenFF force field for a small molecule, got {name!r}; installed are "
            f"{', '.join(n for n in forcefield_names() if n.startswith('openff-2') and 'rc' not in n)}"
        )
    # By its path: a file of that name in the working directory must not take its place.
    return ForceField(str(resources.files("openforcefields") / "offxml" / f"{name}.offxml"))


def has_nagl_charges(name: str) -> bool:
    """Whether the force field itself asks for NAGL's charges, as 2.3.0 does."""
    return "NAGLCharges" in _forcefield(name).registered_parameter_handlers


def _scales(name: str) -> tuple[float, float]:
    """Of Coulomb's and van der Waals' interactions between atoms three bonds apart."""
    fields = _forcefield(name)
    return float(fields["Electrostatics"].scale14), float(fields["vdW"].scale14)


def _labels(molecule: Any, name: str) -> dict[str, Assigned]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (labels,) = _forcefield(name).label_molecules(molecule.to_topology())
    for handler, found in labels.items():
        if handler not in _KNOWN | _CHARGES and len(found):
            raise ValueError(
                f"{name} has {handler} for this molecule, which are not understood; use another one"
            )
    return dict(labels)


def _check_complete(
    kind: str, assigned: Assigned, expected: Iterable[tuple[int, ...]], names: list[str]
) -> None:
    have = {min(key, key[::-1]) for key in assigned}
    lacking = [atoms for atoms in expected if min(atoms, atoms[::-1]) not in have]
    if lacking:
        shown = listed("-".join(names[i] for i in atoms) for atoms in lacking)
        raise ValueError(
            f"the force field has no parameters of {kind} for {shown}; use another one, or make Amber files "
            "or an OpenMM System with another program"
        )


def _has_hydrogen(topology: app.Topology, pair: tuple[int, ...]) -> bool:
    atoms = list(topology.atoms())
    return any(atoms[i].element is app.element.hydrogen for i in pair)


def _magnitude(quantity: Any, unit: str) -> float:
    return float(quantity.m_as(unit))


def _bonds(assigned: Assigned, rigid: set[tuple[int, ...]], system: openmm.System) -> openmm.Force:
    force = openmm.HarmonicBondForce()
    for (i, j), p in assigned.items():
        length = _magnitude(p.length, "nanometer")
        if (i, j) in rigid:
            system.addConstraint(i, j, length)
        else:
            force.addBond(i, j, length, _magnitude(p.k, "kilojoule / mole / nanometer ** 2"))
    return force


def _angles(assigned: Assigned) -> openmm.Force:
    force = openmm.HarmonicAngleForce()
    for (i, j, k), p in assigned.items():
        force.addAngle(
            i, j, k, _magnitude(p.angle, "radian"), _magnitude(p.k, "kilojoule / mole / radian ** 2")
        )
    return force


def _torsions(proper: Assigned, improper: Assigned) -> openmm.Force:
    force = openmm.PeriodicTorsionForce()

    def add(atoms: tuple[int, ...], p: Any, term: int, divisor: float) -> None:
        force.addTorsion(
            *atoms,
            int(p.periodicity[term]),
            _magnitude(p.phase[term], "radian"),
            _magnitude(p.k[term], "kilojoule / mole") / divisor,
        )

    for atoms, p in proper.items():
        for term in range(len(p.k)):
            add(atoms, p, term, _divisor(p, term, 1.0))
    for (i, centre, k, l), p in improper.items():
        for term in range(len(p.k)):
            for ends in ((i, k, l), (k, l, i), (l, i, k)):
                add((centre, *ends), p, term, _divisor(p, term, 3.0))
    return force


def _divisor(p: Any, term: int, default: float) -> float:
    given = getattr(p, "idivf", None)
    return float(given[term]) if given is not None and given[term] is not None else default


def _nonbonded(
    assigned: Assigned, charges: np.ndarray, bonds: list[tuple[int, int]], scales: tuple[float, float]
) -> openmm.Force:
    force = openmm.NonbondedForce()
    force.setNonbondedMethod(openmm.NonbondedForce.NoCutoff)
    for i, charge in enumerate(charges):
        p = assigned[(i,)]
        force.addParticle(
            float(charge), _magnitude(p.sigma, "nanometer"), _magnitude(p.epsilon, "kilojoule / mole")
        )
    force.createExceptionsFromBonds(bonds, *scales)
    return force
