"""What a `system.toml` holds."""

from typing import Annotated, Any, Literal, Self

from openmm import app
from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from boltzgen import units
from boltzgen.molecule.basins import Basin, Strict
from boltzgen.molecule.names import Name

#: Names of constraints and what OpenMM calls them.
CONSTRAINTS = {"none": None, "HBonds": app.HBonds}
#: The place of an atom in the structure file, from 0.
Atom = Annotated[int, Field(ge=0)]


class Domain(Strict):
    """The part of configuration space on which the density lives; outside it u = +inf.

    Atoms are counted from 0, in the order of the structure file.

    Attributes:
        enantiomer: every stereocentre keeps the handedness of the reference positions.
        equivalent_atoms: one labelling of the equivalent branches of each symmetric rotor (CH3, NH3+, COO-,
            phenyl, NH2): its mean torsion lies in a third or a half of its period, and the handed order of
            three ends is fixed.
        peptide_bonds: secondary amides stay trans, |omega| > 90 degrees; or they take either form.
        double_bonds: pairs of atoms whose bond keeps the side that it has in the reference positions (E or
            Z), within 90 degrees of its plane. Bonds have no orders here, so that they are to be named.
        pyramids: atoms with three neighbours, outside their plane, that keep their side: sulfoxides,
            phosphines.
        inverting: nitrogens with three neighbours that take both sides, outside rings or in one of five to
            seven atoms.
    """

    enantiomer: Literal["input"] = "input"
    equivalent_atoms: Literal["one labelling"] = "one labelling"
    peptide_bonds: Literal["trans", "either"] = "trans"
    double_bonds: list[Annotated[list[Atom], Field(min_length=2, max_length=2)]] = []
    pyramids: list[Atom] = []
    inverting: list[Atom] = []

    @model_serializer(mode="wrap")
    def _brief(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what names no atoms: most molecules have none of it."""
        return {key: value for key, value in whole(self).items() if value != []}


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
