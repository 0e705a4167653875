"""A structure for each state of a molecule, as a file that other programs read."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from boltzgen.free_energy.state_energies import StateEnergies, StateEnergy, in_unit
from boltzgen.samples.contents import check_target, read_topology
from boltzgen.samples.export import positions_at, write_frames
from boltzgen.samples.sdf import read_connections, records
from boltzgen.storage import write_atomically

#: Formats of the file.
FORMATS = (".pdb", ".sdf")


def check_structures(target: Path, system: object) -> None:
    """Raise unless such a file can be written; to be called before the work."""
    check_target(target, FORMATS)
    if target.suffix.lower() == ".sdf" and system is None:
        raise ValueError(
            "an SDF file has orders of bonds, which samples do not know: give as `system` the folder that "
            "`boltzgen prepare` made of the small molecule, or choose a file that ends in .pdb"
        )


def write_structures(
    energies: StateEnergies,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    unit: str = "kT",
    system: str | os.PathLike[str] | None = None,
) -> int:
    """Write the draw of the lowest energy of each state, and return how many there are.

    They come in the order of the states; of a state without draws there is none. In an SDF file each has the
    properties `state`, `draw` (its place in the samples file), `population` with its interval, and, relative
    to the reference state, `free_energy`, `energy` and `minus_ts`, with their `unit`.

    Args:
        energies: of the samples in `source`, with the draws' energies.
        source: samples file.
        target: a PDB file, one model for each state, or an SDF file.
        unit: of the energies, kT, kJ/mol or kcal/mol.
        system: for an SDF file, the folder that `prepare` made of the small molecule, or its SDF file.

    Raises:
        FileNotFoundError: no such samples file, or no folder for the target, or no SDF file.
        ValueError: another ending, or the SDF file is of another molecule.
        OSError: it cannot be written.
    """
    target = Path(target)
    check_structures(target, system)
    places = {row.name: energies.lowest(row.name) for row in energies.rows}
    rows = {row.name: in_unit(row, unit) for row in energies.rows if places[row.name] is not None}
    draws = {name: place for name, place in places.items() if place is not None}
    topology = read_topology(source)
    x = positions_at(source, draws.values())
    if target.suffix.lower() == ".pdb":
        return write_frames(target, topology, (x[place][None] for place in draws.values()))
    assert system is not None
    connections = read_connections(system, topology)

    def entries() -> Iterator[tuple[np.ndarray, Mapping[str, list[object]]]]:
        for name, place in draws.items():
            yield x[place][None], {key: [value] for key, value in _said(rows[name], place, unit).items()}

    write_atomically(target, "".join(records(connections, entries())).encode())
    return len(draws)


def _said(row: StateEnergy, place: int, unit: str) -> dict[str, object]:
    found: dict[str, object] = {"state": row.name, "draw": place, "population": row.population.value}
    found |= {"population_low": row.population.low, "population_high": row.population.high, "unit": unit}
    for name in ("free_energy", "energy", "minus_ts"):
        result = getattr(row, name)
        found |= {} if result is None else {name: result.value, f"{name}_error": result.error}
    return found
