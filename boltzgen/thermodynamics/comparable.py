"""Whether two generators integrate over the same conformations, so that free energies can be compared."""

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import Energy
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.labels import atom_names
from boltzgen.molecule.system import System

#: Lengths of constrained bonds that differ by less [nm] are the same.
_LENGTH = 1e-7


def check_comparable(a: BoltzmannGenerator, b: BoltzmannGenerator) -> None:
    """Raise ValueError unless two generators have the same atoms, measure and domain.

    Checked in this order: atoms and bonds, constrained bonds, what `System.domain` says, which atoms are
    equivalent, and which enantiomer and labels of hydrogens the input structures have. Rotors may have any
    reference: which third of the circle stands for all does not change an integral. So does
    `MolecularCoordinates.canonical`.

    Raises:
        ValueError: one of them differs; the message says which.
    """
    advice = "prepare both from one structure file, with the same options, and train again"
    found = (
        _atoms(a.system, b.system)
        or _constraints(a.system, b.system)
        or _domain(a.system, b.system)
        or _rotors(a.coordinates, b.coordinates, a.system)
        or _handedness(a.coordinates, b.coordinates, a.system)
    )
    if found:
        raise ValueError(
            f"the generators of {a.system.name!r} and {b.system.name!r} do not have the same conformations: "
            f"{found}; {advice}"
        )


def check_temperature(a: Energy, b: Energy) -> float:
    """The temperature in K of both energies.

    Raises:
        ValueError: they have two.
    """
    if abs(a.temperature - b.temperature) > 1e-9 * a.temperature:
        raise ValueError(
            f"expected one temperature of both energies, got {a.temperature:g} and {b.temperature:g} K; give "
            "both in `energies`, one as `energy.at(temperature)`: between temperatures, reweight one of them"
        )
    return a.temperature


def _atoms(a: System, b: System) -> str:
    if a.n_atoms != b.n_atoms:
        return f"the numbers of atoms, {a.n_atoms} and {b.n_atoms}, differ"
    ours, theirs = a.graph.elements, b.graph.elements
    if ours != theirs:
        k = next(k for k in range(a.n_atoms) if ours[k] != theirs[k])
        return f"molecule or order of the atoms differ: atom {k + 1} is {a.labels(k)} and {b.labels(k)}"
    if a.graph.neighbours != b.graph.neighbours:
        return "the bonds differ, by the molecule or by the order of its atoms"
    return ""


def _constraints(a: System, b: System) -> str:
    names, ours, theirs = atom_names(a.topology), a.constraints, b.constraints
    for i, j in sorted(set(ours) ^ set(theirs)):
        which = "first" if (i, j) in ours else "second"
        return f"the bond {names[i]} - {names[j]} is constrained in the {which} alone (`constraints` differ)"
    for (i, j), length in ours.items():
        if abs(length - theirs[i, j]) > _LENGTH:
            return (
                f"the constrained bond {names[i]} - {names[j]} has {length:.6g} nm and {theirs[i, j]:.6g} nm"
            )
    return ""


def _domain(a: System, b: System) -> str:
    ours, theirs = a.domain.model_dump(), b.domain.model_dump()
    said = ((key, ours.get(key, []), theirs.get(key, [])) for key in ours | theirs)
    return next((f"`domain.{key}` is {a!r} and {b!r}" for key, a, b in said if a != b), "")


def _rotors(a: MolecularCoordinates, b: MolecularCoordinates, system: System) -> str:
    names = atom_names(system.topology)
    ours, theirs = ({c.rotor.moved: c.rotor for c in coordinates.rotors} for coordinates in (a, b))
    for moved in sorted(set(ours) ^ set(theirs), key=sorted):
        which, rotor = ("first", ours[moved]) if moved in ours else ("second", theirs[moved])
        ends = ", ".join(names[i] for i in rotor.ends)
        return (
            f"{ends} on {names[rotor.centre]} are equivalent to the force field of the {which} alone, whose "
            f"domain has one of their {rotor.fold} labellings (`domain.equivalent_atoms`)"
        )
    return ""


def _handedness(a: MolecularCoordinates, b: MolecularCoordinates, system: System) -> str:
    names, first = atom_names(system.topology), 2 * system.n_atoms - 3
    for (k, ours, stereocentre), (_, theirs, _) in zip(a.handed, b.handed, strict=True):
        if ours == theirs:
            continue
        centre = names[a.zmatrix.torsion_rows[k - first].bonded]
        if stereocentre:
            return f"the structures are different enantiomers at {centre} (`domain.enantiomer`)"
        return f"the labels of the atoms on {centre} are exchanged (`domain.equivalent_atoms`)"
    return ""
