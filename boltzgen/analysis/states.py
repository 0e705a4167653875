"""Free energies of the states of one molecule, from samples in memory or in files."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from boltzgen.free_energy.found_states import FoundStates, find_states, torsion_groups
from boltzgen.free_energy.state_energies import StateEnergies
from boltzgen.molecule.basins import Region
from boltzgen.molecule.conditions import parse_state
from boltzgen.molecule.measures import topology_of
from boltzgen.molecule.states import Regions
from boltzgen.molecule.system import System
from boltzgen.samples.measure import Measure
from boltzgen.samples.measured_file import MeasuredFile
from boltzgen.samples.pooled import Files
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.units import kelvin


def state_energies(
    source: WeightedSamples | Files,
    *,
    states: Sequence[Region | str] = (),
    find: bool = False,
    torsions: Sequence[str] = (),
    barrier: float = 1.0,
    most: int = 20,
    temperature: float | None = None,
    measure: Measure = "flexible-limit",
    system: System | str | Path | None = None,
) -> StateEnergies:
    """Populations of a molecule's states and the free energies between them, with energies and entropies.

    By default the states are the molecule's basins or, where it has none, those that are found: wells of its
    torsions, see `free_energy.found_states`. Files are read in chunks; the draws of several are pooled, see
    `samples.pooled`.

    Args:
        source: weighted samples, a samples file, or several.
        states: of one's own, see `conditions.parse_state`; a conformation belongs to the first that holds it.
        find: find states although the molecule has basins.
        torsions: that the states to be found go by; all by default.
        barrier: in kT, between two wells that are found.
        most: states to be found.
        temperature: of samples in memory, in K; by default that of their system.
        measure: of a file's draws of a constrained molecule; see `MeasuredFile`. Samples in memory are
            weighted by `weighted_for`.
        system: the molecule, for its masses, where `measure` needs them and it does not ship.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a samples file, files that do not belong together, no weight, no such torsion, a state
            that cannot be read, or options that exclude each other.
    """
    if states and (find or torsions):
        raise ValueError("give `states` of your own, or have some found (`find`, `torsions`), not both")
    if not isinstance(source, WeightedSamples):
        drawn: WeightedSamples | MeasuredFile = MeasuredFile(source, measure, system)
    elif measure != "flexible-limit" or system is not None:
        raise ValueError("`measure` and `system` are for a file; weight samples in memory by `weighted_for`")
    else:
        drawn = source
    molecule, log_w, kelvins = weights_of(drawn, temperature)
    u = np.concatenate([part.u.numpy(force=True) for part in _parts(drawn)])
    series = () if isinstance(drawn, WeightedSamples) else drawn.pooled.series
    chosen: Sequence[Region] = [parse_state(s) if isinstance(s, str) else s for s in states]
    if not chosen and not find and not torsions:
        chosen = molecule.basins
    if chosen:
        regions = Regions.of(chosen, molecule.torsions, molecule.rotamers, topology_of(molecule))
        labels = np.concatenate([regions.labels(part.x) for part in _parts(drawn)])
        return StateEnergies(labels, log_w, regions.names, kelvins, (), u, series)
    found, angles = found_in(drawn, molecule, log_w, torsions=torsions, barrier=barrier, most=most)
    labels = found.labels_of(angles)
    return StateEnergies(labels, log_w, found.names, kelvins, (_how(found, barrier),), u, series)


def found_in(
    drawn: WeightedSamples | MeasuredFile,
    molecule: Any,
    log_w: np.ndarray,
    *,
    torsions: Sequence[str] = (),
    barrier: float = 1.0,
    most: int = 20,
) -> tuple[FoundStates, Mapping[str, np.ndarray]]:
    """States of a molecule found from its draws, and the angles (n,) that they go by; see `find_states`."""
    angles = _angles(drawn, molecule, torsions, len(log_w))
    return find_states(molecule, angles, log_w, torsions=torsions, barrier=barrier, most=most), angles


def weights_of(
    source: WeightedSamples | MeasuredFile, temperature: float | None
) -> tuple[Any, np.ndarray, float]:
    """The molecule, the log-weights and the temperature."""
    if not isinstance(source, WeightedSamples):
        if temperature is not None:
            raise ValueError("a samples file has its own temperature; leave out `temperature`")
        return source.header, source.log_weights().numpy(), source.header.temperature
    molecule = source.system
    # Samples may know their own temperature; else it is their system's.
    candidates = (temperature, getattr(source, "temperature", None), getattr(molecule, "temperature", None))
    known = next((t for t in candidates if t is not None), None)
    if molecule is None or known is None:
        raise ValueError("these samples do not know their molecule or temperature; set `system`")
    return molecule, source.log_w.numpy(force=True), kelvin(known)


def _parts(source: WeightedSamples | MeasuredFile) -> Iterable[WeightedSamples]:
    return [source] if isinstance(source, WeightedSamples) else source


def _angles(
    source: WeightedSamples | MeasuredFile, molecule: Any, torsions: Sequence[str], n: int
) -> Mapping[str, np.ndarray]:
    """Every torsion that states are found by, float32 (n,) in radians."""
    rotamers = {
        name: rotamer for group in torsion_groups(molecule, torsions) for name, rotamer in group.items()
    }
    angles = {name: np.empty(n, np.float32) for name in rotamers}
    start = 0
    for part in _parts(source):
        for name, rotamer in rotamers.items():
            angles[name][start : start + len(part)] = rotamer.angle(part.x)
        start += len(part)
    return angles


def _how(found: FoundStates, barrier: float) -> str:
    groups = " / ".join(group.label for group in found.groups)
    return (
        f"states are wells of {groups}, parted by barriers of {barrier:g} kT or more; a well is called "
        "after the region that its minimum is in, and may reach over others, which `boltzgen analyze` "
        "counts by themselves"
    )
