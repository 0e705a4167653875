"""Files of references: their round trip, damaged and hostile ones."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from boltzgen.evaluation.reference import Reference
from boltzgen.molecule.system import System
from tests.helpers.references import N_WALKERS


def test_file_round_trip(reference: Reference, system: System, tmp_path: Path) -> None:
    path = tmp_path / "reference.h5"
    reference.save(path)
    assert path.stat().st_size < 5_000_000
    assert [p.name for p in tmp_path.iterdir()] == ["reference.h5"]
    back = Reference.load(path, system)
    for name in (
        "system",
        "fingerprint",
        "temperature",
        "domain",
        "basins",
        "torsions",
        "metadata",
        "n_frames",
        "fraction_outside",
    ):
        assert getattr(back, name) == getattr(reference, name), name
    for name in ("x", "u", "walker"):
        assert torch.equal(getattr(back, name), getattr(reference, name))
        assert getattr(back, name).dtype == getattr(reference, name).dtype
    assert list(back.marginals) == list(reference.marginals)
    for name, (axis, histogram) in back.marginals.items():
        assert axis == reference.marginals[name][0]
        np.testing.assert_allclose(histogram.groups, reference.marginals[name][1].groups, atol=1e-8)
    for a, b in zip(back.surfaces, reference.surfaces, strict=True):
        assert (a.pair, a.n_effective) == (b.pair, b.n_effective)
        np.testing.assert_array_equal(a.probability, b.probability)
        np.testing.assert_array_equal(a.halves, b.halves)
    np.testing.assert_allclose(back.energy[1].groups, reference.energy[1].groups, rtol=1e-12)
    assert back.populations is not None
    assert reference.populations is not None
    np.testing.assert_allclose(back.populations.groups, reference.populations.groups, rtol=1e-12)


def test_a_file_without_states_has_them_counted_in_its_configurations(
    reference: Reference, system: System, tmp_path: Path
) -> None:
    path = tmp_path / "old.h5"
    replace(reference, states={}).save(path)
    with h5py.File(path, "a") as file:
        header = json.loads(file.attrs["header"])
        del header["states"], file.attrs["crc32"]
        file.attrs["header"] = json.dumps(header)
    assert Reference.load(path).states == {}
    counted = Reference.load(path, system).states
    assert list(counted) == list(system.torsions)
    for name, (names, histogram) in counted.items():
        whole = reference.states[name]
        assert names == whole[0]
        assert histogram.degrees_of_freedom == N_WALKERS - 1
        error = np.hypot(histogram.standard_error, whole[1].standard_error)
        assert (np.abs(histogram.probability - whole[1].probability) <= 4 * error).all()


def test_a_failed_save_leaves_the_old_file(reference: Reference, tmp_path: Path) -> None:
    path = tmp_path / "reference.h5"
    path.write_text("old")
    broken = replace(reference, metadata={"not JSON": object()})
    with pytest.raises(TypeError):
        broken.save(path)
    assert path.read_text() == "old"


def test_broken_and_foreign_files_are_refused(reference: Reference, system: System, tmp_path: Path) -> None:
    path = tmp_path / "reference.h5"
    with pytest.raises(FileNotFoundError, match="no reference file at"):
        Reference.load(path)
    path.write_text("not HDF5")
    with pytest.raises(ValueError, match="not a whole reference file"):
        Reference.load(path)
    reference.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="not a whole reference file"):
        Reference.load(path)
    path.write_bytes(whole)
    with h5py.File(path, "a") as file:
        del file["u"]
    with pytest.raises(ValueError, match="not a whole reference file.*u"):
        Reference.load(path)
    path.write_bytes(whole)
    with h5py.File(path, "a") as file:
        file.attrs["format"] = 99
    with pytest.raises(ValueError, match="format 99"):
        Reference.load(path)
    replace(reference, fingerprint="another").save(path)
    assert Reference.load(path).fingerprint == "another"
    with pytest.raises(ValueError, match="reference of another system"):
        Reference.load(path, system)


def test_no_changed_byte_is_read_as_something_else(reference: Reference, tmp_path: Path) -> None:
    """A file with a changed bit is refused, or says what it said (where the bit has no meaning)."""
    path = tmp_path / "reference.h5"
    reference.save(path)
    whole, draws, refused = path.read_bytes(), random.Random(0), 0
    with h5py.File(path) as file:  # what is not compressed has no other checksum
        plain = [file[name].id.get_offset() for name in ("states0", "states1", "populations")]
    places = [draws.randrange(2000 if k % 2 else len(whole)) for k in range(50)]
    for at in [*places, *(offset + draws.randrange(60) for offset in plain)]:
        changed = bytearray(whole)
        changed[at] ^= 1 << draws.randrange(8)
        path.write_bytes(changed)
        try:
            back = Reference.load(path)
        except ValueError:
            refused += 1
            continue
        assert torch.equal(back.x, reference.x) and torch.equal(back.u, reference.u)
        assert (back.metadata, back.torsions) == (reference.metadata, reference.torsions)
        assert back.populations is not None and reference.populations is not None
        assert np.array_equal(back.populations.groups, reference.populations.groups)
        for name, (_, histogram) in back.states.items():
            assert np.array_equal(histogram.groups, reference.states[name][1].groups)
        for name, (axis, histogram) in back.marginals.items():
            assert axis == reference.marginals[name][0]
            np.testing.assert_allclose(histogram.groups, reference.marginals[name][1].groups, atol=1e-8)
    assert refused > 30


def edited(**changes: Any) -> Callable[[h5py.File], None]:
    """A change of the header, with no checksum that could tell."""

    def change(file: h5py.File) -> None:
        header = json.loads(file.attrs["header"])
        file.attrs["header"] = json.dumps(header | changes)

    return change


def replaced(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[h5py.File], None]:
    def apply(file: h5py.File) -> None:
        values = change(file[name][()])
        del file[name]
        file[name] = values

    return apply


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edited(temperature="hot"), "positive number of kelvin"),
        (edited(temperature=float("nan")), "positive number of kelvin"),
        (edited(system="a/../b"), "expected a name of"),
        (edited(torsions={"phi/../x": [0, 1, 2, 3]}), "expected a name of"),
        (edited(torsions={"phi": [0, 1, 2, 2]}), "torsions of four of the 22 atoms"),
        (edited(torsions={"phi": [0, 1, 2, 99]}), "torsions of four of the 22 atoms"),
        (edited(torsions={"phi": [0, 1, 2]}), ""),
        (edited(torsions=3), ""),
        (edited(axes=[]), ""),
        (edited(energy_axis={"kind": "line", "low": 1.0, "high": 0.0}), "from low to high"),
        (edited(metadata=[]), "by name"),
        (edited(basins=[{"name": "a", "phi": [float("nan"), 1.0]}]), "two numbers of degrees"),
        (edited(n_frames="many"), "a number of frames"),
        (lambda file: file.attrs.update(header="[" * 100_000), ""),
        (replaced("x", lambda x: x * np.nan), "NaN or infinite"),
        (replaced("x", lambda x: x.astype(int)), "expected float32"),
        (replaced("walker", lambda w: w.astype(float)), "expected float32, float64 and int64"),
        (replaced("u", lambda u: u[:-1]), r"expected x \(n, n_atoms, 3\)"),
        (replaced("energy", lambda e: e - 1.0), "negative, NaN or infinite"),
        (replaced("marginals", lambda m: m[:-1]), ""),
        (replaced("surface0/halves", lambda h: h + np.inf), ""),
        (replaced("surface0/probability", lambda p: p[:3]), "expected surfaces of"),
    ],
)
def test_hostile_references_are_refused(
    reference: Reference, tmp_path: Path, change: Callable[[h5py.File], None], message: str
) -> None:
    path = tmp_path / "reference.h5"
    reference.save(path)
    with h5py.File(path, "a") as file:
        del file.attrs["crc32"]
        change(file)
    with pytest.raises(ValueError, match=f"not a whole reference file.*{message}"):
        Reference.load(path)
