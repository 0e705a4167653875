"""A structure for each state of a molecule, as a file that other programs read."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from boltzgen.free_energy.state_energies import StateEnergies, StateEnergy, in_unit
from boltzgen.samples.contents import check_target, read_topology
from boltzgen.samples.export import positions_at, write_frames
from boltzgen.samples.pooled import Files, Pooled, pooled
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
    source: Files,
    target: str | os.PathLike[str],
    *,
    unit: str = "kT",
    system: str | os.PathLike[str] | None = None,
) -> int:
    """Write the draw of the lowest energy of each state, and return how many there are.

    They come in the order of the states; of a state without draws there is none. In an SDF file each has the
    properties `state`, `draw` (its place in the samples file), `file` where there are several, `population`
    with its interval, and, relative to the reference state, `free_energy`, `energy` and `minus_ts`, with
    their `unit`.

    Args:
        energies: of the samples in `source`, with the draws' energies.
        source: samples file, or several.
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
    pool = pooled(source)
    topology = read_topology(pool.files[0])
    x = _positions(pool, draws.values())
    if target.suffix.lower() == ".pdb":
        return write_frames(target, topology, (x[place][None] for place in draws.values()))
    assert system is not None
    connections = read_connections(system, topology)

    def entries() -> Iterator[tuple[np.ndarray, Mapping[str, list[object]]]]:
        for name, place in draws.items():
            said = _said(rows[name], unit) | _origin(pool, place)
            yield x[place][None], {key: [value] for key, value in said.items()}

    write_atomically(target, "".join(records(connections, entries())).encode())
    return len(draws)


def _positions(pool: Pooled, places: Iterable[int]) -> dict[int, np.ndarray]:
    """Positions of some of the pooled draws by their places."""
    found: dict[int, np.ndarray] = {}
    start = 0
    for path, size in zip(pool.files, pool.sizes, strict=True):
        own = [place - start for place in places if start <= place < start + size]
        if own:
            found |= {start + place: x for place, x in positions_at(path, own).items()}
        start += size
    return found


def _origin(pool: Pooled, place: int) -> dict[str, object]:
    """Which draw of which file it is; of a single one the file is not said."""
    ends = np.cumsum(pool.sizes)
    k = int(np.searchsorted(ends, place, side="right"))
    draw: dict[str, object] = {"draw": place - int(ends[k]) + pool.sizes[k]}
    return draw if len(pool.files) == 1 else draw | {"file": str(pool.files[k])}


def _said(row: StateEnergy, unit: str) -> dict[str, object]:
    found: dict[str, object] = {"state": row.name, "population": row.population.value}
    found |= {"population_low": row.population.low, "population_high": row.population.high, "unit": unit}
    for name in ("free_energy", "energy", "minus_ts"):
        result = getattr(row, name)
        found |= {} if result is None else {name: result.value, f"{name}_error": result.error}
    return found
