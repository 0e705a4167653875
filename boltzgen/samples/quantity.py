"""Numbers that a text names: what profiles are along, and `--along` of the command line takes.

``"distance CA2 CA4"``, ``"phi"``, ``"cos(phi2) + 2 * radius_of_gyration"``: the language is that of
`molecule.expression`, in which states are written too, and its names are those of `molecule.measures` and the
molecule's named torsions, in degrees.
"""

import ast
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from boltzgen.geometry import dihedrals
from boltzgen.molecule.expression import Expression
from boltzgen.molecule.graph import Quadruple
from boltzgen.molecule.measures import DEGREES, Measure, is_measure, is_torsion, measure, topology_of, unit_of
from boltzgen.samples.draws import Molecule
from boltzgen.samples.weighted_samples import WeightedSamples

_LONGEST = 300
#: Functions whose result has the unit of their arguments, and those that give an angle.
_KEEPING, _ANGLES = ("abs", "min", "max"), ("asin", "acos", "atan", "atan2")


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
        values = {name: found(samples.x).numpy(force=True) for name, found in self._measures.items()}
        return torch.from_numpy(self._expression(values).copy())


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
    expression = Expression(text)
    if expression.is_condition:
        raise ValueError(f"{text!r} is true or false; expected a number, such as 'distance CA2 CA4'")
    if not expression.names:
        raise ValueError(f"{text!r} is the same number in every conformation; name a distance or a torsion")
    measures, units, topology = {}, {}, topology_of(molecule)
    for name in expression.names:
        if is_measure(name):
            measures[name], units[name] = measure(name, topology), unit_of(name)
        elif name in molecule.torsions:
            measures[name], units[name] = _torsion(molecule.torsions[name]), DEGREES
        else:
            raise ValueError(
                f"unknown name {name!r} in {text!r}; expected torsions "
                f"({', '.join(molecule.torsions) or 'none'}), radius_of_gyration, distance(A, B), "
                "angle(A, B, C), torsion(A, B, C, D) of atoms, or functions of them"
            )
    alone = _name(expression.tree)
    turns = alone is not None and (alone in molecule.torsions or is_torsion(alone))
    return Quantity(text, _unit(expression.tree, units) or "", turns, expression, measures)


def _torsion(atoms: Quadruple) -> Measure:
    return lambda x: dihedrals(x.double(), atoms).rad2deg()


def _name(node: ast.expr) -> str | None:
    """The name that a part is, if it is one."""
    match node:
        case ast.Constant(value=str() as name) | ast.Name(id=name):
            return name
    return None


def _unit(node: ast.expr, units: dict[str, str]) -> str | None:
    """Unit of an expression; None of a plain number, empty where it is not one of those that are kept."""
    if (name := _name(node)) is not None:
        return units[name]
    match node:
        case ast.Constant():
            return None
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=part):
            return _unit(part, units)
        case ast.Call(func=ast.Name(id=name)) if name in _ANGLES:
            return DEGREES
        case ast.Call(func=ast.Name(id=name), args=parts) if name in _KEEPING:
            return _common([_unit(part, units) for part in parts])
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
            return _common([_unit(left, units), _unit(right, units)])
        case ast.BinOp(left=left, op=op, right=right):
            first, second = _unit(left, units), _unit(right, units)
            if second is None and isinstance(op, ast.Mult | ast.Div):
                return first
            return second if first is None and isinstance(op, ast.Mult) else ""
    return ""


def _common(found: list[str | None]) -> str | None:
    """The one unit of parts that are added or compared; numbers have any."""
    known = {unit for unit in found if unit is not None}
    return None if not known else known.pop() if len(known) == 1 else ""


def check_finite(values: Tensor, log_w: Tensor, text: str) -> None:
    """Raise ValueError if a value (n,) is no number although its draw has weight."""
    wrong = int((~values.isfinite() & (log_w > -math.inf)).sum())
    if wrong:
        raise ValueError(
            f"{text!r} is not a finite number in {wrong} of {len(values)} conformations: it divides by zero, "
            "or takes a root or a logarithm of what is negative"
        )
