"""Samples of the target from elsewhere (MD, another generator) as training data."""

import logging
import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from boltzgen import units
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import Energy
from boltzgen.flow.distribution import Distribution
from boltzgen.molecule.system import System
from boltzgen.samples.trajectory import iter_frames
from boltzgen.storage import read_tensors, write_tensors
from boltzgen.training.fit import using
from boltzgen.training.ranks import ALONE, Ranks
from boltzgen.weights import effective_sample_size

logger = logging.getLogger(__name__)

DATA = "data.safetensors"
#: Fewest frames that a density is fitted to.
MINIMUM = 100
#: One frame in ten is held out, in contiguous blocks: neighbours in time are alike, so that single frames
#: would be seen from both sides.
_BLOCKS, _HELD_EVERY = 100, 10
#: A bond of a constrained simulation varies less than this share of its thermal width, rounding of the file
#: included.
_RIGID = 0.3
_WEIGHTLESS = "zero weight"
#: Frames whose densities are computed together.
_CHUNK = 8192

#: Batches y (batch, n_dims), u_y (batch,) in kT (NaN where energies are not known) and weights (batch,).
Batches = Iterator[tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class Data:
    """Frames in flow coordinates that stand for the target; all (n,) but y (n, n_dims).

    Attributes:
        y: flow coordinates, float32.
        log_det: log|det dx/dy|, float64.
        weight: what each frame counts, float64, of mean 1.
        potential: U in kJ/mol, float64, where training is to use energies, else None.
        source: file that they come from.
        n_read: frames in it.
        dropped: frames left out, by reason.
    """

    y: Tensor
    log_det: Tensor
    weight: Tensor
    potential: Tensor | None = None
    source: str = ""
    n_read: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: Tensor) -> "Data":
        """The frames of a boolean mask or an index tensor."""
        potential = None if self.potential is None else self.potential[index]
        return replace(
            self, y=self.y[index], log_det=self.log_det[index], weight=self.weight[index], potential=potential
        )

    def reduced(self, temperature: float) -> Tensor:
        """u_y (n,) in kT at a temperature [K]; needs the potential."""
        assert self.potential is not None
        return self.potential / units.kt(temperature) - self.log_det

    def split(self) -> "tuple[Data, Data]":
        """(training, held out): each tenth of a hundred consecutive blocks of frames is held out."""
        held = (
            torch.arange(len(self), device=self.y.device) * _BLOCKS // len(self) % _HELD_EVERY
            == _HELD_EVERY - 1
        )
        return self[~held], self[held]

    def batches(
        self,
        n_batches: int,
        batch: int,
        stream: torch.Generator,
        temperature: float,
        *,
        part: slice = slice(None),
    ) -> Batches:
        """Shuffled batches, each frame as often as any other; energies are those at a temperature in K.

        Of each batch only a `part` is given, that of one of several ranks whose streams are the same.
        """
        n = len(self)
        n_copies = math.ceil(n_batches * batch / n)
        shuffled = [torch.randperm(n, generator=stream, device=stream.device) for _ in range(n_copies)]
        index = torch.cat(shuffled)[: n_batches * batch]
        y, weight = self.y[index], self.weight[index]
        u = torch.full_like(weight, math.nan) if self.potential is None else self.reduced(temperature)[index]
        parts = (t.unflatten(0, (n_batches, batch))[:, part].to(y.dtype) for t in (y, u, weight))
        return zip(*parts, strict=True)

    def summary(self) -> dict[str, Any]:
        """What was read, used and dropped, for a run's summary."""
        return {
            "data": self.source,
            "n_frames": self.n_read,
            "n_frames_used": len(self),
            "effective_frames": effective_sample_size(self.weight.log()),
            "frames_dropped": self.dropped,
        }

    def to(self, device: str) -> "Data":
        """The same frames on a device."""
        potential = None if self.potential is None else self.potential.to(device)
        return replace(
            self,
            y=self.y.to(device),
            log_det=self.log_det.to(device),
            weight=self.weight.to(device),
            potential=potential,
        )

    def save(self, folder: Path) -> None:
        """Write `data.safetensors` at once or not at all: what a resumed run goes on with."""
        tensors = {"y": self.y, "log_det": self.log_det, "weight": self.weight}
        if self.potential is not None:
            tensors["potential"] = self.potential
        metadata = {"source": self.source, "n_read": self.n_read, "dropped": self.dropped}
        write_tensors(folder / DATA, metadata, tensors)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises ValueError if the file is broken."""
        metadata, tensors = read_tensors(folder / DATA)
        try:
            y, log_det, weight = (tensors[name] for name in ("y", "log_det", "weight"))
            data = cls(y, log_det, weight, tensors.get("potential"), **metadata)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{folder / DATA} holds no data of a run ({error}); copy it again") from error
        others = (t for t in (log_det, weight, data.potential) if t is not None)
        if y.dim() != 2 or len(y) < MINIMUM or any(t.shape != y.shape[:1] for t in others):
            raise ValueError(
                f"{folder / DATA} holds no data of a run: expected {MINIMUM} frames or more, and numbers of "
                f"each, got shapes {[tuple(t.shape) for t in tensors.values()]}; copy it again"
            )
        return data


@torch.no_grad()
def held_out_nll(
    flow: Distribution, state: dict[str, Tensor], frames: Data, *, ranks: Ranks = ALONE
) -> float:
    """-log q(x) of frames, their weighted mean, under a flow with the parameters of a state.

    Each of several ranks computes the densities of a part of the frames.
    """
    with using(flow, state):
        own = frames.y[ranks.part(len(frames))].split(_CHUNK)
        log_q = ranks.gather(torch.cat([flow.log_prob(y) for y in own]))
    return float(((frames.log_det - log_q.double()) * frames.weight).sum() / frames.weight.sum())


@torch.no_grad()
def read_data(
    path: str | os.PathLike[str],
    system: System,
    coordinates: MolecularCoordinates,
    *,
    topology: str | os.PathLike[str] | None = None,
    energy: Energy | None = None,
) -> Data:
    """Read a trajectory sampled from the Boltzmann distribution of `system` at its temperature.

    For formats and checks see `iter_frames`. Equivalent atoms are first given the domain's labels; frames
    outside the domain are then dropped and counted by reason. Memory: 4 bytes for each flow coordinate of a
    frame.

    Args:
        path: trajectory or samples file.
        system: the molecule.
        coordinates: its flow coordinates.
        topology: of the trajectory, where its format holds none.
        energy: evaluated once for each frame that is kept, for training on data and energies together.

    Raises:
        FileNotFoundError, ValueError: as `iter_frames`; or fewer than 100 frames are left; or bonds do not
            vary, as under constraints.
    """
    parts: list[tuple[Tensor, ...]] = []
    dropped: Counter[str] = Counter()
    n_read = 0
    for x, log_w in iter_frames(path, system, topology=topology):
        n_read += len(x)
        x = coordinates.canonical(x.double())
        y, log_det = coordinates.inverse(x)
        kept = _inside(coordinates, x, y, log_w, dropped)
        # `inverse` gives log|det dy/dx|.
        columns = [y[kept].float(), -log_det[kept], log_w[kept]]
        if energy is not None:
            columns.append(energy.potential(x[kept]))
        parts.append(tuple(columns))
    y, log_det, log_w, *potential = (torch.cat(p) for p in zip(*parts, strict=True))
    _check_rest(Path(path), len(y), n_read, dropped)
    _check_flexible(coordinates, y)
    weight = torch.softmax(log_w, 0) * len(y)
    for reason, count in dropped.items():
        logger.info("%s: dropped %d of %d frames: %s", path, count, n_read, reason)
    return Data(y, log_det, weight, potential[0] if potential else None, str(path), n_read, dict(dropped))


def _inside(
    coordinates: MolecularCoordinates, x: Tensor, y: Tensor, log_w: Tensor, dropped: Counter[str]
) -> Tensor:
    """Whether each frame has weight and lies in the domain, bool (n,).

    Others are counted in `dropped` under the first reason that applies.
    """
    kept = torch.ones(len(y), dtype=torch.bool)
    # Some trajectory formats round positions to 1e-3 nm.
    rigid = coordinates.on_constraints(x, tolerance=2e-3)
    for reason, met in {
        _WEIGHTLESS: log_w > -torch.inf,
        **coordinates.domain_conditions(y),
        "constrained bonds of other lengths": rigid,
    }.items():
        if lost := int((kept & ~met).sum()):
            dropped[reason] += lost
        kept &= met
    return kept


def _check_rest(path: Path, n_left: int, n_read: int, dropped: Counter[str]) -> None:
    if n_left >= MINIMUM:
        return
    if dropped["other enantiomer"] == n_read:
        raise ValueError(
            f"all {n_read} frames of {path} are the other enantiomer; mirror the frames or build the system "
            "from the same molecule"
        )
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common()) or "none"
    raise ValueError(
        f"{path} leaves {n_left} of {n_read} frames to train on, expected at least {MINIMUM}; dropped as "
        f"outside the domain: {reasons}"
    )


def _check_flexible(coordinates: MolecularCoordinates, y: Tensor) -> None:
    """Raise if a bond has no width: no density on all coordinates fits a simulation with constraints."""
    bonds = [i for i, k in enumerate(coordinates.stiff_index) if k < coordinates.n_atoms - 1]
    rigid = int((y[:, coordinates.n_periodic :][:, bonds].std(0) < _RIGID).sum())
    if rigid:
        raise ValueError(
            f"{rigid} of {len(bonds)} bonds hardly vary in these frames: they come from a simulation with "
            "constraints that the system lacks; run it with constraints=None (and a time step of 1 fs)"
        )
