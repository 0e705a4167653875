"""Folders that a run may not take, runs that are written by two, and states that are damaged."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from boltzgen.generator.checkpoint import CHECKPOINT
from boltzgen.generator.locate import SUMMARY
from boltzgen.locks import locked
from boltzgen.molecule.system import System
from boltzgen.storage import read_tensors, write_tensors
from boltzgen.training.checkpoint import METRICS, STATE
from boltzgen.training.data import DATA
from boltzgen.training.run import train
from boltzgen.training.settings import Settings
from tests.helpers.runs import StopAt

#: Two short rounds.
SETTINGS = Settings(rounds=3, steps=2, batch=64, walkers=16)


@pytest.fixture(scope="module")
def halfway(system: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was interrupted in its second round."""
    folder = tmp_path_factory.mktemp("runs") / "halfway"
    with pytest.raises(KeyboardInterrupt):
        train(system, folder, settings=SETTINGS, progress=StopAt(3))
    return folder


@pytest.mark.parametrize("name", [CHECKPOINT, METRICS, SUMMARY, DATA, "system.toml"])
def test_what_is_not_a_runs_is_not_replaced(system: System, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=name if name != "system.toml" else "the folder of a system"):
        train(system, tmp_path, settings=SETTINGS)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {name: "mine"}


def test_data_of_a_run_without_a_round_are_replaced(system: System, tmp_path: Path) -> None:
    write_tensors(tmp_path / DATA, {"source": "a", "n_read": 1, "dropped": {}}, {"y": torch.ones(1)})
    with pytest.raises(KeyboardInterrupt):
        train(system, tmp_path, settings=SETTINGS, progress=StopAt(3))
    assert not (tmp_path / DATA).exists()


@pytest.mark.parametrize("resume", [False, True])
def test_two_do_not_write_into_one_folder(
    system: System, halfway: Path, tmp_path: Path, *, resume: bool
) -> None:
    folder = shutil.copytree(halfway, tmp_path / "run") if resume else tmp_path
    before = {p.name for p in folder.iterdir()}
    with locked(folder), pytest.raises(BlockingIOError, match=f"written by process {os.getpid()}; wait"):
        train(system, folder, settings=None if resume else SETTINGS, resume=resume)
    assert {p.name for p in folder.iterdir()} == before


def test_what_killed_runs_left_is_removed(system: System, tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    child.wait()
    (tmp_path / f".{STATE}.{child.pid}.part").write_bytes(b"half")
    with pytest.raises(KeyboardInterrupt):
        train(system, tmp_path, settings=SETTINGS, progress=StopAt(1))
    assert list(tmp_path.iterdir()) == []


def changed(change: Callable[[dict[str, Any], dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    """A change of the state's metadata and tensors, written with the checksum that belongs to it."""

    def apply(folder: Path) -> None:
        metadata, tensors = read_tensors(folder / STATE)
        change(metadata, tensors)
        write_tensors(folder / STATE, metadata, tensors)

    return apply


def put(**values: Any) -> Callable[[Path], None]:
    return changed(lambda metadata, tensors: metadata.update(values))


def reshape(prefix: str) -> Callable[[Path], None]:
    def change(metadata: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        name = next(n for n in tensors if n.startswith(prefix) and tensors[n].dim() > 0)
        tensors[name] = tensors[name][:-1]

    return changed(change)


def drop(prefix: str) -> Callable[[Path], None]:
    return changed(lambda metadata, tensors: tensors.pop(next(n for n in tensors if n.startswith(prefix))))


def with_settled(damage: Callable[[Path], None]) -> Callable[[Path], None]:
    """Damage to a state that holds an earlier round to go back to as well."""

    def add(metadata: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        metadata["settled"] = {"round_index": 1, "norms": metadata["norms"]}
        tensors |= {f"settled.{name}": v.clone() for name, v in tensors.items() if "objective." not in name}

    def apply(folder: Path) -> None:
        changed(add)(folder)
        damage(folder)

    return apply


def cut(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-9])  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (put(seed="one"), "seed"),
        (put(stage=7), "at most 1 stages, got 7"),
        (put(stage=-1), "stage"),
        (put(stage_round=9), "metrics of"),
        (put(round_index=5), "metrics of"),
        (put(seconds=float("nan")), "seconds"),
        (put(temperature=float("inf")), "positive number of kelvin"),
        (put(temperature=[300.0]), "temperature"),
        (put(n_energy_evaluations=-1), "n_energy_evaluations"),
        (put(metrics="none"), "metrics"),
        (put(norms={"leading": "large"}), "norms.leading"),
        (put(settings={"rounds": "three"}), "expected as `rounds` a whole number from 0, got 'three'"),
        (put(settings={"learning_rate": float("nan")}), "expected as `learning_rate` a number from 0"),
        (put(settings={"objective": "gan"}), "no `objective` called 'gan'"),
        (put(settings=3), "settings"),
        (put(fingerprint="another"), "belongs to another system"),
        (changed(lambda metadata, tensors: metadata.pop("norms")), "norms"),
        (drop("flow."), "is damaged"),
        (drop("average."), "is damaged"),
        (drop("objective."), "is damaged"),
        (reshape("flow."), "is damaged"),
        (reshape("average."), "is damaged"),
        (reshape("objective.walkers.x"), "is damaged"),
        (reshape("objective.walkers.priority"), "is damaged"),
        (reshape("objective.annealing"), "is damaged"),
        (reshape("optimizer.muon"), "is damaged"),
        (reshape("optimizer.adam"), "is damaged"),
        (with_settled(drop("settled.flow.")), "is damaged"),
        (with_settled(drop("settled.average.")), "is damaged"),
        (with_settled(reshape("settled.flow.")), "is damaged"),
        (with_settled(reshape("settled.average.")), "is damaged"),
        (with_settled(reshape("settled.optimizer.muon")), "is damaged"),
        (with_settled(reshape("settled.optimizer.adam")), "is damaged"),
        (cut(STATE), "not a whole boltzgen checkpoint"),
        (cut(CHECKPOINT), "not a whole boltzgen checkpoint"),
    ],
)
def test_damaged_states_are_refused(
    system: System, halfway: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    folder = shutil.copytree(halfway, tmp_path / "run")
    damage(folder)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(ValueError, match=message):
        train(system, folder, resume=True)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_no_changed_byte_of_a_state_is_resumed_from(halfway: Path, tmp_path: Path) -> None:
    whole, draws = (halfway / STATE).read_bytes(), random.Random(1)
    header = 8 + int.from_bytes(whole[:8], "little")
    for k in range(40):
        changed = bytearray(whole)
        changed[draws.randrange(header) if k % 2 else draws.randrange(len(whole))] ^= 1 << draws.randrange(8)
        (tmp_path / STATE).write_bytes(changed)
        with pytest.raises(ValueError, match="not a whole boltzgen checkpoint"):
            read_tensors(tmp_path / STATE)


def test_metrics_are_those_of_the_state(halfway: Path) -> None:
    """So that a resumed run finds them where they were; the file of them is for people."""
    lines = (halfway / METRICS).read_text().splitlines()
    assert [json.loads(line) for line in lines] == read_tensors(halfway / STATE)[0]["metrics"]
