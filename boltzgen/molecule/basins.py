"""Named regions of torsion space."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Protocol

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, model_serializer

from boltzgen.molecule.names import Name


def _interval(value: Any) -> tuple[float, float]:
    pair = tuple(value) if isinstance(value, list | tuple) else ()
    if len(pair) != 2 or not all(type(v) in (int, float) and -360 <= v <= 360 for v in pair):
        raise ValueError(f"expected [low, high], two numbers of degrees from -360 to 360, got {value!r}")
    return float(pair[0]), float(pair[1])


#: The state of what is in no other one.
OTHER = "other"
#: Degrees, half-open [low, high) on the circle.
Interval = Annotated[tuple[float, float], BeforeValidator(_interval)]


class Region(Protocol):
    """A named region of conformations: a `Basin`, or a `conditions.Condition`."""

    @property
    def name(self) -> str:
        """Of the region."""

    @property
    def torsions(self) -> tuple[str, ...]:
        """Names of the torsions that decide."""

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of other quantities that do, see `molecule.measures`."""

    def contains(
        self, torsions: Mapping[str, np.ndarray], periods: Mapping[str, float] | None = None
    ) -> np.ndarray:
        """Whether each conformation is inside, see `Basin.contains`; `torsions` has `measures` too."""


class Strict(BaseModel):
    """A model that refuses unknown fields and does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Basin(Strict):
    """A named region of torsion space: where every torsion named here lies in its interval.

    Intervals are half-open and periodic, [low, high) in degrees, so that ``(120, -30)`` passes through 180. A
    torsion that is not named may have any value.

    >>> Basin("C7ax", phi=(0, 120), psi=(120, -30))
    Basin(name='C7ax', phi=(0.0, 120.0), psi=(120.0, -30.0))

    A name that is no Python name is given in a dictionary:
    ``Basin("folded", **{"torsion C5-C6-O2-H7": (-60, 60)})``.

    Attributes:
        name: of the basin.
        intervals: of the torsions, by their names in `System.torsions`.

    Raises:
        ValueError: an interval is not two numbers from -360 to 360.
    """

    name: Name
    intervals: dict[Name, Interval] = {}

    def __init__(self, /, name: str | None = None, **intervals: Any) -> None:
        # What a basin leaves open, files of earlier versions hold as null.
        given = {torsion: interval for torsion, interval in intervals.items() if interval is not None}
        fields: dict[str, Any] = {"intervals": given} | ({} if name is None else {"name": name})
        super().__init__(**fields)

    @model_serializer
    def _write(self) -> dict[str, Any]:
        """As in a file: intervals beside the name."""
        return {"name": self.name, **self.intervals}

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        yield from self._write().items()

    @property
    def torsions(self) -> tuple[str, ...]:
        """Names of the torsions that have an interval."""
        return tuple(self.intervals)

    @property
    def measures(self) -> tuple[str, ...]:
        """Of other quantities: none."""
        return ()

    def contains(
        self, torsions: Mapping[str, np.ndarray], periods: Mapping[str, float] | None = None
    ) -> np.ndarray:
        """Whether each conformation is inside, bool (...).

        Args:
            torsions: by name, each (...) in radians.
            periods: of the torsions that have not 360 degrees, by name.
        """
        inside = np.ones(np.shape(next(iter(torsions.values()))), dtype=bool)
        for name, (low, high) in self.intervals.items():
            width = 360.0 if high - low >= 360.0 else (high - low) % 360.0
            inside &= np.mod(np.degrees(torsions[name]) - low, (periods or {}).get(name, 360.0)) < width
        return inside


def basins_over(
    torsions: Sequence[str], basins: Sequence[Basin], regions: Mapping[str, Sequence[Basin]]
) -> tuple[Basin, ...]:
    """The basins, or else the regions of a residue, that these torsions alone decide; empty if none are."""
    for group in (basins, *regions.values()):
        if {name for basin in group for name in basin.intervals} == set(torsions):
            return tuple(group)
    return ()


def assign_basins(
    torsions: Mapping[str, np.ndarray],
    basins: Sequence[Region],
    periods: Mapping[str, float] | None = None,
) -> np.ndarray:
    """Index of the first basin that holds each conformation, int16 (...), -1 for none.

    Arguments are those of `Basin.contains`.
    """
    labels = np.full(np.shape(next(iter(torsions.values()))), -1, dtype=np.int16)
    for k in reversed(range(len(basins))):
        labels[basins[k].contains(torsions, periods)] = k
    return labels
