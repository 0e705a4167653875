"""What can be analysed: samples files, reference ensembles and trajectories, as chunks of samples."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from mdtraj.formats.registry import FormatRegistry

from boltzgen.evaluation.reference import Reference
from boltzgen.hdf5 import open_hdf5
from boltzgen.molecule.find import find_system
from boltzgen.molecule.shipped import SYSTEM_FILE
from boltzgen.molecule.system import System
from boltzgen.samples.header import SamplesHeader
from boltzgen.samples.mdtraj_hdf5 import SUFFIXES
from boltzgen.samples.measure import Measure, check_measure
from boltzgen.samples.measured_file import MeasuredFile
from boltzgen.samples.shards import Range
from boltzgen.samples.trajectory import iter_frames
from boltzgen.samples.weighted_samples import WeightedSamples

_CHUNK = 16384


@dataclass(frozen=True)
class Source:
    """Conformations to be analysed.

    Attributes:
        kind: "samples" have weights, "reference" and "trajectory" equal ones.
        molecule: that they are of.
        n: how many they are.
        temperature: of the target in K.
        about: what the file says of their origin.
        chunks: gives them in order, a part in memory at a time; energies are known of samples alone.
        series: independent samples among them, of other seeds: what each is called, and where it lies among
            the conformations.
    """

    kind: Literal["samples", "reference", "trajectory"]
    molecule: System | SamplesHeader
    n: int
    temperature: float
    about: dict[str, Any]
    chunks: Callable[[], Iterator[WeightedSamples]] = field(repr=False)
    series: Sequence[tuple[str, Range]] = ()

    @property
    def is_weighted(self) -> bool:
        """Whether it holds weighted draws, of which weights say something."""
        return self.kind == "samples"


def open_source(
    path: str | os.PathLike[str],
    system: System | str | Path | None = None,
    *,
    measure: Measure = "flexible-limit",
) -> Source:
    """The conformations of a samples file, a `reference.h5`, or a trajectory in a format of MDTraj's.

    Args:
        path: of the file.
        system: the molecule, or the name or folder that `System.load` finds it by. A trajectory needs it; a
            reference does unless it lies in its system's folder or is of one that ships. Samples files hold
            their molecule; with a system, its basins and names are taken.
        measure: of a constrained molecule's weighted draws, see `MeasuredFile`.

    Raises:
        FileNotFoundError: no such file or system.
        ValueError: the file cannot be read, holds nothing, or is of another molecule or target.
    """
    path = Path(path)
    molecule = system if isinstance(system, System) or system is None else System.load(system)
    kind = kind_of(path, needs_system=molecule is None)
    check_measure(measure)
    if kind != "samples" and measure != "flexible-limit":
        raise ValueError(
            f"`measure` {measure} weights draws of a generator, but {path} is a {kind}: its frames have the "
            "measure of whatever simulated them; leave it out"
        )
    if kind == "reference":
        return _reference(path, molecule)
    if kind == "trajectory" and molecule is not None:
        return _trajectory(path, molecule)
    return samples_source(MeasuredFile(path, measure, molecule), molecule)


def samples_source(file: MeasuredFile, molecule: System | None) -> Source:
    """The conformations of samples files, with the names of a molecule if it is given.

    Raises:
        ValueError: there are none.
    """
    header = file.header
    if header.n_samples == 0:
        raise ValueError(f"{file.pooled.files[0]} holds no samples; expected at least one")
    about = {
        "system": header.system,
        "temperature": header.temperature,
        "domain": header.domain,
        "seed": header.seed,
        "boltzgen_version": header.version,
        "n_energy_evaluations": header.n_energy_evaluations,
        "measure": file.measure,
        "doubt": header.doubt,
        "refined": header.refined,
    }
    found = molecule or header
    chunks = partial(_samples, file, found)
    n, series = header.n_samples, file.pooled.series
    return Source("samples", found, n, header.temperature, about, chunks, series)


def kind_of(path: Path, *, needs_system: bool) -> Literal["samples", "reference", "trajectory"]:
    """What a file is; one that is none of them is left to the reader of samples files, which says so."""
    endings = {path.suffix.lower(), "".join(path.suffixes[-2:]).lower()}  # .xtc, .pdb.gz
    if not path.is_file() or endings.isdisjoint(FormatRegistry.loaders):
        return "samples"
    if path.suffix.lower() in SUFFIXES:
        try:
            with open_hdf5(path, "a samples file") as file:
                if "header" in file.attrs and "walker" in file:
                    return "reference"
                if "log_w" in file or "coordinates" not in file:
                    return "samples"
        except ValueError:
            return "samples"
    if needs_system:
        raise ValueError(
            f"{path} is no samples file, and of a trajectory it must be known which molecule it is of: give "
            "`system`, the name of a system that ships or the folder of your own"
        )
    return "trajectory"


def _samples(file: MeasuredFile, molecule: System | SamplesHeader) -> Iterator[WeightedSamples]:
    for chunk in file:
        yield replace(chunk, system=molecule)


def _reference(path: Path, given: System | None) -> Source:
    system = given or _system_of(Reference.load(path), path)
    reference = Reference.load(path, system)

    def chunks() -> Iterator[WeightedSamples]:
        for x in reference.x.split(_CHUNK):
            yield _equal(x, system)

    return Source(
        "reference",
        system,
        len(reference),
        reference.temperature,
        _about(system, reference.temperature),
        chunks,
    )


def _system_of(reference: Reference, path: Path) -> System:
    """The system of a reference: the one that it lies beside, or one that ships."""
    folders = [path.parent] if (path.parent / SYSTEM_FILE).is_file() else []
    if (system := find_system(reference.system, reference.fingerprint, folders)) is not None:
        return system
    raise ValueError(
        f"{path} is a reference of {reference.system!r}, which does not lie beside it and does not ship; "
        "give its folder as `system`"
    )


def _trajectory(path: Path, system: System) -> Source:
    """A trajectory; it is read twice, since how many frames it holds shows at its end."""
    n = sum(len(frames.x) for frames in iter_frames(path, system))

    def chunks() -> Iterator[WeightedSamples]:
        for frames in iter_frames(path, system):
            yield _equal(frames.x, system)

    return Source("trajectory", system, n, system.temperature, _about(system, system.temperature), chunks)


def _equal(x: torch.Tensor, system: System) -> WeightedSamples:
    """Frames of equal weight, whose energies are not known and not used."""
    zero = torch.zeros(len(x), dtype=torch.float64)
    return WeightedSamples(x, zero, zero, zero, system)


def _about(system: System, temperature: float) -> dict[str, Any]:
    return {
        "system": system.name,
        "temperature": temperature,
        "domain": system.domain.model_dump(),
        "seed": None,
        "boltzgen_version": None,
        "n_energy_evaluations": None,
        "measure": None,
        "doubt": "",
        "refined": 0,
    }
