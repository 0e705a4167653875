"""Draws with their weights as files hold them: the part of `WeightedSamples` that estimates nothing."""

import operator
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, SupportsIndex

import mdtraj
import numpy as np
import torch
from torch import Tensor

from boltzgen.molecule.torsional import Torsional
from boltzgen.weights import log_weights


class Molecule(Torsional, Protocol):
    """What samples need to know of their molecule: a `System`, or the header of a samples file."""

    @property
    def mdtraj_topology(self) -> mdtraj.Topology | None:
        """Atoms and bonds, if they are known."""


def known_topology(molecule: Molecule) -> mdtraj.Topology:
    """Atoms and bonds; raises ValueError if they are not known."""
    if molecule.mdtraj_topology is None:
        raise ValueError("this file has no topology; draw the samples again, or give `system`")
    return molecule.mdtraj_topology


@dataclass(frozen=True, eq=False)
class Draws:
    """Conformations drawn from q with their importance weights to the target.

    Attributes:
        x: positions, float32 (n, n_atoms, 3) in nm.
        u: reduced energies of the target, float64 (n,) in kT; non-finite outside the domain.
        log_q: log-density of each draw, float64 (n,).
        log_w: ``-u - log_q``, float64 (n,); -inf where u is not finite. `from_energies` computes it.
        system: the molecule, for torsions, basins and the topology; optional.
        temperature: of the target in K; None where it is not known.

    Raises:
        ValueError: shapes do not agree.
    """

    x: Tensor
    u: Tensor
    log_q: Tensor
    log_w: Tensor
    system: Molecule | None = None
    temperature: float | None = None

    def __post_init__(self) -> None:
        if self.x.dim() != 3 or self.x.shape[-1] != 3:
            raise ValueError(
                f"expected positions x of shape (n, n_atoms, 3) in nm, got {tuple(self.x.shape)}"
            )
        object.__setattr__(self, "x", self.x.detach().to(torch.float32))
        for name in ("u", "log_q", "log_w"):
            value = getattr(self, name)
            if value.shape != (len(self.x),):
                raise ValueError(
                    f"expected {name} of shape ({len(self.x)},), one value for each conformation, got "
                    f"{tuple(value.shape)}"
                )
            object.__setattr__(self, name, value.detach().to(torch.float64))

    @classmethod
    def from_energies(
        cls,
        x: Tensor,
        u: Tensor,
        log_q: Tensor,
        system: Molecule | None = None,
        *,
        temperature: float | None = None,
    ) -> Self:
        """Samples with ``log_w = -u - log_q``; see `log_weights`."""
        return cls(x, u, log_q, log_weights(u, log_q), system, temperature)

    @classmethod
    def concatenate(cls, parts: Iterable[Self]) -> Self:
        """One object from several, in order; the first one's `system`.

        Raises:
            ValueError: there are none, or they have weights to targets at different temperatures.
        """
        found = list(parts)
        if not found:
            raise ValueError("expected at least one WeightedSamples to concatenate, got none")
        temperatures = {part.temperature for part in found}
        known = {t for t in temperatures if t is not None}
        if len(known) > 1:
            raise ValueError(
                f"expected samples of one temperature, got {' and '.join(f'{t:g} K' for t in sorted(known))}"
            )
        x, u, log_q, log_w = (
            torch.cat([getattr(p, name) for p in found]) for name in ("x", "u", "log_q", "log_w")
        )
        return cls(
            x, u, log_q, log_w, found[0].system, temperatures.pop() if len(temperatures) == 1 else None
        )

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: SupportsIndex | slice | Tensor | np.ndarray) -> Self:
        """The conformations of a slice, a boolean mask or an array of indices; of a number that one alone.

        Raises:
            IndexError: there is no such conformation.
            TypeError: the index is none of these.
        """
        if isinstance(index, np.ndarray):
            index = torch.from_numpy(index)
        if not isinstance(index, slice) and not (isinstance(index, Tensor) and index.dim() > 0):
            index = self._place(index)
        parts = {name: getattr(self, name)[index] for name in ("x", "u", "log_q", "log_w")}
        return replace(self, **parts)

    def _place(self, index: Any) -> slice:
        """The slice of one conformation; a negative number counts from the end."""
        try:
            if isinstance(index, bool):
                raise TypeError
            k = operator.index(index)
        except TypeError:
            raise TypeError(
                f"expected a number, a slice, a boolean mask or an array of indices, got "
                f"{type(index).__name__}"
            ) from None
        if not -len(self) <= k < len(self):
            raise IndexError(f"no conformation {k} of {len(self)}; they are counted from 0")
        return slice(k % len(self), k % len(self) + 1)
