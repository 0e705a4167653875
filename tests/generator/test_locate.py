"""Trained generators are found by a system's name, its folder or a run's folder."""

import json
from pathlib import Path

import pytest

from boltzgen.generator.checkpoint import CHECKPOINT
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.locate import locate
from boltzgen.locks import working_folder
from boltzgen.molecule.shipped import shipped_systems
from boltzgen.molecule.system import System

SHIPPED = shipped_systems()["alanine_dipeptide"]


def copied(folder: Path, *files: str) -> Path:
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).write_bytes((SHIPPED / file).read_bytes())
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of the shipped system."""
    folder = copied(tmp_path / "run", CHECKPOINT)
    (folder / "summary.json").write_text(json.dumps({"system": "alanine_dipeptide"}))
    return folder


def test_by_name_folder_and_run(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = copied(tmp_path / "own", "system.toml", "topology.pdb", CHECKPOINT)
    for source, folder in (("alanine_dipeptide", SHIPPED), (own, own), (str(run), run)):
        system, found = locate(source)
        assert (system.name, found) == ("alanine_dipeptide", folder)
        generator = BoltzmannGenerator.load(source)
        assert generator.temperature == 300.0
        assert generator.system.fingerprint == system.fingerprint
    monkeypatch.chdir(tmp_path)
    assert BoltzmannGenerator.load("run").system.folder == SHIPPED
    file = run / CHECKPOINT
    assert BoltzmannGenerator.load(file, System.load("alanine_dipeptide")).temperature == 300.0
    with pytest.raises(ValueError, match="`system` too"):
        BoltzmannGenerator.load(file)


def test_the_system_of_a_run_may_move_with_it(run: Path, tmp_path: Path) -> None:
    own = copied(tmp_path / "own", "system.toml", "topology.pdb")
    told = {"system": str(own), "system_from_run": "../own"}
    (run / "summary.json").write_text(json.dumps(told))
    assert locate(run)[0].folder == own
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    own.rename(elsewhere / "own")
    with pytest.raises(FileNotFoundError, match="move its folder back"):
        locate(run)
    moved = run.rename(elsewhere / "run")
    system, folder = locate(moved)
    assert system.folder is not None
    assert (system.folder.resolve(), folder) == (elsewhere / "own", moved)


@pytest.mark.parametrize("told", [True, False])
def test_a_run_that_has_not_ended_is_taken_when_asked(told: bool, run: Path, tmp_path: Path) -> None:
    """By what it says of its system or, begun by an earlier version, by a shipped one's name."""
    (run / "summary.json").unlink()
    if told:
        own = copied(tmp_path / "own", "system.toml", "topology.pdb")
        (run / "run.json").write_text(json.dumps({"system": str(own), "system_from_run": "../own"}))
    with pytest.raises(ValueError, match="`unfinished=True`.*boltzgen train SYSTEM -o .* --resume"):
        locate(run)
    system, folder = locate(run, unfinished=True)
    assert (system.folder, folder) == (own if told else SHIPPED, run)
    assert BoltzmannGenerator.load(run, unfinished=True).temperature == 300.0
    assert locate("alanine_dipeptide", unfinished=True)[1] == SHIPPED


@pytest.mark.parametrize("unfinished", [False, True])
def test_a_training_in_its_first_round_is_said_to_have_none(unfinished: bool, tmp_path: Path) -> None:
    with (
        working_folder(tmp_path / "begun"),
        pytest.raises(FileNotFoundError, match="finished no round yet.*`unfinished=True`"),
    ):
        locate(tmp_path / "begun", unfinished=unfinished)


def test_what_cannot_be_found(run: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no system called 'nonsense'"):
        BoltzmannGenerator.load("nonsense")
    with pytest.raises(FileNotFoundError, match="neither a run folder"):
        BoltzmannGenerator.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="alanine_tripeptide has no trained checkpoint"):
        BoltzmannGenerator.load("alanine_tripeptide")
    (run / "summary.json").write_text("{}")
    with pytest.raises(ValueError, match="does not say which system"):
        BoltzmannGenerator.load(run)
    (run / "summary.json").unlink()
    with pytest.raises(ValueError, match="its training has not ended"):
        BoltzmannGenerator.load(run)
    assert BoltzmannGenerator.load(run, System.load("alanine_dipeptide")).temperature == 300.0
