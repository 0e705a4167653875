"""Expressions of a conformation's quantities, from a user's text and without `eval`.

``"phi < 0 and between(psi, -100, 50)"`` is a condition, ``"cos(phi) + distance(CA2, CA4)"`` a number.
Python's own parser reads the text; what is not on the lists below is refused.

* Numbers, ``+ - * / ^`` (or ``**``), comparisons (``-180 < phi < 0`` too), ``and``, ``or``, ``not``.
* The functions of `FUNCTIONS`. Angles are in degrees: ``sin, cos, tan`` take and ``asin, acos, atan, atan2``
  give them. ``select(phi > 0, a, b)`` is a where the condition holds (or a number is not zero), else b.
* ``between(phi, -180, -100)``: whether an angle lies in [low, high) on its circle, so that
  ``between(psi, 120, -30)`` passes through 180.
* Names: ``phi``, ``torsion C5-C6-O2-H7``, ``radius_of_gyration``, ``distance(CA2, CA4)``, or
  ``distance CA2 CA4`` where it is the whole text; see `measures`. Others that have signs or spaces are in
  quotes or backticks.
"""

import ast
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import special

from boltzgen.molecule.measures import OF_ATOMS

Values = Mapping[str, np.ndarray]
_LONGEST = 1000
#: Parts inside each other.
_DEEPEST = 150
_CIRCLE = 360.0

_BINARY: dict[type[ast.operator], Callable] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}
_COMPARISONS: dict[type[ast.cmpop], Callable] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
#: By name: number of arguments, and the function of them.
FUNCTIONS: dict[str, tuple[int, Callable]] = {
    "abs": (1, np.abs),
    "sqrt": (1, np.sqrt),
    "square": (1, np.square),
    "cube": (1, lambda v: v**3),
    "exp": (1, np.exp),
    "log": (1, np.log),
    "floor": (1, np.floor),
    "ceil": (1, np.ceil),
    "step": (1, lambda v: np.asarray(v >= 0, np.float64)),
    "sinh": (1, np.sinh),
    "cosh": (1, np.cosh),
    "tanh": (1, np.tanh),
    "erf": (1, special.erf),
    "erfc": (1, special.erfc),
    "sin": (1, lambda v: np.sin(np.radians(v))),
    "cos": (1, lambda v: np.cos(np.radians(v))),
    "tan": (1, lambda v: np.tan(np.radians(v))),
    "asin": (1, lambda v: np.degrees(np.arcsin(v))),
    "acos": (1, lambda v: np.degrees(np.arccos(v))),
    "atan": (1, lambda v: np.degrees(np.arctan(v))),
    "atan2": (2, lambda y, x: np.degrees(np.arctan2(y, x))),
    "min": (2, np.minimum),
    "max": (2, np.maximum),
    "select": (3, lambda test, a, b: np.where(test != 0, a, b)),
}
_KIND = "|".join(OF_ATOMS)
#: Of a name without quotes: an atom, or a part of a torsion's label.
_PART = r"[^\s,()<>=!+*/^`\"-]+"
#: Names that are more than a word of Python's: in quotes, of four labelled atoms, and of atoms in brackets.
_NAMED = re.compile(
    rf"(?P<quoted>`[^`]*`|'[^']*'|\"[^\"]*\")|\b(?P<label>torsion\s+{_PART}(?:-{_PART}){{3}})"
    rf"|\b(?P<kind>{_KIND})\s*\((?P<atoms>[^()]*)\)"
)
#: A measure of atoms that is the whole text.
_BARE = re.compile(rf"\s*(?P<kind>{_KIND})\b(?P<atoms>(?:[\s,]+{_PART})+)\s*")


@dataclass(frozen=True)
class Expression:
    """A number or a condition of named quantities.

    >>> Expression("cos(phi) + distance( CA2, CA4 )").names
    ('phi', 'distance CA2 CA4')

    Attributes:
        text: as it was given.
        names: of the quantities, in the order of the text; those of atoms as `measures` has them.
        is_condition: true or false, instead of a number.
        tree: what was read.

    Raises:
        ValueError: the text is no such expression.
    """

    text: str
    names: tuple[str, ...] = field(init=False)
    is_condition: bool = field(init=False)
    tree: ast.expr = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        tree = _parsed(self.text)
        names: list[str] = []
        found = _kind(tree, names, self.text)
        object.__setattr__(self, "names", tuple(dict.fromkeys(names)))
        object.__setattr__(self, "is_condition", found)
        object.__setattr__(self, "tree", tree)

    def __call__(self, values: Values, periods: Mapping[str, float] | None = None) -> np.ndarray:
        """Its value for each conformation: bool (...) of a condition, float64 (...) of a number.

        Args:
            values: (...) of each name; angles in degrees, lengths in nm.
            periods: of the angles that have not 360 degrees, by name, for `between`.
        """
        with np.errstate(all="ignore"):
            found = _value(self.tree, values, periods or {})
        shape = np.shape(next(iter(values.values()))) if values else ()
        return np.broadcast_to(np.asarray(found, bool if self.is_condition else np.float64), shape)


def _parsed(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise ValueError(f"expected an expression of at most {_LONGEST} characters, got {len(text)}")
    try:
        tree = ast.parse(_quoted(text), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        why = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ValueError(
            f"{_shown(text)} cannot be read ({why}); expected for instance "
            "'phi < 0 and between(psi, -100, 50)' or 'distance CA2 CA4', names with signs or spaces in quotes"
        ) from error
    level = [tree]
    for _ in range(_DEEPEST):
        level = [part for node in level for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)]
        if not level:
            return tree
    raise ValueError(f"{_shown(text)} is nested too deeply: more than {_DEEPEST} parts inside each other")


def _quoted(text: str) -> str:
    """The text as Python reads it: names in quotes, powers with two stars."""
    if found := _BARE.fullmatch(text):
        return repr(_of_atoms(found))
    parts, end = [], 0
    for found in _NAMED.finditer(text):
        if found["quoted"]:
            name = found["quoted"][1:-1]
        else:
            name = " ".join(found["label"].split()) if found["label"] else _of_atoms(found)
        parts += [text[end : found.start()].replace("^", "**"), repr(name)]
        end = found.end()
    return "".join([*parts, text[end:].replace("^", "**")]).strip()


def _of_atoms(found: re.Match[str]) -> str:
    return " ".join([found["kind"], *found["atoms"].replace(",", " ").split()])


def _kind(node: ast.expr, names: list[str], text: str) -> bool:
    """Whether a part is a condition; collects its names.

    Raises:
        ValueError: it is, or holds, something that is not on the lists.
    """

    def numbers(*parts: ast.expr) -> None:
        for part in parts:
            if _kind(part, names, text):
                raise ValueError(
                    f"{_shown(text)}: {ast.unparse(part)!r} is true or false where a number was expected"
                )

    match node:
        case ast.Constant(value=str() as name):
            names.append(name)
        case ast.Constant(value=bool() | complex()):
            raise _refused(node, text)
        case ast.Constant(value=int() | float() as number) if abs(number) <= sys.float_info.max:
            pass
        case ast.Name(id=name):
            names.append(name)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=part):
            numbers(part)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            numbers(left, right)
        case ast.Call(func=ast.Name(id=name), args=parts, keywords=[]) if name in (*FUNCTIONS, "between"):
            expected = 3 if name == "between" else FUNCTIONS[name][0]
            if len(parts) != expected:
                raise ValueError(f"{_shown(text)}: {name} takes {expected} values, got {len(parts)}")
            if name == "select":  # of a condition, or of a number
                _kind(parts[0], names, text)
                parts = parts[1:]
            numbers(*parts)
            return name == "between"
        case ast.Compare(left=left, ops=ops, comparators=others) if all(
            type(op) in _COMPARISONS for op in ops
        ):
            numbers(left, *others)
            return True
        case ast.UnaryOp(op=ast.Not(), operand=part):
            _conditions([part], names, text)
            return True
        case ast.BoolOp(values=parts):
            _conditions(parts, names, text)
            return True
        case _:
            raise _refused(node, text)
    return False


def _conditions(parts: list[ast.expr], names: list[str], text: str) -> None:
    for part in parts:
        if not _kind(part, names, text):
            raise ValueError(
                f"{_shown(text)}: {ast.unparse(part)!r} is a number where true or false was expected"
            )


def _value(node: ast.expr, values: Values, periods: Mapping[str, float]) -> Any:
    def of(part: ast.expr) -> Any:
        return _value(part, values, periods)

    match node:
        case ast.Constant(value=str() as name) | ast.Name(id=name):
            return np.asarray(values[name], np.float64)
        case ast.Constant(value=number):
            return np.float64(number)  # type: ignore[arg-type]
        case ast.UnaryOp(op=ast.Not(), operand=part):
            return np.logical_not(of(part))
        case ast.UnaryOp(op=ast.USub(), operand=part):
            return -of(part)
        case ast.UnaryOp(operand=part):
            return of(part)
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](of(left), of(right))
        case ast.Compare(left=left, ops=ops, comparators=others):
            found = [of(part) for part in (left, *others)]
            pairs = zip(ops, found, found[1:], strict=False)
            return np.logical_and.reduce(
                np.broadcast_arrays(*(_COMPARISONS[type(op)](a, b) for op, a, b in pairs))
            )
        case ast.BoolOp(op=op, values=parts):
            join = np.logical_and if isinstance(op, ast.And) else np.logical_or
            return join.reduce(np.broadcast_arrays(*map(of, parts)))
        case ast.Call(func=ast.Name(id="between"), args=[angle, low, high]):
            return _between(of(angle), of(low), of(high), _period(angle, periods))
        case ast.Call(func=ast.Name(id=name), args=parts):
            return FUNCTIONS[name][1](*map(of, parts))
    raise AssertionError(ast.dump(node))  # `_kind` has refused it


def _between(angle: Any, low: Any, high: Any, period: float) -> Any:
    """As `basins.Basin` has it: a whole turn or more holds everything."""
    width = np.where(high - low >= _CIRCLE, _CIRCLE, np.mod(high - low, _CIRCLE))
    return np.mod(angle - low, period) < width


def _period(angle: ast.expr, periods: Mapping[str, float]) -> float:
    match angle:
        case ast.Constant(value=str() as name) | ast.Name(id=name):
            return periods.get(name, _CIRCLE)
    return _CIRCLE


def _refused(node: ast.expr, text: str) -> ValueError:
    return ValueError(
        f"{_shown(text)}: {ast.unparse(node)!r} is not allowed here; expected numbers, names, "
        f"+ - * / ^, comparisons, and, or, not, and {', '.join([*FUNCTIONS, 'between'])}"
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
