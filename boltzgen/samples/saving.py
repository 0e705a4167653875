"""Saving samples that are in memory."""

import os
from pathlib import Path
from typing import Any

from boltzgen import units
from boltzgen.locks import locked
from boltzgen.molecule.system import System
from boltzgen.samples.checks import check_samples
from boltzgen.samples.contents import CHUNK, check_target
from boltzgen.samples.draws import Draws
from boltzgen.samples.header import SamplesHeader, describe
from boltzgen.samples.mdtraj_hdf5 import SUFFIXES
from boltzgen.samples.writer import write_whole


def save_samples(
    samples: Draws, path: str | os.PathLike[str], *, temperature: Any = None, force: bool = False
) -> None:
    """Write samples as a samples file; see `WeightedSamples.save`.

    The file says neither a seed nor a generator, since a part of the draws, or several pooled, are not what
    one seed gives: `boltzgen sample --resume` does not go on with it.
    """
    path, system = Path(path), samples.system
    check_target(path, SUFFIXES)
    if path.exists() and not force:
        raise FileExistsError(
            f"{path} exists already; add `force=True` to replace it, or choose another place"
        )
    if not isinstance(system, System | SamplesHeader) or system.mdtraj_topology is None:
        raise ValueError(
            "a samples file says which molecule it is of, and these samples carry none with a topology; set "
            "`system` to a `System` when making WeightedSamples"
        )
    known = _temperature(samples.temperature, temperature)
    try:
        check_samples(samples)
    except ValueError as error:
        raise ValueError(
            f"{error}; a samples file holds draws with their weights: of resampled conformations save the "
            "draws before that, or write `to_mdtraj()`"
        ) from error
    doubt = system.doubt if isinstance(system, SamplesHeader) else ""
    said = describe(system, known, seed=None, generator="", doubt=doubt)
    chunks = (samples[start : start + CHUNK] for start in range(0, len(samples), CHUNK))
    with locked(path):
        write_whole(path, system.mdtraj_topology, said, chunks, len(samples))


def _temperature(known: float | None, given: Any) -> float:
    """The temperature of the target in K, which the samples know or the user gives."""
    if given is None:
        if known is None:
            raise ValueError(
                "these samples do not say at which temperature they are weighted; give `temperature` in K"
            )
        return known
    found = units.kelvin(given)
    if known is not None and abs(found - known) > 1e-6 * known:
        raise ValueError(f"these samples are weighted at {known:g} K, but `temperature` is {found:g} K")
    return found
