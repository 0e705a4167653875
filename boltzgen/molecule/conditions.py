"""States that a user names: ranges of torsions, or an expression of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from boltzgen.molecule.basins import Basin
from boltzgen.molecule.expression import Expression
from boltzgen.molecule.names import check_name

_NUMBER = r"[-+]?\d+(?:\.\d*)?"
#: ``phi=0..120``, also ``torsion C5-C6-O2-H7=-60..60``.
_RANGE = re.compile(rf"\s*[`'\"]?([^=]+?)[`'\"]?\s*=\s*({_NUMBER})\s*\.\.\s*({_NUMBER})(?![\w.])[\s,;]*")
_FORM = (
    "a name, a colon, and ranges in degrees ('C7ax: phi=0..120 psi=120..-30') or a condition "
    "('helix: phi < 0 and between(psi, -100, 50)')"
)


@dataclass(frozen=True)
class Condition:
    """A named region of torsion space: where an expression of torsions in degrees is true.

    Torsions are in (-180, 180]; of one with two equivalent ends, in (-90, 90]. See `expression`.

    >>> Condition("helix", "phi < 0 and between(psi, -100, 50)").torsions
    ('phi', 'psi')

    Attributes:
        name: of the region.
        text: the expression.

    Raises:
        ValueError: no condition, or one that names no torsion.
    """

    name: str
    text: str
    _expression: Expression = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_name(self.name)
        expression = Expression(self.text)
        if not (expression.is_condition and expression.names):
            what = "names no torsion" if expression.is_condition else "is a number, not true or false"
            raise ValueError(f"state {self.name!r}: {self.text!r} {what}; expected {_FORM}")
        object.__setattr__(self, "_expression", expression)

    @property
    def torsions(self) -> tuple[str, ...]:
        """Names of the torsions that decide."""
        return self._expression.names

    def contains(
        self, torsions: Mapping[str, np.ndarray], periods: Mapping[str, float] | None = None
    ) -> np.ndarray:
        """Whether each conformation is inside, bool (...); arguments are those of `Basin.contains`."""
        degrees = {name: np.degrees(torsions[name]) for name in self.torsions}
        return self._expression(degrees, periods)


def parse_state(text: str) -> Basin | Condition:
    """A state as it is written on the command line.

    >>> parse_state("C7ax: phi=0..120 psi=120..-30")
    Basin(name='C7ax', phi=(0.0, 120.0), psi=(120.0, -30.0))
    >>> parse_state("helix: phi < 0 and between(psi, -100, 50)")
    Condition(name='helix', text='phi < 0 and between(psi, -100, 50)')

    Raises:
        ValueError: neither ranges nor a condition.
    """
    name, colon, rest = (part.strip() for part in text.partition(":"))
    if not (name and colon and rest):
        raise ValueError(f"state {text!r} cannot be read; expected {_FORM}")
    if ".." not in rest:
        return Condition(name, rest)
    ranges: dict[str, tuple[float, float]] = {}
    at = 0
    while at < len(rest):
        found = _RANGE.match(rest, at)
        if found is None or found[1] in ranges:
            why = f"{rest[at:]!r} is no range" if found is None else f"{found[1]!r} has two ranges"
            raise ValueError(f"state {text!r} cannot be read: {why}; expected {_FORM}")
        ranges[found[1]] = float(found[2]), float(found[3])
        at = found.end()
    return Basin(name, **ranges)
