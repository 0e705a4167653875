"""Samples files that are damaged, or made to harm, are refused in a line or read as they were."""

import json
import os
import pickle
import random
import shutil
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import h5py
import mdtraj
import numpy as np
import pytest
import torch

from boltzgen.analysis.report import analyze
from boltzgen.molecule.system import System
from boltzgen.samples.export import export
from boltzgen.samples.file import iter_samples, read_header, read_log_weights, read_samples
from boltzgen.samples.trajectory import iter_frames
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from tests.helpers.posing import made_up_samples


@pytest.fixture(scope="module")
def samples(system: System) -> WeightedSamples:
    return made_up_samples(system, 120)


@pytest.fixture
def file(tmp_path: Path, system: System, samples: WeightedSamples) -> Path:
    with SamplesWriter(tmp_path / "s.h5", system, 300.0) as writer:
        writer.write(samples)
    return tmp_path / "s.h5"


def complaint(attempt: Callable[[], object]) -> str:
    """What a refusal says; nothing if all goes well."""
    try:
        attempt()
    except ValueError as error:
        return str(error)
    return ""


class Harmful:
    """An object that makes a folder where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize(
    ("place", "name"),
    [("/", "TITLE"), ("/", "CLASS"), ("/", "title"), ("topology", "FLAVOR"), ("coordinates", "units")],
)
def test_nothing_that_a_file_pickles_is_run(
    tmp_path: Path, system: System, file: Path, place: str, name: str
) -> None:
    ran = tmp_path / "ran"
    with h5py.File(file, "r+") as opened:
        opened[place].attrs[name] = np.bytes_(pickle.dumps(Harmful(ran), protocol=0))
    trajectory = tmp_path / "md.h5"
    shutil.copy(file, trajectory)
    with h5py.File(trajectory, "r+") as opened:
        del opened["log_w"]
    mdtraj.Trajectory(system.positions.numpy()[None], system.mdtraj_topology).save_xtc(
        str(tmp_path / "md.xtc")
    )

    def train_on(path: Path, topology: Path | None = None) -> None:
        for _ in iter_frames(path, system, topology=topology):
            pass

    attempts: list[Callable[[], object]] = [
        lambda: read_samples(file),
        lambda: analyze(file, tmp_path / "report"),
        lambda: export(file, tmp_path / "out.dcd"),
        lambda: train_on(file),
        lambda: train_on(trajectory),
        lambda: train_on(tmp_path / "md.xtc", file),
    ]
    for attempt in attempts:
        assert "\n" not in complaint(attempt)
        assert not ran.exists()
    with warnings.catch_warnings(), suppress(AttributeError):
        warnings.simplefilter("ignore")
        mdtraj.load(str(file))
    assert ran.exists()  # MDTraj, by PyTables, runs it


def read_all(path: Path) -> tuple[object, WeightedSamples]:
    header, samples = read_header(path), read_samples(path)
    assert torch.equal(read_log_weights(path), samples.log_w)
    fields = {k: v for k, v in vars(header).items() if k != "mdtraj_topology"}
    topology = header.mdtraj_topology
    assert topology is not None
    return (fields, [str(a) for a in topology.atoms], [str(b) for b in topology.bonds]), samples


def test_damage_is_seen_wherever_it_is(file: Path) -> None:
    """One bit, or the rest of the file: what is read is refused or is what it was."""
    expected, samples = read_all(file)
    whole = file.read_bytes()
    rng = random.Random(0)
    metadata = [k for k, byte in enumerate(whole[:6000]) if byte]
    places = rng.sample(range(len(whole)), 60) + rng.sample(metadata, 60)
    n_seen = 0
    for k in places:
        content = bytearray(whole)
        content[k] ^= 1 << rng.randrange(8)
        file.write_bytes(content)
        if said := complaint(lambda: read_all(file)):
            n_seen += 1
            assert str(file) in said and "\n" not in said
            continue
        found, read = read_all(file)
        assert found == expected
        for name in ("x", "u", "log_q", "log_w"):
            torch.testing.assert_close(getattr(read, name), getattr(samples, name), rtol=0, atol=0)
    assert n_seen > 90
    for size in rng.sample(range(len(whole)), 20):
        file.write_bytes(whole[:size])
        with pytest.raises(ValueError):
            read_all(file)


def put(name: str, index: int, value: float) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[name][index] = value

    return change


def attribute(key: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        file.attrs[key] = value if isinstance(value, int | float) else np.bytes_(text)

    return change


def retyped(name: str, dtype: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        values = np.nan_to_num(file[name][:], posinf=0, neginf=0).astype(dtype)
        del file[name]
        file[name] = values

    return change


NESTED = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("log_w", 17, 3.0), r"sample 17 has log_w = 3, but its u = .* give"),
        (put("u", 17, 3.0), r"sample 17 has log_w = .*, but its u = 3 and"),
        (put("log_q", 17, np.nan), "sample 17 has log_w = .*, but its u"),
        (put("u", 17, np.nan), r"sample 17 has log_w = .* give -inf"),
        (put("log_w", 0, 0.0), r"sample 0 has log_w = 0, .* give -inf"),
        (put("coordinates", 17, np.nan), "sample 17 has a weight, but its positions .* not finite"),
        (put("coordinates", (17, 3, 1), 1e6), r"sample 17 has a weight, .* they are 1e\+06 nm apart"),
        (retyped("coordinates", "i4"), "expected coordinates to be float32, got int32"),
        (retyped("coordinates", "f8"), "expected coordinates to be float32, got float64"),
        (retyped("u", "?"), "/u holds bool; expected plain numbers"),
        (attribute("torsions", {"phi": [4, 6, 8, 8]}), r"a torsion of the atoms \(4, 6, 8, 8\)"),
        (attribute("torsions", {"phi": [4, 6, 8, 22]}), "expected four different ones of 22"),
        (attribute("torsions", {"phi": [4, 6, 8, -1]}), "expected four different ones of 22"),
        (attribute("torsions", {"phi": [4, 6, 8, 10.0]}), "expected four different ones of 22"),
        (attribute("torsions", {"../phi": [4, 6, 8, 14]}), "slashes"),
        (attribute("rotamers", {"phi": {"division": "?", "torsions": [[1, 2, 3, 4]]}}), "got '\\?'"),
        (attribute("regions", {"ALA 2": [{"name": "a", "../phi": [0, 3]}]}), "slashes"),
        (
            attribute("basins", '[{"name": "a", "phi": [NaN, 3], "psi": [0, 3]}]'),
            r"lacks a valid attribute or topology \(intervals\.phi: expected \[low, high\], two numbers",
        ),
        (attribute("basins", NESTED), "lacks a valid attribute"),
        (attribute("temperature", float("nan")), "positive temperature"),
        (attribute("temperature", -3.0), "positive temperature"),
        (attribute("seed", -1), "seed >= 0"),
        (attribute("format", 3), "format 3, this version of boltzgen reads 1 to 2"),
        (attribute("system", "5"), "lacks a valid attribute"),
    ],
)
def test_what_cannot_be_is_refused(file: Path, change: Callable[[h5py.File], None], message: str) -> None:
    with h5py.File(file, "r+") as opened:
        change(opened)
    with pytest.raises(ValueError, match=message) as caught:
        list(iter_samples(file, chunk=50))
    assert str(caught.value).startswith(str(file))
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["bonds"].append([3, 3]), "a bond between atoms 3 and 3"),
        (lambda t: t["bonds"].append([-1, 3]), "a bond between atoms -1 and 3"),
        (lambda t: t["bonds"].append([0, 22]), "a bond between atoms 0 and 22 of 22"),
        (lambda t: t["bonds"].append([0.0, 2]), "expected a whole number"),
        (lambda t: t["chains"][0]["residues"][0]["atoms"].pop(), "a bond between"),
        (
            lambda t: (t["chains"][0]["residues"][2]["atoms"].pop(), t["bonds"].clear()),
            "a topology of 21 atoms",
        ),
        (lambda t: t["chains"][0]["residues"][0].update(name=5), "expected text"),
        (lambda t: t.update(chains=3), "topology"),
    ],
)
def test_topologies_that_cannot_be_are_refused(
    file: Path, change: Callable[[dict[str, object]], object], message: str
) -> None:
    with h5py.File(file, "r+") as opened:
        topology = json.loads(opened["topology"][0])
        change(topology)
        del opened["topology"]
        opened["topology"] = np.array([json.dumps(topology).encode()])
    with pytest.raises(ValueError, match=message) as caught:
        read_header(file)
    assert str(caught.value).startswith(str(file))


def test_files_of_earlier_versions_are_read(tmp_path: Path, file: Path, samples: WeightedSamples) -> None:
    """They have neither checksums nor a format nor the digest of a generator."""
    older = tmp_path / "older.h5"
    with h5py.File(file) as a, h5py.File(older, "w") as b:
        for key, value in a.attrs.items():
            if key not in ("format", "generator", "rotamers"):
                b.attrs[key] = value
        for name in a:
            b.create_dataset(name, data=a[name][:], chunks=a[name].chunks, maxshape=a[name].maxshape)
    header = read_header(older)
    assert (header.generator, header.rotamers, header.n_samples) == ("", {}, 120)
    assert torch.equal(read_samples(older).x, samples.x)
