"""States of a molecule found from its weighted draws: the wells of its torsions, and what joins them.

Torsions are taken in groups: each backbone pair (phi, psi), and every other torsion alone. Each group's wells
are found on its own torus, see `wells.find_wells`, and a state is one well of each group: ``"PPII/g+"``. So
the number of torsions is not limited by the density of draws in all of them together.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from boltzgen.free_energy.wells import Wells, find_wells
from boltzgen.molecule.basins import OTHER, assign_basins, basins_over
from boltzgen.molecule.graph import backbone_pairs
from boltzgen.molecule.states import DIVISIONS, Rotamer, state_labels
from boltzgen.molecule.torsional import Torsional


@dataclass(frozen=True, eq=False)
class Group:
    """Torsions whose wells are found together.

    Attributes:
        torsions: by name.
        wells: on their torus.
        names: of the wells.
    """

    torsions: dict[str, Rotamer]
    wells: Wells
    names: tuple[str, ...]

    @property
    def label(self) -> str:
        """Names of its torsions: ``"phi, psi"``."""
        return ", ".join(self.torsions)

    def labels(self, angles: Mapping[str, np.ndarray]) -> np.ndarray:
        """Well of each draw, int16 (n,); angles (n,) by torsion, as `Rotamer.angle` has them."""
        return self.wells.labels(_turned(angles, self.torsions))


@dataclass(frozen=True, eq=False)
class FoundStates:
    """States that were found, the most populated first.

    Attributes:
        groups: whose wells they join.
        joined: of each state the wells of the groups, which index `Group.names`.
        names: of the states; the last is `OTHER` where some draws are in none of them.
    """

    groups: tuple[Group, ...]
    joined: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]

    @property
    def torsions(self) -> dict[str, Rotamer]:
        """All that decide the state."""
        return {name: rotamer for group in self.groups for name, rotamer in group.torsions.items()}

    def labels(self, x: Tensor) -> np.ndarray:
        """State of each conformation x (n, n_atoms, 3), int16 (n,): an index into `names`, -1 for none."""
        return self.labels_of({name: torsion.angle(x) for name, torsion in self.torsions.items()})

    def labels_of(self, angles: Mapping[str, np.ndarray]) -> np.ndarray:
        """The same of angles (n,) in radians, by torsion."""
        wells = np.stack([group.labels(angles) for group in self.groups], axis=1)
        labels = np.full(len(wells), len(self.joined) if self.names[-1] == OTHER else -1, dtype=np.int16)
        for k, state in enumerate(self.joined):
            labels[(wells == state).all(axis=1)] = k
        return labels


def torsion_groups(molecule: Torsional, torsions: Sequence[str] = ()) -> list[dict[str, Rotamer]]:
    """Backbone pairs, then every other torsion that has states, each alone.

    Args:
        molecule: whose torsions they are.
        torsions: only these, by name; by default all.

    Raises:
        ValueError: no such torsion, or none at all.
    """
    known = {name: Rotamer("sides", (atoms,)) for name, atoms in molecule.torsions.items()}
    known |= molecule.rotamers
    for name in torsions:
        if name not in known:
            raise ValueError(
                f"no torsion called {name!r} in this molecule; it has: {', '.join(known) or 'none'}"
            )
    pairs = backbone_pairs(molecule.torsions)
    chosen = list(torsions) or [*(name for pair in pairs for name in pair), *molecule.rotamers]
    if not chosen:
        raise ValueError("this molecule has no torsion to find states of")
    joined = [pair for pair in pairs if set(pair) <= set(chosen)]
    taken = {name for pair in joined for name in pair}
    groups = [*joined, *((name,) for name in dict.fromkeys(chosen) if name not in taken)]
    return [{name: known[name] for name in group} for group in groups]


def find_states(
    molecule: Torsional,
    angles: Mapping[str, np.ndarray],
    log_w: np.ndarray,
    *,
    torsions: Sequence[str] = (),
    barrier: float = 1.0,
    min_effective: float = 10.0,
    most: int = 20,
) -> FoundStates:
    """States of a molecule from its draws.

    Args:
        molecule: whose torsions they are, and whose basins, regions and rotamers name the wells.
        angles: (n,) in radians by torsion, as `Rotamer.angle` of `torsion_groups` has them.
        log_w: log-weights (n,).
        torsions: that decide; by default all that have states.
        barrier: in kT, that parts two wells of a group.
        min_effective: effective draws that a well, and a state, has at least.
        most: states to be kept.

    Raises:
        ValueError: no such torsion, or no weight, or as `wells.find_wells`.
    """
    if most < 1:
        raise ValueError(f"expected `most` states of at least 1, got {most}")
    if not np.isfinite(log_w).any():
        raise ValueError("all weights are zero: no draw lies where the target's energy is finite")
    weights = np.exp(log_w - log_w.max())
    groups = []
    for group in torsion_groups(molecule, torsions):
        wells = find_wells(_turned(angles, group), weights, barrier=barrier, min_effective=min_effective)
        groups.append(Group(group, wells, _well_names(group, wells.minima, molecule)))
    wells_of = np.stack([group.labels(angles) for group in groups], axis=1)
    states, own = np.unique(wells_of, axis=0, return_inverse=True)
    share, square = (np.bincount(own.ravel(), w, len(states)) for w in (weights, weights**2))
    order = [k for k in np.argsort(-share) if share[k] > 0 and share[k] ** 2 >= min_effective * square[k]]
    # Without enough draws for any, the most populated one is a state.
    kept = (order or [int(share.argmax())])[:most]
    names = ["/".join(g.names[k] for g, k in zip(groups, states[s], strict=True)) for s in kept]
    rest = [OTHER] if share[kept].sum() < share.sum() * (1 - 1e-12) else []
    return FoundStates(tuple(groups), tuple(tuple(int(k) for k in states[s]) for s in kept), (*names, *rest))


def _turned(angles: Mapping[str, np.ndarray], torsions: Mapping[str, Rotamer]) -> np.ndarray:
    """Angles (n, d) with a period of a whole turn."""
    return np.stack([angles[name] * (360.0 / torsion.period) for name, torsion in torsions.items()], axis=1)


def _well_names(torsions: Mapping[str, Rotamer], minima: np.ndarray, molecule: Torsional) -> tuple[str, ...]:
    """What the states at the minima (n, d) are called: numbered where there is no name, or one twice."""
    names = tuple(torsions)
    angles = {name: minima[:, k] * (torsions[name].period / 360.0) for k, name in enumerate(names)}
    if len(names) == 1 and names[0] in molecule.rotamers:
        (torsion,) = torsions.values()
        found = [torsion.names[k] for k in state_labels(angles[names[0]], DIVISIONS[torsion.division])]
    else:
        basins = basins_over(names, molecule.basins, molecule.regions)
        labels = assign_basins(angles, basins) if basins else np.full(len(minima), -1)
        found = [basins[k].name if k >= 0 else f"S{i + 1}" for i, k in enumerate(labels)]
    count, seen = Counter(found), Counter[str]()
    unique = []
    for name in found:
        seen[name] += 1
        unique.append(f"{name}.{seen[name]}" if count[name] > 1 else name)
    return tuple(unique)
