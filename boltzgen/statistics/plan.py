"""What statistics hold of each draw: which cells it is counted in, and which numbers are averaged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from boltzgen.free_energy.histograms import Axis, angle_bins
from boltzgen.free_energy.weight_summary import N_BLOCKS
from boltzgen.molecule.graph import backbone_pairs
from boltzgen.molecule.measures import DEGREES, NM
from boltzgen.molecule.torsional import Pair, checked_pairs, counted_states
from boltzgen.samples.draws import Draws
from boltzgen.samples.header import SamplesHeader
from boltzgen.samples.quantity import Quantity, check_finite, quantity
from boltzgen.samples.sizes import sizes_of
from boltzgen.samples.weighted_samples import WeightedSamples

#: Cells of a torsion, and along either axis of a pair of torsions: 1 degree wide.
TORSION_CELLS = 360
#: Widths of the cells of lengths [nm] and of angles [degrees]; and how long a molecule is at most for each
#: atom [nm]. What lies beyond is in one open cell.
_NM_STEP, _DEGREE_STEP, _LONGEST_STEP = 0.0005, 0.25, 0.16
#: What the cells by tenths of the draws are called.
TENTHS = "tenths of the draws"
#: Larger values have no squares.
_LARGEST = 1e150


@dataclass(frozen=True)
class Measured:
    """Some draws with weight, as they are counted.

    Attributes:
        cells: in which each draw is counted, h for each, int64 (h, m).
        pairs: likewise in surfaces, int64 (n_pairs, m).
        states: index of each draw's state in each group, from 0 for none, int64 (n_groups, m).
        values: of each quantity, float64 (n_quantities, m).
    """

    cells: np.ndarray
    pairs: np.ndarray
    states: np.ndarray
    values: np.ndarray


class Plan:
    """What is measured of a molecule's draws.

    All its torsions, the surfaces of its backbone pairs, everything that is counted, its sizes; and what is
    asked for.

    Args:
        molecule: of the draws.
        n: draws in all, whose tenths are told apart.
        pairs: of torsions, whose surfaces are wanted besides.
        along: texts of quantities that are wanted besides, see `samples.quantity`.

    Attributes:
        pairs: of torsions that have surfaces.
        quantities: that are averaged, by their texts; sizes have none but their names.
        axes: of those that have cells too.
        groups: names of the states of everything that is counted, by its name.
        places: of everything among the cells, by its name.
        n_cells: in all.

    Raises:
        ValueError: a pair or a quantity that the molecule has not.
    """

    def __init__(
        self, molecule: SamplesHeader, n: int, *, pairs: Sequence[Pair] = (), along: Sequence[str] = ()
    ) -> None:
        self.molecule, self.tenth = replace(molecule, ranges=()), max(1, n // N_BLOCKS)
        wanted = checked_pairs(pairs, molecule) if pairs else []
        self.pairs = list(dict.fromkeys([*backbone_pairs(molecule.torsions), *wanted]))
        self.along: dict[str, Quantity] = {
            one.text: one for one in (quantity(text, molecule) for text in along)
        }
        self._sizes, self._counted = sizes_of(molecule), counted_states(molecule)
        self.groups = {name: states.names for name, states in self._counted.items()}
        self.quantities = [*self._sizes, *(text for text in self.along if text not in self._sizes)]
        self.axes = self._axes()
        sizes = {("", TENTHS): N_BLOCKS + 1}
        sizes |= {("state", name): len(names) + 1 for name, names in self.groups.items()}
        sizes |= {("torsion", name): TORSION_CELLS for name in molecule.torsions}
        sizes |= {("quantity", name): axis.n_bins for name, axis in self.axes.items()}
        ends = np.cumsum([0, *sizes.values()]).tolist()
        self.places: Mapping[tuple[str, str], slice] = {
            name: slice(start, stop) for name, start, stop in zip(sizes, ends[:-1], ends[1:], strict=True)
        }
        self.n_cells: int = ends[-1]

    def measure(self, draws: Draws, index: np.ndarray) -> Measured:
        """Where draws, all of which have weight, are counted; `index` (m,) says which of the seed's they are.

        Raises:
            ValueError: a quantity is not a number in one of them.
        """
        samples = WeightedSamples(draws.x, draws.u, draws.log_q, draws.log_w, self.molecule)
        states = np.array([one.labels(samples.x) for one in self._counted.values()], dtype=np.int64) + 1
        states = states.reshape(len(self.groups), len(samples))
        angles = {name: samples.torsion(name).numpy() for name in self.molecule.torsions}
        torsions = {name: angle_bins(angle, TORSION_CELLS) for name, angle in angles.items()}
        values = {name: size(samples).double().numpy() for name, size in self._sizes.items()}
        for text, one in self.along.items():
            column = one(samples)
            check_finite(column, samples.log_w, text)
            if bool((column.abs() > _LARGEST).any()):
                raise ValueError(
                    f"{text!r} is above {_LARGEST:g} in a conformation, too large to be averaged"
                )
            values.setdefault(text, column.numpy())
        rows = [np.minimum(index // self.tenth, N_BLOCKS), *states, *torsions.values()]
        for name, axis in self.axes.items():
            rows.append(axis.bins(np.radians(values[name]) if axis.is_periodic else values[name]))
        starts = np.array([place.start for place in self.places.values()])
        pairs = [torsions[a] * TORSION_CELLS + torsions[b] for a, b in self.pairs]
        return Measured(
            np.stack(rows) + starts[:, None],
            np.array(pairs, dtype=np.int64).reshape(len(pairs), len(samples)),
            states,
            np.stack([values[name] for name in self.quantities]),
        )

    def unit(self, name: str) -> str:
        """Of a quantity."""
        return NM if name in self._sizes else self.along[name].unit

    def _axes(self) -> dict[str, Axis]:
        """Cells of sizes, lengths, angles and torsions; other expressions, of any range, have none."""
        found: dict[str, Axis] = {}
        for name in self.quantities:
            if name not in self._sizes and self.along[name].is_torsion:
                found[name] = Axis.periodic(name, TORSION_CELLS)
            elif (unit := self.unit(name)) == NM:
                n_steps = round(_LONGEST_STEP / _NM_STEP) * self.molecule.n_atoms
                found[name] = Axis(name, NM, 0.0, _NM_STEP * n_steps, n_steps + 2, is_periodic=False)
            elif unit == DEGREES:
                low, n_steps = -180.0, round(360.0 / _DEGREE_STEP)
                found[name] = Axis(name, DEGREES, low, low + 360.0, n_steps + 2, is_periodic=False)
        return found


def with_weight(draws: Draws) -> torch.Tensor:
    """Which draws have any, bool (n,)."""
    return draws.log_w > -torch.inf
