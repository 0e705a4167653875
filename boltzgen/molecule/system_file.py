"""What a `system.toml` holds."""

from typing import Annotated, Literal, Self

from openmm import app
from pydantic import BeforeValidator, model_validator

from boltzgen import units
from boltzgen.molecule.basins import Basin, Strict
from boltzgen.molecule.names import Name

#: Names of constraints and what OpenMM calls them.
CONSTRAINTS = {"none": None, "HBonds": app.HBonds}


class Domain(Strict):
    """The part of configuration space on which the density lives; outside it u = +inf.

    Only one domain is supported so far.

    Attributes:
        enantiomer: every stereocentre keeps the handedness of the reference positions.
        equivalent_atoms: one labelling of the equivalent branches of each symmetric rotor (CH3, NH3+, COO-,
            phenyl, NH2): its mean torsion lies in a third or a half of its period, and the handed order of
            three ends is fixed.
        peptide_bonds: secondary amides stay trans, |omega| > 90 degrees.
    """

    enantiomer: Literal["input"] = "input"
    equivalent_atoms: Literal["one labelling"] = "one labelling"
    peptide_bonds: Literal["trans"] = "trans"


class _Structure(Strict):
    file: str


class _ForceField(Strict):
    """Force-field files and what they are to constrain, or else a serialized OpenMM System."""

    files: list[str] = []
    constraints: Literal["none", "HBonds"] = "none"
    system: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.files) == (self.system is not None):
            raise ValueError('expected either files = ["..."] or system = "system.xml"')
        if self.system is not None and self.constraints != "none":
            raise ValueError("a serialized system has its own constraints; leave out constraints")
        return self


class SystemFile(Strict):
    """The contents of a `system.toml`."""

    name: Name
    description: str = ""
    temperature: Annotated[float, BeforeValidator(units.kelvin)] = 300.0
    structure: _Structure
    forcefield: _ForceField
    domain: Domain = Domain()
    basins: list[Basin] = []

    @model_validator(mode="after")
    def _basin_names_differ(self) -> Self:
        names = [basin.name for basin in self.basins]
        if len(set(names)) < len(names):
            raise ValueError(f"expected a name of its own for each of the basins, got {', '.join(names)}")
        return self
