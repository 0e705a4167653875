"""Which term computes which OpenMM force.

A new force is one file in `terms` or `custom`, and one line in `TERMS` with its import.
"""

from collections.abc import Callable
from typing import Any

from boltzgen.energy.custom.bonded import CustomAngles, CustomBonds, CustomTorsions
from boltzgen.energy.custom.compound_bond import CustomCompoundBonds
from boltzgen.energy.custom.external import CustomExternal
from boltzgen.energy.custom.gb import born_term
from boltzgen.energy.custom.nonbonded import CustomNonbonded
from boltzgen.energy.geometry import PairList
from boltzgen.energy.terms.angles import HarmonicAngles
from boltzgen.energy.terms.bonds import HarmonicBonds
from boltzgen.energy.terms.cmap import CMAPTorsions
from boltzgen.energy.terms.nonbonded import Nonbonded
from boltzgen.energy.terms.obc import OBC
from boltzgen.energy.terms.rb_torsions import RBTorsions
from boltzgen.energy.terms.term import Term, UnsupportedForceError
from boltzgen.energy.terms.torsions import PeriodicTorsions
from boltzgen.energy.terms.unsupported import why_unsupported

#: OpenMM force class -> how its term is read.
TERMS: dict[str, Callable[[Any, PairList], Term]] = {
    "HarmonicBondForce": HarmonicBonds.from_openmm,
    "HarmonicAngleForce": HarmonicAngles.from_openmm,
    "PeriodicTorsionForce": PeriodicTorsions.from_openmm,
    "RBTorsionForce": RBTorsions.from_openmm,
    "CMAPTorsionForce": CMAPTorsions.from_openmm,
    "NonbondedForce": Nonbonded.from_openmm,
    "GBSAOBCForce": OBC.from_gbsa,
    "CustomBondForce": CustomBonds.from_openmm,
    "CustomAngleForce": CustomAngles.from_openmm,
    "CustomTorsionForce": CustomTorsions.from_openmm,
    "CustomExternalForce": CustomExternal.from_openmm,
    "CustomCompoundBondForce": CustomCompoundBonds.from_openmm,
    "CustomNonbondedForce": CustomNonbonded.from_openmm,
    "CustomGBForce": born_term,
}

#: Forces without a potential energy.
IGNORED = frozenset({"CMMotionRemover"})


def read_term(force: Any, pairs: PairList) -> Term | None:
    """The term of an OpenMM force; None if it has no potential energy.

    Raises:
        UnsupportedForceError: there is none for this kind of force, or for something that it does.
    """
    kind = type(force).__name__
    if kind in IGNORED:
        return None
    if kind not in TERMS:
        raise UnsupportedForceError(kind, why_unsupported(kind, TERMS))
    if force.usesPeriodicBoundaryConditions():
        raise UnsupportedForceError(kind, "it uses periodic boundary conditions")
    return TERMS[kind](force, pairs)
