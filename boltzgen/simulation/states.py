"""Which states of its residues and torsions a simulation visits, and when."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from boltzgen.molecule.system import System

_CHUNK = 65536


@dataclass(frozen=True, eq=False)
class Labels:
    """States of a torsion or a residue, or the basins.

    Attributes:
        names: of the states.
        frames: state of each frame, int8 (n_frames, n_walkers, n_temperatures): an index into `names`, -1 for
            none of them.
        starts: state in which each walker began, int8 (n_walkers,).
    """

    names: tuple[str, ...]
    frames: np.ndarray
    starts: np.ndarray


def label(x: Tensor, starts: Tensor, system: System) -> dict[str, Labels]:
    """States of everything in `System.states`, by its name.

    Args:
        x: positions of the frames, (n_frames, n_walkers, n_temperatures, n_atoms, 3) in nm.
        starts: where walkers began, (n_walkers, n_atoms, 3) in nm.
        system: the molecule.
    """
    flat = torch.cat([x.reshape(-1, *x.shape[-2:]), starts.to(x.dtype)]).split(_CHUNK)
    n, found = len(starts), {}
    for name, states in system.states.items():
        labels = np.concatenate([states.labels(part) for part in flat]).astype(np.int8)
        found[name] = Labels(states.names, labels[:-n].reshape(x.shape[:-2]), labels[-n:])
    return found


@dataclass(frozen=True, eq=False)
class Series:
    """The weight that each walker has in each state, frame by frame, at one temperature.

    Attributes:
        names: what the state is of (a name in `System.states`), and the state.
        inside: weight in each state, float64 (n_frames, n_walkers, n_states).
        weight: whole weight, (n_frames, n_walkers).
        starts: whether each walker began in the state, bool (n_walkers, n_states).
    """

    names: tuple[tuple[str, str], ...]
    inside: np.ndarray
    weight: np.ndarray
    starts: np.ndarray

    @classmethod
    def build(cls, labels: Mapping[str, Labels], log_w: np.ndarray) -> "Series":
        """Of labels, and the log-weights of all frames, (n_frames, n_walkers, n_temperatures).

        States that no frame with weight is in are left out.
        """
        w = np.exp(log_w - log_w.max())
        names: list[tuple[str, str]] = []
        inside, starts = [np.empty((*w.shape[:2], 0))], [np.empty((w.shape[1], 0), dtype=bool)]
        for torsion, held in labels.items():
            for k, state in enumerate(held.names):
                share = (w * (held.frames == k)).sum(-1)
                if share.any():
                    names.append((torsion, state))
                    inside.append(share[..., None])
                    starts.append((held.starts == k)[:, None])
        return cls(tuple(names), np.concatenate(inside, -1), w.sum(-1), np.concatenate(starts, -1))

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def n_walkers(self) -> int:
        """Independent walkers."""
        return int(self.weight.shape[1])

    @property
    def share(self) -> np.ndarray:
        """Share of each state, (n_states,)."""
        return np.asarray(self.inside.sum((0, 1)) / self.weight.sum())

    @property
    def residual(self) -> np.ndarray:
        """What the weight in each state exceeds its share by, in units of the mean weight: like `inside`."""
        return np.asarray((self.inside - self.share * self.weight[..., None]) / self.weight.mean())

    def blocks(self, n: int) -> np.ndarray:
        """Shares in n blocks of frames, one after the other, (n, n_states)."""
        parts = np.array_split(np.arange(len(self)), n)
        return np.stack([self.inside[p].sum((0, 1)) / self.weight[p].sum() for p in parts])

    def after(self, n: int) -> "Series":
        """The same without the first n frames."""
        return replace(self, inside=self.inside[n:], weight=self.weight[n:])
