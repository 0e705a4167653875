"""Conformations drawn by a distribution of flow coordinates, with their weights."""

import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import Energy, check_energy_of
from boltzgen.energy.choose import energy_for
from boltzgen.flow.distribution import Distribution
from boltzgen.generator.annealed_importance import AnnealedImportance, Refinement
from boltzgen.generator.target import PullbackEnergy
from boltzgen.molecule.system import System
from boltzgen.samples.shards import BLOCK
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.seeding import random_stream
from boltzgen.weights import log_weights


class FlowSampler(nn.Module):
    """A sampler of one molecule's conformations by any distribution of its flow coordinates.

    A `BoltzmannGenerator` is one. A flow of your own, or of another package, becomes one by this class: its
    draws are weighted, and `evaluate` takes it. Draws outside the domain of `coordinates`, and those with a
    torsion outside [-pi, pi], which would be second images of others, have weight zero.

    Attributes:
        system: the molecule.
        coordinates: flow coordinates y <-> positions x.
        flow: distribution of y, of event shape (n_periodic + n_stiff,).
        temperature: T in K of the target that it was last trained for.

    Raises:
        ValueError: the distribution has another event shape than the coordinates.
    """

    def __init__(
        self,
        system: System,
        coordinates: MolecularCoordinates,
        flow: Distribution,
        *,
        temperature: float,
    ) -> None:
        super().__init__()
        n = coordinates.n_periodic + coordinates.n_stiff
        if tuple(flow.event_shape) != (n,):
            raise ValueError(
                f"expected a distribution of the {n} flow coordinates of {system.name!r}, got one of event "
                f"shape {tuple(flow.event_shape)}"
            )
        self.system, self.coordinates, self.flow = system, coordinates, flow
        self.temperature = temperature

    @property
    def device(self) -> torch.device:
        """Where the flow's parameters are."""
        return next(self.flow.parameters()).device

    def log_prob(self, x: Tensor) -> Tensor:
        """log q(x), shape (...), with respect to dx / (8 pi^2 V), of positions (..., n_atoms, 3) in nm.

        It is -inf outside the domain, and where a constrained bond has not its length to 1e-4 nm.
        """
        y, log_det, inside = self.coordinates.inverse_in_domain(x)
        # The flow computes in its own precision, the coordinates in that of x.
        safe = torch.where(inside.unsqueeze(-1), y, torch.zeros_like(y)).to(
            next(self.flow.parameters()).dtype
        )
        return torch.where(inside, self.flow.log_prob(safe).to(x.dtype) + log_det, -math.inf)

    def sample(
        self, n: int, energy: Energy | None = None, *, seed: int = 0, refine: int | Refinement = 0
    ) -> WeightedSamples:
        """n conformations with weights to the Boltzmann distribution of `energy`; see `sample_chunks`."""
        return WeightedSamples.concatenate(self.sample_chunks(n, energy, seed=seed, refine=refine))

    @torch.no_grad()
    def sample_chunks(
        self,
        n: int,
        energy: Energy | None = None,
        *,
        seed: int = 0,
        start: int = 0,
        chunk_size: int = 16384,
        refine: int | Refinement = 0,
    ) -> Iterator[WeightedSamples]:
        """Yield n weighted conformations in chunks, with memory bounded by `chunk_size`.

        Each block of 2048 draws has a random stream of its own, derived from (seed, block), and is computed
        whole: the samples are the same whatever the chunk size, and the first m of them whatever n. Energies
        of the last block are computed for all of its draws. The flow must not be trained before the last
        chunk is drawn.

        Args:
            n: number of conformations.
            energy: energy of the system at the temperature of the target, which need not be the generator's;
                None: `energy_for` this system, at `temperature`.
            seed: of the random streams.
            start: leave out so many of the n, which are known already.
            chunk_size: number of conformations in a chunk, rounded down to whole blocks.
            refine: moves of `AnnealedImportance` that each draw makes on its way to the target; its weight
                is that of its whole way, and `log_q` is set so that ``log_w = -u - log_q``. By default none.
                A `Refinement` counts besides what the draws were worth before.

        Raises:
            ValueError: n is not positive, `start` or `refine` is negative, or the energy is that of another
                system, see `check_energy_of`.
        """
        if n < 1 or start < 0:
            raise ValueError(f"expected a positive number of samples and `start` >= 0, got {n} and {start}")
        if energy is not None:
            check_energy_of(self.system, energy)
        per_chunk = max(1, chunk_size // BLOCK)
        n_blocks = math.ceil(n / BLOCK)
        if start >= n:
            return
        flow = self.flow.frozen()
        if energy is None:
            energy = energy_for(self.system, self.temperature).to(self.device)
        chain: tuple[AnnealedImportance, ...] = ()
        if refine:
            refinement = refine if isinstance(refine, Refinement) else Refinement(refine)
            chain = (self._chain(flow, energy, refinement),)
        for first in range(start // BLOCK, n_blocks, per_chunk):
            blocks = range(first, min(first + per_chunk, n_blocks))
            parts = [self._block(flow, energy, seed, block, *chain) for block in blocks]
            wanted = slice(max(0, start - first * BLOCK), n - first * BLOCK)
            x, u, log_q = (torch.cat(p)[wanted].cpu() for p in zip(*parts, strict=True))
            yield WeightedSamples.from_energies(
                x, u, log_q, self.system, temperature=getattr(energy, "temperature", None)
            )

    def _chain(self, flow: Distribution, energy: Energy, refinement: Refinement) -> AnnealedImportance:
        began = time.perf_counter()
        target = PullbackEnergy(energy, self.coordinates)
        chain = AnnealedImportance(flow, target, self.coordinates.n_periodic, refinement)
        refinement.seconds += time.perf_counter() - began
        return chain

    def _block(
        self,
        flow: Distribution,
        energy: Energy,
        seed: int,
        block: int,
        chain: AnnealedImportance | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        began = time.perf_counter()
        stream = random_stream(self.device, seed, block)
        y, log_prob = flow.sample_and_log_prob((BLOCK,), generator=stream)
        x, log_det, inside = self.coordinates.forward_in_domain(y)
        # float32's nearest value to pi lies just above it.
        once = (y[..., : self.coordinates.n_periodic].abs() <= math.pi + 1e-6).all(-1)
        u = torch.where(inside & once, energy(x), math.inf)
        log_q = log_prob.double() - log_det.double()
        if chain is None:
            return x, u, log_q
        ready = time.perf_counter()
        chain.refinement.add(log_weights(u, log_q), ready - began)
        y, log_w = chain(y, random_stream(self.device, seed, block, 1))
        moved, _, inside = self.coordinates.forward_in_domain(y)
        u_moved = energy(moved)
        # What has no weight stays as it was.
        good = u.isfinite() & inside & u_moved.isfinite() & log_w.isfinite()
        x = torch.where(good[:, None, None], moved, x)
        log_q = torch.where(good, -u_moved.double() - log_w, log_q)
        chain.refinement.seconds += time.perf_counter() - ready
        return x, torch.where(good, u_moved, math.inf), log_q
