"""States that a user names: ranges of torsions, or a condition of a conformation's quantities."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from boltzgen.molecule.basins import Basin
from boltzgen.molecule.expression import Expression
from boltzgen.molecule.measures import is_measure
from boltzgen.molecule.names import check_name

_NUMBER = r"[-+]?\d+(?:\.\d*)?"
#: ``phi=0..120``, also ``torsion C5-C6-O2-H7=-60..60``.
_RANGE = re.compile(rf"\s*[`'\"]?([^=]+?)[`'\"]?\s*=\s*({_NUMBER})\s*\.\.\s*({_NUMBER})(?![\w.])[\s,;]*")
_FORM = (
    "a name, a colon, and ranges in degrees ('C7ax: phi=0..120 psi=120..-30') or a condition "
    "('helix: phi < 0 and between(psi, -100, 50)', 'close: distance(CA2, CA4) < 0.5')"
)


@dataclass(frozen=True)
class Condition:
    """A named region of conformations: where an expression of torsions and other quantities is true.

    Torsions are in degrees, in (-180, 180]; of one with two equivalent ends, in (-90, 90]. See `expression`.

    >>> helix = Condition("helix", "phi < 0 and between(psi, -100, 50) and distance(O1, H3) < 0.25")
    >>> helix.torsions, helix.measures
    (('phi', 'psi'), ('distance O1 H3',))

    Attributes:
        name: of the region.
        text: the expression.

    Raises:
        ValueError: no condition, or one that names no quantity.
    """

    name: str
    text: str
    _expression: Expression = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_name(self.name)
        expression = Expression(self.text)
        if not (expression.is_condition and expression.names):
            what = "names no quantity" if expression.is_condition else "is a number, not true or false"
            raise ValueError(f"state {self.name!r}: {self.text!r} {what}; expected {_FORM}")
        object.__setattr__(self, "_expression", expression)

    @property
    def torsions(self) -> tuple[str, ...]:
        """Names of the torsions that decide."""
        return tuple(name for name in self._expression.names if not is_measure(name))

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the other quantities that do."""
        return tuple(name for name in self._expression.names if is_measure(name))

    def contains(
        self, torsions: Mapping[str, np.ndarray], periods: Mapping[str, float] | None = None
    ) -> np.ndarray:
        """Whether each conformation is inside, bool (...).

        Args:
            torsions: by name, each (...) in radians; and `measures` by name, in their own units.
            periods: of the torsions that have not 360 degrees, by name.
        """
        values = {name: np.degrees(torsions[name]) for name in self.torsions}
        return self._expression(values | {name: torsions[name] for name in self.measures}, periods)


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
