"""Quantities of a conformation as a text names them: a distance, a torsion, or an expression of such.

======================================  ================================================================
text                                    is
======================================  ================================================================
``distance CA2 CA4``                    of two atoms, in nm
``angle N2 CA2 C2``                     of three atoms, in degrees
``torsion N2 CA2 C2 N3``                of four atoms, in degrees (``dihedral`` is the same)
``phi2``, ``torsion C5-C6-O2-H7``       a named torsion, in degrees, see `System.torsions`
``radius_of_gyration``, ``end_to_end``  the molecule's sizes in nm, see `samples.sizes`
``distance(CA2, CA4) - 2 * phi2``       an expression of all these: ``+ - * / ^``, brackets and functions
======================================  ================================================================

Atoms have the names of `molecule.atoms.find_atom`. Expressions have the grammar of OpenMM's, see
`energy.custom.expression`; nothing of the text is ever executed. Angles are in degrees throughout: `sin`,
`cos` and `tan` take degrees, and `asin`, `acos`, `atan` and `atan2` give them.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from boltzgen import geometry
from boltzgen.energy.custom.expression import Expression
from boltzgen.energy.custom.parser import ExpressionError, Node
from boltzgen.molecule.atoms import find_atom
from boltzgen.molecule.torsions import alpha_carbons
from boltzgen.samples.draws import Molecule
from boltzgen.samples.sizes import end_to_end_distance, radius_of_gyration
from boltzgen.samples.weighted_samples import WeightedSamples

NM, DEGREES, PLAIN = "nm", "degrees", ""
_LONGEST = 300

Measure = Callable[[WeightedSamples], Tensor]

#: Number of atoms, unit, and function of their positions.
_OF_ATOMS: dict[str, tuple[int, str, Callable[..., Tensor]]] = {
    "distance": (2, NM, geometry.distance),
    "angle": (3, DEGREES, lambda *points: torch.rad2deg(geometry.angle(*points))),
    "torsion": (4, DEGREES, lambda *points: torch.rad2deg(geometry.dihedral(*points))),
    "dihedral": (4, DEGREES, lambda *points: torch.rad2deg(geometry.dihedral(*points))),
}
_TORSIONS = ("torsion", "dihedral")
_CALL = re.compile(rf"\b({'|'.join(_OF_ATOMS)})\s*\(([^()]*)\)")
_BARE = re.compile(rf"({'|'.join(_OF_ATOMS)})\s+([^()]+)")
#: Functions of angles in degrees, in place of the language's own.
_IN_DEGREES: dict[str, tuple[int, Callable[..., Tensor]]] = {
    "sin": (1, lambda a: torch.sin(torch.deg2rad(a))),
    "cos": (1, lambda a: torch.cos(torch.deg2rad(a))),
    "tan": (1, lambda a: torch.tan(torch.deg2rad(a))),
    "asin": (1, lambda a: torch.rad2deg(torch.asin(a))),
    "acos": (1, lambda a: torch.rad2deg(torch.acos(a))),
    "atan": (1, lambda a: torch.rad2deg(torch.atan(a))),
    "atan2": (2, lambda a, b: torch.rad2deg(torch.atan2(a, b))),
}
#: Operations whose result has the unit of their arguments.
_KEEPING = ("+", "-", "unary -", "abs", "min", "max")


@dataclass(frozen=True, eq=False)
class Quantity:
    """A number for each conformation; to be called with samples, and so for `WeightedSamples.expectation`.

    Attributes:
        text: that names it.
        unit: ``"nm"``, ``"degrees"``, or empty where it has none, or none that is known.
        is_torsion: whether it is a torsion and nothing else: a value on the circle, from -180 to 180.
    """

    text: str
    unit: str
    is_torsion: bool
    _expression: Expression = field(repr=False)
    _measures: dict[str, Measure] = field(repr=False)

    def __call__(self, samples: WeightedSamples) -> Tensor:
        """Its value in each conformation, float64 (n,), in `unit`."""
        values = {name: measure(samples).double() for name, measure in self._measures.items()}
        return torch.as_tensor(self._expression(values))


def quantity(text: str, molecule: Molecule) -> Quantity:
    """What a text names in a molecule, a `System` or the header of a samples file; see above.

    Raises:
        ValueError: it is no expression, or names an atom, a torsion or a function that there is not.
    """
    text = " ".join(text.split())
    if not text or len(text) > _LONGEST:
        raise ValueError(
            f"expected a quantity of 1 to {_LONGEST} characters, such as 'distance CA2 CA4', got "
            f"{text[:40]!r}"
        )
    plain, units, measures, torsions = _Names(molecule).replaced(text)
    try:
        expression = Expression(plain, list(units), functions=_IN_DEGREES)
    except ExpressionError as error:
        raise ValueError(_explained(str(error), text, plain, molecule)) from error
    used = {node.name for node in expression.nodes() if node.op == "variable"}
    if not used:
        raise ValueError(f"{text!r} is the same number in every conformation; name a distance or a torsion")
    return Quantity(
        text,
        _unit(expression.root, units) or PLAIN,
        expression.root.name in torsions,
        expression,
        {name: measures[name] for name in used},
    )


class _Names:
    """What a text may name in a molecule."""

    def __init__(self, molecule: Molecule) -> None:
        self.molecule = molecule
        self.units = dict.fromkeys(molecule.torsions, DEGREES)
        self.measures: dict[str, Measure] = {
            name: lambda samples, name=name: samples.torsion(name).rad2deg()  # type: ignore[misc]
            for name in molecule.torsions
        }
        self.torsions = set(molecule.torsions)
        topology = molecule.mdtraj_topology
        if topology is not None:
            sizes: dict[str, Measure] = {"radius_of_gyration": radius_of_gyration}
            if len(alpha_carbons(topology)) >= 2:
                sizes["end_to_end"] = end_to_end_distance
            self.measures |= sizes
            self.units |= dict.fromkeys(sizes, NM)

    def replaced(self, text: str) -> tuple[str, dict[str, str], dict[str, Measure], set[str]]:
        """The text with a plain name for each measure; units, measures and torsions by these names."""
        # A name that is more than one word of the grammar; longer ones may begin as shorter ones do.
        for name in sorted(self.molecule.torsions, key=len, reverse=True):
            if not name.isidentifier() and name in text:
                text = text.replace(name, self._renamed(name))
        if found := _BARE.fullmatch(text):
            return self._finished(self._measured(found[1], found[2]))
        return self._finished(_CALL.sub(lambda found: self._measured(found[1], found[2]), text))

    def _finished(self, text: str) -> tuple[str, dict[str, str], dict[str, Measure], set[str]]:
        return text, self.units, self.measures, self.torsions

    def _renamed(self, name: str) -> str:
        return self._new(self.units[name], self.measures[name], is_torsion=True)

    def _measured(self, kind: str, arguments: str) -> str:
        """A new name for a measure of atoms, such as a distance."""
        n, unit, function = _OF_ATOMS[kind]
        names = arguments.replace(",", " ").split()
        if len(names) != n:
            raise ValueError(
                f"expected {kind} of {n} atoms, such as '{kind} {' '.join(['CA2', 'C2', 'N3', 'CA3'][:n])}', "
                f"got {len(names)}: {arguments.strip()!r}"
            )
        # A `System` has all that its file says, residues' insertion codes included.
        topology = getattr(self.molecule, "topology", None) or self.molecule.mdtraj_topology
        if topology is None:
            raise ValueError("this file holds no topology, so atoms have no names; draw the samples again")
        atoms = [find_atom(topology, name) for name in names]
        if len(set(atoms)) < n:
            raise ValueError(f"expected {kind} of {n} different atoms, got {arguments.strip()!r}")

        def measure(samples: WeightedSamples) -> Tensor:
            return function(*(samples.x[:, i].double() for i in atoms))

        return self._new(unit, measure, is_torsion=kind in _TORSIONS)

    def _new(self, unit: str, measure: Measure, *, is_torsion: bool) -> str:
        name = f"_{len(self.measures)}"
        self.units[name], self.measures[name] = unit, measure
        if is_torsion:
            self.torsions.add(name)
        return name


def _explained(error: str, text: str, plain: str, molecule: Molecule) -> str:
    """What is wrong with an expression, in the words of the text that was given."""
    said = error.replace(repr(plain), repr(text))
    if "unknown" not in said:
        return f"{said}; write quantities such as 'distance CA2 CA4' or 'cos(phi) + 2 * radius_of_gyration'"
    torsions = ", ".join(molecule.torsions) or "none"
    return (
        f"{said}; expected torsions ({torsions}), radius_of_gyration, distance(A, B), angle(A, B, C), "
        "torsion(A, B, C, D) of atoms, or functions of them"
    )


def _unit(node: Node, units: dict[str, str]) -> str | None:
    """Unit of an expression; None of a plain number, empty where it is not one of those that are kept."""
    if node.op == "number":
        return None
    if node.op == "variable":
        return units[node.name]
    if node.op in ("asin", "acos", "atan", "atan2"):
        return DEGREES
    found = [_unit(argument, units) for argument in node.arguments]
    known = {unit for unit in found if unit is not None}
    if node.op in _KEEPING:
        return known.pop() if len(known) == 1 else PLAIN
    if (node.op == "*" and None in found) or (node.op == "/" and found[1] is None):
        return known.pop()
    return PLAIN


def check_finite(values: Tensor, log_w: Tensor, text: str) -> None:
    """Raise ValueError if a value (n,) is no number although its draw has weight."""
    wrong = int((~values.isfinite() & (log_w > -math.inf)).sum())
    if wrong:
        raise ValueError(
            f"{text!r} is not a finite number in {wrong} of {len(values)} conformations: it divides by zero, "
            "or takes a root or a logarithm of what is negative"
        )
