"""Named regions of torsion space."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from boltzgen.molecule.names import Name

Interval = Annotated[tuple[FiniteFloat, FiniteFloat], Field(strict=False)]


class Strict(BaseModel):
    """A model that refuses unknown fields and does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Basin(Strict):
    """A named region of torsion space: where every torsion named here lies in its interval.

    Attributes:
        name: of the basin.
        phi, psi: half-open periodic intervals [low, high) in degrees, so that ``(120, -30)`` passes through
            180; None means any.
    """

    name: Name
    phi: Interval | None = None
    psi: Interval | None = None

    def contains(self, phi: np.ndarray, psi: np.ndarray) -> np.ndarray:
        """Whether each conformation is inside, bool (...); phi and psi are (...) in radians."""
        inside = np.ones(np.shape(phi), dtype=bool)
        for values, interval in ((phi, self.phi), (psi, self.psi)):
            if interval is not None:
                low, high = interval
                width = 360.0 if high - low >= 360.0 else (high - low) % 360.0
                inside &= np.mod(np.degrees(values) - low, 360.0) < width
        return inside


def assign_basins(phi: np.ndarray, psi: np.ndarray, basins: Sequence[Basin]) -> np.ndarray:
    """Index of the first basin that holds each conformation, int64 (n,), -1 for none.

    phi and psi are (n,) in radians.
    """
    labels = np.full(np.shape(phi), -1, dtype=np.int64)
    for k in reversed(range(len(basins))):
        labels[basins[k].contains(phi, psi)] = k
    return labels
