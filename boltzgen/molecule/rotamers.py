"""States of torsions: g+, t and g- of side chains, cis and trans of amides, the regions of phi and psi."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from boltzgen.geometry import dihedrals
from boltzgen.molecule.torsions import Rotamer


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


DIVISIONS = {
    "threefold": Division(("g+", "t", "g-")),
    # Two equivalent ends (PHE, TYR chi2; ASP chi2; GLU chi3; ARG chi5): rotated by 180 degrees it is the same
    # molecule.
    "twofold": Division(("planar", "perpendicular"), 180.0, -45.0),
    # The sign of a ring's torsion says which way it is puckered.
    "ring": Division(("+", "-")),
    "amide": Division(("cis", "trans"), 360.0, -90.0),
    # Left-handed helices and C7ax have phi > 0.
    "phi": Division(("+", "-")),
    # Helices against sheets and turns: cut at the barriers, near -130 and 50 degrees.
    "psi": Division(("alpha", "beta"), 360.0, -130.0),
}


def rotamer_labels(x: Tensor, rotamer: Rotamer) -> np.ndarray:
    """State of the torsion in each conformation x (n, n_atoms, 3), int8 (n,).

    It is the index into ``DIVISIONS[rotamer.division].states``. A twofold torsion is the mean of those to
    each equivalent end, modulo 180 degrees: half the argument of sum exp(2 i tau). Exchanging their labels
    changes nothing. A conformation that is not a number (a draw without weight) is put into the first state.
    """
    tau = torch.stack([dihedrals(x.double(), atoms) for atoms in rotamer.torsions])
    if rotamer.division == "twofold":
        tau = (
            torch.atan2(torch.sin(2 * tau).sum(0, keepdim=True), torch.cos(2 * tau).sum(0, keepdim=True)) / 2
        )
    return state_labels(tau[0].numpy(force=True), DIVISIONS[rotamer.division])


def state_labels(angle: np.ndarray, division: Division) -> np.ndarray:
    """Index of the arc in which each angle [radians] lies, int8 of the same shape; NaN is put into arc 0."""
    turns = np.mod((np.degrees(np.nan_to_num(angle)) - division.start) / division.period, 1.0)
    return np.minimum(np.floor(turns * len(division.states)), len(division.states) - 1).astype(np.int8)
