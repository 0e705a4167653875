"""The Boltzmann generator: a molecule's coordinates and flow, what it samples, and its checkpoint file."""

import hashlib
import os
from pathlib import Path
from typing import Any, Self

import torch

from boltzgen import __version__, cards, units
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.coordinates.zmatrix import ZMatrix
from boltzgen.energy.base import Energy, check_energy_of
from boltzgen.flow.flow import HierarchicalFlow
from boltzgen.generator.architecture import molecular_flow
from boltzgen.generator.checkpoint import CHECKPOINT, FORMAT, read_checkpoint
from boltzgen.generator.harmonic import harmonic_reference
from boltzgen.generator.locate import locate
from boltzgen.generator.rings import check_rings
from boltzgen.generator.sampler import FlowSampler
from boltzgen.molecule.system import System
from boltzgen.storage import reading, tensors_under, write_tensors


class BoltzmannGenerator(FlowSampler):
    """A trained (or untrained) sampler of one molecule's conformations with exact log-densities.

    Attributes:
        system: the molecule.
        coordinates: flow coordinates y <-> positions x.
        flow: distribution of y.
        temperature: T in K at which the flow was last trained.
        seed: seed of its initial parameters and training.
        options: what `molecular_flow` was given.
    """

    flow: HierarchicalFlow

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
        super().__init__(system, coordinates, flow, temperature=temperature)
        self.seed, self.options = seed, options

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
            **options: passed to `molecular_flow` (resampled, torsion_layers, stiff_layers, stiff_width).

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
                "was trained for, or train again if an earlier version made it, of a molecule with rings or "
                "amines: their coordinates have changed"
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
