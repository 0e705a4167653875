"""The samples file: what is written is read back, by us and by MDTraj; nothing half-written survives; bad
files are named.
"""

import os
from pathlib import Path
from typing import Any

import h5py
import mdtraj
import numpy as np
import pytest
import torch

from boltzgen import __version__
from boltzgen.molecule.system import System
from boltzgen.samples.file import (
    iter_samples,
    read_header,
    read_log_weights,
    read_samples,
    read_topology,
)
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from tests.helpers.molecules import peptide
from tests.helpers.posing import made_up_samples

FIELDS = ("x", "u", "log_q", "log_w")


@pytest.fixture(scope="module")
def samples(system: System) -> WeightedSamples:
    return made_up_samples(system, 300)


def save(path: Path, samples: WeightedSamples, system: System, chunk: int = 128) -> Path:
    with SamplesWriter(path, system, 310.0, seed=7) as writer:
        for start in range(0, len(samples), chunk):
            writer.write(samples[start : start + chunk])
        writer.n_energy_evaluations = 384
    return path


def assert_equal(a: WeightedSamples, b: WeightedSamples) -> None:
    for name in FIELDS:
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("chunk", [9, 37, 300])
def test_what_is_written_is_read_back(
    tmp_path: Path, samples: WeightedSamples, system: System, chunk: int
) -> None:
    path = save(tmp_path / "s.h5", samples, system, chunk)
    assert_equal(read_samples(path), samples)
    parts = list(iter_samples(path, chunk=64))
    assert [len(p) for p in parts] == [64, 64, 64, 64, 44]
    assert_equal(WeightedSamples.concatenate(parts), samples)
    assert torch.equal(read_log_weights(path), samples.log_w)
    assert os.listdir(tmp_path) == ["s.h5"]


def test_mdtraj_opens_it(tmp_path: Path, samples: WeightedSamples, system: System) -> None:
    trajectory = mdtraj.load(str(save(tmp_path / "s.h5", samples, system)))
    np.testing.assert_array_equal(trajectory.xyz, samples.x.numpy())
    expected = mdtraj.Topology.from_openmm(system.topology)
    assert trajectory.topology == expected == read_topology(tmp_path / "s.h5")
    assert [(a.name, a.element.symbol, a.residue.resSeq) for a in trajectory.topology.atoms] == [
        (a.name, a.element.symbol, a.residue.resSeq) for a in expected.atoms
    ]
    assert {frozenset((b[0].index, b[1].index)) for b in trajectory.topology.bonds} == {
        frozenset((b[0].index, b[1].index)) for b in expected.bonds
    }


def test_the_layout_is_the_one_mdtraj_writes(
    tmp_path: Path, samples: WeightedSamples, system: System
) -> None:
    ours = save(tmp_path / "s.h5", samples, system)
    mdtraj.Trajectory(samples.x.numpy(), mdtraj.Topology.from_openmm(system.topology)).save(
        str(tmp_path / "mdtraj.h5")
    )
    with h5py.File(ours) as a, h5py.File(tmp_path / "mdtraj.h5") as b:
        for attribute in ("conventions", "conventionVersion"):
            assert a.attrs[attribute] == b.attrs[attribute]
        assert {"program", "programVersion", "title"} <= set(a.attrs)
        assert a["coordinates"].dtype == b["coordinates"].dtype
        assert a["coordinates"].attrs["units"] == b["coordinates"].attrs["units"]
        assert a["topology"].shape == b["topology"].shape == (1,)
        assert {a[name].dtype for name in ("u", "log_q", "log_w")} == {np.dtype("f8")}


def test_the_header_describes_the_samples(tmp_path: Path, samples: WeightedSamples, system: System) -> None:
    header = read_header(save(tmp_path / "s.h5", samples, system))
    assert (header.n_samples, header.n_atoms, header.system, header.temperature, header.seed) == (
        300,
        22,
        "alanine_dipeptide",
        310.0,
        7,
    )
    assert (header.n_energy_evaluations, header.version, header.fingerprint) == (
        384,
        __version__,
        system.fingerprint,
    )
    assert header.domain == system.domain.model_dump()
    assert header.basins == system.basins
    assert header.torsions == system.torsions


def test_the_header_knows_the_rotamers_and_older_files_have_none(tmp_path: Path) -> None:
    system = peptide("ace_phe_nme")
    path = tmp_path / "s.h5"
    with SamplesWriter(path, system, 300.0) as writer:
        writer.write(WeightedSamples.from_energies(system.positions[None], torch.zeros(1), torch.zeros(1)))
    header = read_header(path)
    assert header.torsions == system.torsions
    assert header.rotamers == system.rotamers
    assert {name: len(r.torsions) for name, r in header.rotamers.items()} == {"chi1": 1, "chi2": 2}
    assert read_topology(path) == mdtraj.Topology.from_openmm(system.topology)
    _edit(lambda f: f.attrs.pop("rotamers"))(path)
    assert read_header(path).rotamers == {}
    _edit(lambda f: f.pop("topology"))(path)
    with pytest.raises(ValueError, match="has no topology"):
        read_topology(path)
    assert len(read_samples(path)) == 1
    with pytest.raises(ValueError, match="read from a file without a topology"):
        read_samples(path).to_mdtraj()


def described(atom: Any) -> tuple[Any, ...]:
    residue = atom.residue
    return atom.name, atom.element, residue.name, residue.resSeq, residue.segment_id, residue.chain.chain_id


def test_topologies_are_read_as_mdtraj_reads_them(tmp_path: Path) -> None:
    for name in ("capped_ala3", "phe_pro_trp"):
        system, path = peptide(name), tmp_path / f"{name}.h5"
        with SamplesWriter(path, system, 300.0) as writer:
            writer.write(
                WeightedSamples.from_energies(system.positions[None], torch.zeros(1), torch.zeros(1))
            )
        ours, theirs = read_topology(path), mdtraj.load(str(path)).topology
        assert ours == theirs
        assert [described(a) for a in ours.atoms] == [described(a) for a in theirs.atoms]
        assert [(a.index, b.index) for a, b in ours.bonds] == [(a.index, b.index) for a, b in theirs.bonds]


def test_samples_read_back_know_their_basins(
    tmp_path: Path, samples: WeightedSamples, system: System
) -> None:
    again = read_samples(save(tmp_path / "s.h5", samples, system))
    assert again.free_energy_difference("C7eq", "alphaR") == samples.free_energy_difference("C7eq", "alphaR")
    assert again.free_energy_difference("C7eq", "alphaR").delta_f == pytest.approx(np.log(0.7 / 0.3), abs=0.4)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def _text(path: Path) -> None:
    path.write_text("not a samples file")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _edit(action):  # type: ignore[no-untyped-def]
    def spoil(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            action(file)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_truncate, "it is cut off"),
        (_text, "not an HDF5 file, or damaged"),
        (_empty, "cannot be read as a samples file"),
        (_folder, "is a folder"),
        (_edit(lambda f: f.pop("log_w")), "has no dataset 'log_w'"),
        (_edit(lambda f: f["u"].resize(10, axis=0)), r"got \(300, 22, 3\) and .*'u': \(10,\)"),
        (_edit(lambda f: f.attrs.pop("temperature")), "lacks a valid attribute.*temperature"),
        (_edit(lambda f: f.attrs.modify("basins", np.bytes_("[{"))), "lacks a valid attribute"),
        (_edit(lambda f: f.attrs.modify("torsions", np.bytes_("3"))), "lacks a valid attribute"),
        (_edit(lambda f: f.attrs.modify("rotamers", np.bytes_('{"chi1": {}}'))), "lacks a valid attribute"),
        (_edit(lambda f: f["topology"].write_direct(np.array([b'{"chains": []}']))), "or topology .*bonds"),
    ],
)
def test_bad_files_are_named_in_one_line(
    tmp_path: Path, samples: WeightedSamples, system: System, spoil, message: str
) -> None:  # type: ignore[no-untyped-def]
    path = save(tmp_path / "s.h5", samples, system)
    spoil(path)
    for read in (read_samples, read_header, read_log_weights, lambda p: list(iter_samples(p))):
        with pytest.raises(ValueError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="boltzgen sample"):
        read_samples(tmp_path / "s.h5")
    with pytest.raises(ValueError, match="at least one sample"):
        list(iter_samples(tmp_path / "s.h5", chunk=0))
