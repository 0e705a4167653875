"""How the files of an analysis are written: where, in which unit and format, with how many bins."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boltzgen.units import one_kt

#: Formats of pictures.
FORMATS = ("png", "pdf", "svg")
_FEWEST, _MOST = 2, 720


@dataclass(frozen=True)
class Output:
    """Where the files of an analysis go, and how they are made.

    Attributes:
        folder: of the files.
        temperature: of the target in K.
        unit: of free energies in tables and pictures, one of `units.ENERGY_UNITS`.
        format: of pictures, one of `FORMATS`.
        bins: of a profile, and along either axis of a surface; None: as many as the draws can fill.

    Raises:
        ValueError: an unknown unit or format, or a number of bins that is no use.
    """

    folder: Path
    temperature: float
    unit: str = "kT"
    format: str = "png"
    bins: int | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"expected `format` to be one of {', '.join(FORMATS)}, got {self.format!r}")
        if self.bins is not None and not _FEWEST <= self.bins <= _MOST:
            raise ValueError(f"expected {_FEWEST} to {_MOST} `bins`, got {self.bins}")
        one_kt(self.unit, self.temperature)

    @property
    def one_kt(self) -> float:
        """What one kT is in `unit`."""
        return one_kt(self.unit, self.temperature)

    @property
    def drawn_in(self) -> dict[str, Any]:
        """What the functions that draw are told of the unit."""
        return {"unit": self.unit, "temperature": self.temperature}

    def picture(self, stem: str) -> Path:
        """The path of a picture."""
        return self.folder / f"{stem}.{self.format}"

    def table(self, stem: str) -> Path:
        """The path of a table."""
        return self.folder / f"{stem}.csv"
