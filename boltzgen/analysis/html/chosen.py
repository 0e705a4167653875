"""Which conformations are shown, chosen in one pass over chunks: by weight, and some from every state.

A random number is added to each log-weight, its key, distributed so that the k largest keys are a draw of k
conformations without replacement in proportion to their weights (Efraimidis and Spirakis, Inf. Process.
Lett. 97, 181, 2006). The same keys serve within each state and within each part of a surface.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

#: Conformations that are shown at most, and coordinates of all of them together.
MOST, _MOST_ATOMS, _LEAST = 300, 40_000, 60
#: From each state at most, before the others are chosen by weight.
_PER_STATE = 12
#: Parts of a surface along either axis, of which each shows a conformation if there is room.
_PARTS = 18


@dataclass(frozen=True)
class Chosen:
    """Conformations that are shown.

    Attributes:
        index: of each among all that were read, int64 (m,).
        x: positions float32 (m, n_atoms, 3) in nm.
    """

    index: np.ndarray
    x: np.ndarray

    def __len__(self) -> int:
        return len(self.index)


class Chooser:
    """Keeps those that may be shown while chunks go by: a few hundred, however many there are.

    Args:
        n_atoms: of the molecule; of large ones fewer conformations are shown.
        seed: of the random numbers.
    """

    def __init__(self, n_atoms: int, seed: int = 0) -> None:
        self.most = min(MOST, max(_LEAST, _MOST_ATOMS // n_atoms))
        self._rng = np.random.default_rng(seed)
        self._n = 0
        self._index = np.empty(0, np.int64)
        self._key = np.empty(0)
        self._x = np.empty((0, n_atoms, 3), np.float32)
        self._labels: np.ndarray | None = None
        self._n_states = 0

    @property
    def n_held(self) -> int:
        """How many conformations are kept at present."""
        return len(self._index)

    def add(
        self,
        x: torch.Tensor,
        log_w: torch.Tensor,
        states: Mapping[str, np.ndarray],
        pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    ) -> None:
        """Take more conformations into account; every chunk has the same states and pairs.

        Args:
            x: positions (n, n_atoms, 3) in nm.
            log_w: log-weights (n,).
            states: of each conformation, integers (n,) by name, -1 for none.
            pairs: two torsions each, (n,) in radians.
        """
        uniform = self._rng.random(len(x))
        # Gumbel's distribution; a 0 would be log(0).
        key = log_w.numpy() - np.log(-np.log(np.maximum(uniform, 1e-300)))
        columns = [np.zeros(len(x), np.int32), *states.values(), *(_part(*pair) for pair in pairs)]
        quotas = [self.most, *(_PER_STATE for _ in states), *(1 for _ in pairs)]
        self._n_states = len(states)
        usable = np.isfinite(key)
        labels = np.stack(columns, axis=1).astype(np.int32)[usable]
        before = labels[:0] if self._labels is None else self._labels
        index = np.concatenate((self._index, self._n + np.flatnonzero(usable)))
        self._n += len(x)
        key, labels = np.concatenate((self._key, key[usable])), np.concatenate((before, labels))
        order = np.argsort(-key, kind="stable")
        kept = np.zeros(len(key), bool)
        for quota, column in zip(quotas, labels[order].T, strict=True):
            kept[order[(_ranks(column) < quota) & (column >= 0)]] = True
        n_before = len(self._index)
        new = x.numpy(force=True)[usable][kept[n_before:]]
        self._x = np.concatenate((self._x[kept[:n_before]], new))
        self._index, self._key, self._labels = index[kept], key[kept], labels[kept]

    def chosen(self) -> Chosen:
        """Those that are shown.

        Up to half of them come from the states in turn, a quarter from parts of the surfaces, and the rest
        are chosen by weight alone.
        """
        if self._labels is None:
            return Chosen(self._index, self._x)
        order = np.argsort(-self._key, kind="stable")
        labels = self._labels[order]
        ranks = np.stack([_ranks(column) for column in labels.T], axis=1)
        ranks[labels < 0] = len(order)
        taken: dict[int, None] = {}
        states, parts = np.split(ranks[:, 1:], [self._n_states], axis=1)
        for found, within, most in (
            (states, _PER_STATE, self.most // 2),
            (parts, 1, 3 * self.most // 4),
        ):
            best = found.min(axis=1, initial=len(order))
            # Every state's first before any state's second; of the same rank, by key.
            for k in np.argsort(best, kind="stable"):
                if len(taken) >= most or best[k] >= within:
                    break
                taken[int(k)] = None
        for k in range(len(order)):
            if len(taken) >= self.most:
                break
            taken[k] = None
        places = order[list(taken)]
        places = places[np.argsort(self._index[places])]
        return Chosen(self._index[places], self._x[places])


def _part(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The part of a surface that two torsions (n,) in radians lie in, integers (n,)."""
    i, j = (
        np.mod(np.floor((np.nan_to_num(angle) / (2 * np.pi) + 0.5) * _PARTS), _PARTS).astype(np.int32)
        for angle in (first, second)
    )
    return i * _PARTS + j


def _ranks(labels: np.ndarray) -> np.ndarray:
    """Of each label (n,) how many equal ones stand before it."""
    by_label = np.argsort(labels, kind="stable")
    ordered = labels[by_label]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(labels) else np.empty(0, int)
    first = np.repeat(starts, np.diff(np.r_[starts, len(labels)]))
    ranks = np.empty(len(labels), int)
    ranks[by_label] = np.arange(len(labels)) - first
    return ranks
