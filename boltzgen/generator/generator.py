"""The Boltzmann generator: a molecule's coordinates and flow, what it samples, and its checkpoint file."""

import hashlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from boltzgen import __version__, cards, units
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.coordinates.zmatrix import ZMatrix
from boltzgen.energy.base import Energy, check_energy_of
from boltzgen.energy.choose import energy_for
from boltzgen.flow.flow import HierarchicalFlow
from boltzgen.generator.architecture import molecular_flow
from boltzgen.generator.checkpoint import CHECKPOINT, FORMAT, read_checkpoint
from boltzgen.generator.harmonic import harmonic_reference
from boltzgen.generator.locate import locate
from boltzgen.generator.rings import check_rings
from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.seeding import random_stream
from boltzgen.storage import reading, tensors_under, write_tensors

#: Draws are made in blocks of this many, each from its own seed, so that the samples do not depend on how
#: they are chunked.
BLOCK = 2048


class BoltzmannGenerator(nn.Module):
    """A trained (or untrained) sampler of one molecule's conformations with exact log-densities.

    Attributes:
        system: the molecule.
        coordinates: flow coordinates y <-> positions x.
        flow: distribution of y.
        temperature: T in K at which the flow was last trained.
        seed: seed of its initial parameters and training.
        options: what `molecular_flow` was given.
    """

    def __init__(
        self,
        system: System,
        coordinates: MolecularCoordinates,
        flow: HierarchicalFlow,
        *,
        temperature: float,
        seed: int,
        options: dict[str, Any],
    ) -> None:
        super().__init__()
        self.system, self.coordinates, self.flow = system, coordinates, flow
        self.temperature, self.seed, self.options = temperature, seed, options

    @classmethod
    def for_system(
        cls,
        system: System,
        energy: Energy,
        *,
        seed: int = 0,
        temperature: float | None = None,
        **options: Any,
    ) -> Self:
        """An untrained generator: the harmonic approximation at an energy minimum, free torsions uniform.

        Args:
            system: the molecule.
            energy: any energy of the system; its temperature sets the scale of the stiff coordinates.
            seed: of the networks' initial parameters.
            temperature: where training is to start, in K; the initial distribution of the stiff coordinates
                is that of this temperature (default: the energy's).
            **options: passed to `molecular_flow` (resampled, torsion_layers, stiff_layers).

        Raises:
            ValueError: the molecule has rings that turn, see `check_rings`; or the energy is another one's.
        """
        check_rings(system)
        check_energy_of(system, energy)
        reference = harmonic_reference(system, energy)
        start = energy.temperature if temperature is None else units.kelvin(temperature)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            flow = molecular_flow(
                reference.coordinates, precision=reference.precision * (energy.temperature / start), **options
            )
        return cls(system, reference.coordinates, flow, temperature=start, seed=seed, options=options)

    @property
    def device(self) -> torch.device:
        """Where the flow's parameters are."""
        return next(self.flow.parameters()).device

    @property
    def fingerprint(self) -> str:
        """Identifies the molecule, its force field, domain and z-matrix: what a checkpoint belongs to."""
        return _fingerprint(self.system, self.coordinates.zmatrix)

    @property
    def digest(self) -> str:
        """Identifies the generator with its parameters: what draws are of."""
        found = hashlib.sha256(self.fingerprint.encode())
        for part in (self.flow, self.coordinates):
            for name, tensor in sorted(part.state_dict().items()):
                found.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
                found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    def __repr__(self) -> str:
        return cards.line(type(self).__name__, self.system.name, self._facts)

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return cards.table(type(self).__name__, self.system.name, self._facts)

    @property
    def _facts(self) -> dict[str, object]:
        return {
            "atoms": self.system.n_atoms,
            "torsions": len(self.system.torsions),
            "parameters": sum(p.numel() for p in self.parameters()),
            "temperature": f"{self.temperature:g} K",
            "device": str(self.device),
        }

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

    def sample(self, n: int, energy: Energy | None = None, *, seed: int = 0) -> WeightedSamples:
        """n conformations with weights to the Boltzmann distribution of `energy`; see `sample_chunks`."""
        return WeightedSamples.concatenate(self.sample_chunks(n, energy, seed=seed))

    @torch.no_grad()
    def sample_chunks(
        self,
        n: int,
        energy: Energy | None = None,
        *,
        seed: int = 0,
        start: int = 0,
        chunk_size: int = 16384,
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

        Raises:
            ValueError: n is not positive, `start` is negative, or the energy is that of another system, see
                `check_energy_of`.
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
        for first in range(start // BLOCK, n_blocks, per_chunk):
            blocks = range(first, min(first + per_chunk, n_blocks))
            parts = [self._block(flow, energy, seed, block) for block in blocks]
            wanted = slice(max(0, start - first * BLOCK), n - first * BLOCK)
            x, u, log_q = (torch.cat(p)[wanted].cpu() for p in zip(*parts, strict=True))
            yield WeightedSamples.from_energies(
                x, u, log_q, self.system, temperature=getattr(energy, "temperature", None)
            )

    def _block(
        self, flow: HierarchicalFlow, energy: Energy, seed: int, block: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        stream = random_stream(self.device, seed, block)
        y, log_prob = flow.sample_and_log_prob((BLOCK,), generator=stream)
        x, log_det, inside = self.coordinates.forward_in_domain(y)
        u = torch.where(inside, energy(x), math.inf)
        return x, u, log_prob.double() - log_det.double()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the checkpoint (safetensors with JSON metadata and a checksum) at once or not at all."""
        metadata = {
            "format": FORMAT,
            "boltzgen_version": __version__,
            "system": self.system.name,
            "system_fingerprint": self.fingerprint,
            "temperature": self.temperature,
            "seed": self.seed,
            "domain": self.system.domain.model_dump(),
            "options": self.options,
        }
        tensors = {f"flow.{k}": v for k, v in self.flow.state_dict().items()}
        tensors |= {f"coordinates.{k}": v for k, v in self.coordinates.state_dict().items()}
        write_tensors(Path(path), metadata, tensors)

    @classmethod
    def load(
        cls,
        source: str | os.PathLike[str] | None,
        system: System | None = None,
        *,
        unfinished: bool = False,
        device: str | torch.device = "cpu",
    ) -> Self:
        """Read a trained generator.

        Args:
            source: name of a shipped system, folder of a system or of a run, or, with `system`, a checkpoint
                file or any folder that holds one.
            system: the molecule; None where the source says which.
            unfinished: take the last checkpoint of a run that has not ended.
            device: where the generator is to compute.

        Raises:
            FileNotFoundError: there is none; or the source is None, the folder of a system that was not
                loaded from one.
            ValueError: the file is broken, or belongs to another system, force field, domain or z-matrix; or
                the source does not say which system it is of.
        """
        if source is None:
            of = "" if system is None else f" {system.name!r}"
            raise FileNotFoundError(f"the system{of} has no folder; give a run's folder or a checkpoint file")
        if system is None:
            system, source = locate(source, unfinished=unfinished)
        file = Path(source) / CHECKPOINT if Path(source).is_dir() else Path(source)
        if not file.is_file():
            raise FileNotFoundError(f"no checkpoint at {file}; train a generator of {system.name!r} first")
        metadata, tensors = read_checkpoint(file)
        options = metadata["options"]
        if metadata["system_fingerprint"] != _fingerprint(system, ZMatrix.from_graph(system.graph)):
            raise ValueError(
                f"{file} was trained for another system than {system.name!r} (it says "
                f"{metadata['system']!r}); force field, domain or z-matrix differ: give the system that it "
                "was trained for"
            )
        with reading(f"{file} is not a checkpoint of {system.name!r}", "copy or train it again"):
            coordinates = MolecularCoordinates(
                system, tensors["coordinates.reference"], tensors["coordinates.scale"]
            )
            flow = molecular_flow(coordinates, **options)
            flow.load_state_dict(tensors_under(tensors, "flow."))
        return cls(
            system,
            coordinates,
            flow,
            temperature=metadata["temperature"],
            seed=metadata["seed"],
            options=options,
        ).to(device)


def _fingerprint(system: System, zmatrix: ZMatrix) -> str:
    return hashlib.sha256(repr((system.fingerprint, zmatrix.rows)).encode()).hexdigest()
