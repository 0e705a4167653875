"""What an analysis keeps of conformations that are read in chunks: numbers, and no positions."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from boltzgen.analysis.html.chosen import Chooser
from boltzgen.analysis.source import Source
from boltzgen.molecule.graph import backbone_pairs
from boltzgen.molecule.torsional import counted_states
from boltzgen.samples.quantity import Quantity, check_finite
from boltzgen.samples.sizes import sizes_of
from boltzgen.weights import normalized_weights


@dataclass(frozen=True, eq=False)
class Values:
    """What is kept of n samples.

    Attributes:
        log_w: log-weights, float64 (n,).
        torsions: float32 (n,) in radians, by name.
        states: of basins, residues and rotamers, integers (n,), by their names in `torsional.counted_states`.
        sizes: float32 (n,) in nm, by name.
        along: of the quantities that are asked for, float64 (n,) in their units, by their texts.
    """

    log_w: torch.Tensor
    torsions: dict[str, np.ndarray]
    states: dict[str, np.ndarray]
    sizes: dict[str, np.ndarray]
    along: dict[str, np.ndarray]

    @cached_property
    def weights(self) -> np.ndarray:
        """That sum to one, float64 (n,)."""
        return normalized_weights(self.log_w).numpy()


def read_values(
    source: Source,
    pairs: Sequence[tuple[str, str]],
    quantities: Sequence[Quantity],
    chooser: Chooser | None = None,
) -> Values:
    """Read all conformations, chunk by chunk.

    Args:
        source: of the conformations.
        pairs: of torsions that are wanted; of a molecule without backbone pairs, all torsions are.
        quantities: that are wanted.
        chooser: is shown every chunk.

    Raises:
        ValueError: a quantity is not a number in a conformation with weight; or as `source.chunks`.
    """
    molecule = source.molecule
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    if not backbone_pairs(molecule.torsions):
        names = list(molecule.torsions)
    counted, measures = counted_states(molecule), sizes_of(molecule)
    n, start = source.n, 0
    log_w = torch.empty(n, dtype=torch.float64)
    torsions: dict[str, np.ndarray] = {}
    states: dict[str, np.ndarray] = {}
    sizes: dict[str, np.ndarray] = {}
    along: dict[str, np.ndarray] = {}
    for chunk in source.chunks():
        log_w[start : start + len(chunk)] = chunk.log_w
        angles = {name: chunk.torsion(name).numpy() for name in names}
        labels = {name: found.labels(chunk.x) for name, found in counted.items()}
        _put(torsions, angles, start, n)
        _put(states, labels, start, n)
        _put(sizes, {name: measure(chunk).numpy() for name, measure in measures.items()}, start, n)
        _put(along, {one.text: one(chunk).numpy() for one in quantities}, start, n)
        if chooser is not None:
            chooser.add(chunk.x, chunk.log_w, labels, [(angles[a], angles[b]) for a, b in pairs])
        start += len(chunk)
    for text, values in along.items():
        check_finite(torch.from_numpy(values), log_w, text)
    return Values(log_w, torsions, states, sizes, along)


def _put(columns: dict[str, np.ndarray], part: dict[str, np.ndarray], start: int, n: int) -> None:
    """Put values of consecutive samples into their places in arrays of n, made when they are first needed."""
    for name, values in part.items():
        if name not in columns:
            columns[name] = np.empty(n, values.dtype)
        columns[name][start : start + len(values)] = values
