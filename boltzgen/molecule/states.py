"""States, of which a conformation is in one: g+, t and g- of a torsion, or named regions of several torsions.

Both kinds have names, and the label of a conformation is an index into them. Populations, references and
tests of simulations count them alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import mdtraj
import numpy as np
import torch
from openmm import app
from torch import Tensor

from boltzgen.geometry import dihedrals
from boltzgen.molecule.basins import Region, assign_basins
from boltzgen.molecule.graph import Quadruple
from boltzgen.molecule.measures import Measure, measure

#: What the basins of a molecule are called beside its residues and torsions.
BASINS = "basin"


@dataclass(frozen=True)
class Division:
    """Equal half-open arcs [low, high) of a torsion, each a state.

    Attributes:
        states: names of the arcs, in ascending order.
        period: of the torsion, in degrees.
        start: where the first arc begins, in degrees.
    """

    states: tuple[str, ...]
    period: float = 360.0
    start: float = 0.0

    @property
    def arcs(self) -> list[tuple[float, float]]:
        """Ends [low, high) of each arc in degrees, within -180 and 180: (120, -120) passes through 180."""
        width = self.period / len(self.states)
        lows = [self.start + k * width for k in range(len(self.states))]
        return [(low - 360 * (low >= 180), low + width - 360 * (low + width > 180)) for low in lows]


#: Where torsions have their minima; `rotamers` says which torsion is divided how.
DIVISIONS = {
    # Staggered, at +60, 180 and -60 degrees.
    "threefold": Division(("g+", "t", "g-")),
    # A double bond's end, =O or =C, eclipses one of the three neighbours on the other side.
    "eclipsed": Division(("cis", "skew+", "skew-"), 360.0, -60.0),
    # In the plane of a conjugated bond.
    "planar": Division(("cis", "trans"), 360.0, -90.0),
    "amide": Division(("cis", "trans"), 360.0, -90.0),
    # Near +90 and -90 degrees: R-S-S-R, and an unsymmetric ring on a tetrahedral atom.
    "sides": Division(("+", "-")),
    # The sign of a ring's torsion says which way it is puckered.
    "ring": Division(("+", "-")),
    # Two equivalent ends (PHE, TYR chi2; ASP chi2; GLU chi3; ARG chi5): rotated by 180 degrees it is the same
    # molecule.
    "twofold": Division(("planar", "perpendicular"), 180.0, -45.0),
    # Two equivalent hydrogens on a pyramidal N: where its lone pair is, opposite them.
    "amine": Division(("g-", "t", "g+"), 180.0),
    # Two rings on each other, out of plane by some 45 degrees; the same where one has equivalent ends.
    "quarters": Division(("cis+", "trans+", "trans-", "cis-")),
    "twist": Division(("+", "-"), 180.0),
    # Left-handed helices and C7ax have phi > 0.
    "phi": Division(("+", "-")),
    # Helices against sheets and turns: cut at the barriers, near -130 and 50 degrees.
    "psi": Division(("alpha", "beta"), 360.0, -130.0),
}


@dataclass(frozen=True)
class Rotamer:
    """States of one torsion.

    Attributes:
        division: how the torsion is divided into states, a key of `DIVISIONS`.
        torsions: atoms of the torsion; of one with a period of 180 degrees, those to each of the equivalent
            ends.

    Raises:
        ValueError: no such division.
    """

    division: str
    torsions: tuple[Quadruple, ...]

    def __post_init__(self) -> None:
        if self.division not in DIVISIONS:
            raise ValueError(
                f"expected a division of a torsion ({', '.join(DIVISIONS)}), got {self.division!r}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the states."""
        return DIVISIONS[self.division].states

    @property
    def period(self) -> float:
        """Of the torsion, in degrees."""
        return DIVISIONS[self.division].period

    def angle(self, x: Tensor) -> np.ndarray:
        """The torsion in each conformation x (n, n_atoms, 3), float64 (n,) in radians.

        One with a period of 180 degrees is the mean of those to each equivalent end, in (-pi/2, pi/2]: half
        the argument of sum exp(2 i tau). Exchanging their labels changes nothing.
        """
        own = (0, 1, 2, 3)
        tau = torch.stack([dihedrals(x[:, list(atoms)].double(), own) for atoms in self.torsions])
        if self.period == 180.0:
            return np.asarray(
                torch.atan2(torch.sin(2 * tau).sum(0), torch.cos(2 * tau).sum(0)).numpy(force=True) / 2
            )
        return tau[0].numpy(force=True)

    def labels(self, x: Tensor) -> np.ndarray:
        """State of each conformation x (n, n_atoms, 3), int8 (n,): an index into `names`.

        A conformation that is not a number (a draw without weight) is put into the first state.
        """
        return state_labels(self.angle(x), DIVISIONS[self.division])


@dataclass(frozen=True)
class Regions:
    """Named regions of several torsions as states; the first that holds a conformation is its own.

    Attributes:
        basins: the regions.
        torsions: that they name.
        measures: of what else they name.
    """

    basins: tuple[Region, ...]
    torsions: dict[str, Rotamer]
    measures: dict[str, Measure] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        basins: Sequence[Region],
        torsions: Mapping[str, Quadruple],
        rotamers: Mapping[str, Rotamer],
        topology: app.Topology | mdtraj.Topology | None = None,
    ) -> "Regions":
        """Regions of a molecule with these named torsions, some of which have equivalent ends.

        Args:
            basins: the regions.
            torsions: of the molecule.
            rotamers: of the molecule.
            topology: of the molecule, where regions name more than torsions.

        Raises:
            ValueError: a region names a torsion or an atom that the molecule has not.
        """
        used: dict[str, Rotamer] = {}
        for basin in basins:
            for name in basin.torsions:
                if name not in torsions:
                    raise ValueError(
                        f"basin {basin.name!r} names a torsion {name!r} that this molecule has not; it has: "
                        f"{', '.join(torsions) or 'none'}"
                    )
                # Of a torsion without equivalent ends the angle alone is used, not how it is divided.
                used[name] = rotamers.get(name) or Rotamer("sides", (torsions[name],))
        measures = {name: measure(name, topology) for basin in basins for name in basin.measures}
        return cls(tuple(basins), used, measures)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the regions."""
        return tuple(basin.name for basin in self.basins)

    def labels(self, x: Tensor) -> np.ndarray:
        """Region of each conformation x (n, n_atoms, 3), int16 (n,): an index into `names`, -1 for none."""
        if not (self.torsions or self.measures):  # one region that is everything
            return np.full(len(x), 0 if self.basins else -1, dtype=np.int16)
        values = {name: torsion.angle(x) for name, torsion in self.torsions.items()}
        values |= {name: found(x).numpy(force=True) for name, found in self.measures.items()}
        periods = {name: torsion.period for name, torsion in self.torsions.items()}
        return assign_basins(values, self.basins, periods)


States = Rotamer | Regions


def state_labels(angle: np.ndarray, division: Division) -> np.ndarray:
    """Index of the arc in which each angle [radians] lies, int8 of the same shape; NaN is put into arc 0."""
    turns = np.mod((np.degrees(np.nan_to_num(angle)) - division.start) / division.period, 1.0)
    return np.minimum(np.floor(turns * len(division.states)), len(division.states) - 1).astype(np.int8)
