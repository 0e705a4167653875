"""A whole run in miniature: files, summary, interruption, resumption, wrong folders."""

import dataclasses
import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from boltzgen.generator import CHECKPOINT, BoltzmannGenerator
from boltzgen.system import System
from boltzgen.train.checkpoint import METRICS, STATE
from boltzgen.train.progress import Progress
from boltzgen.train.run import SUMMARY, train
from boltzgen.train.settings import Settings

#: A run of six short rounds through every stage, with a hot flow from the first annealing round on.
TINY = Settings(
    warmup_rounds=2,
    warmup_steps=3,
    warmup_batch=64,
    round_samples=1024,
    hot_temperature=1000.0,
    keep=0.02,
    at_most=0.02,
    replay=2,
    anneal_steps=2,
    anneal_batch=64,
    final_rounds=2,
    final_steps=3,
    final_batch=64,
)


@pytest.fixture(autouse=True)
def small_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boltzgen.train.run._N_VALIDATION", 3000)


@pytest.fixture(scope="module")
def system() -> System:
    return System.load("alanine_dipeptide")


def timeless(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in (folder / METRICS).read_text().splitlines()]


class StopAt:
    """A progress callback that interrupts at the n-th call."""

    def __init__(self, n: int) -> None:
        self.left = n
        self.seen: list[Progress] = []

    def __call__(self, progress: Progress) -> None:
        self.seen.append(progress)
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(system: System, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("boltzgen.train.run._N_VALIDATION", 3000)
        return folder, train(system, folder, seed=5, settings=TINY)


def test_a_run_leaves_its_files_and_counts_everything(system: System, whole: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = whole
    assert json.loads((folder / SUMMARY).read_text()) == summary
    rounds = timeless(folder)
    assert [r["stage"] for r in rounds][:2] == ["warmup"] * 2
    assert rounds[-1]["stage"] == "final"
    assert rounds[-1]["temperature"] == system.temperature
    stages = Counter(r["stage"] for r in rounds)
    reference = rounds[0]["n_energy_evaluations"] - 3 * 64  # minimisation and Hessian, before the first round
    assert reference > 111
    assert rounds[-1]["n_energy_evaluations"] == reference + 2 * 3 * 64 + stages["anneal"] * 1024 + 2 * 3 * 64
    assert summary["n_energy_evaluations"] == rounds[-1]["n_energy_evaluations"] + 4096  # two whole blocks of validation draws
    for key in ("seconds", "sampling_efficiency", "log_z", "seed", "versions", "hardware"):
        assert key in summary
    assert BoltzmannGenerator.load(folder, system).temperature == system.temperature


@pytest.mark.parametrize("interrupted_at", [2, 5, 8, 11])
def test_interrupted_and_resumed_is_the_same_run(system: System, whole: tuple[Path, dict[str, Any]], tmp_path: Path, interrupted_at: int) -> None:
    """At any step: what the interrupted round had done is repeated from its start, the rest goes on."""
    folder = tmp_path / "run"
    stop = StopAt(interrupted_at)
    with pytest.raises(KeyboardInterrupt):
        train(system, folder, seed=5, settings=TINY, progress=stop)
    resume = (folder / STATE).exists()
    summary = train(system, folder, seed=5, settings=None if resume else TINY, resume=resume)
    assert timeless(folder) == timeless(whole[0])
    assert summary["sampling_efficiency"] == whole[1]["sampling_efficiency"]
    assert summary["n_energy_evaluations"] == whole[1]["n_energy_evaluations"]


KILLED = """
import json, os, signal, sys
from pathlib import Path
from boltzgen.system import System
from boltzgen.train.run import train
from boltzgen.train.settings import Settings
calls = 0
def kill(progress):
    global calls
    calls += 1
    if calls == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
train(System.load("alanine_dipeptide"), Path(sys.argv[1]), seed=5, settings=Settings.from_dict(json.loads(sys.argv[3])), progress=kill)
"""


def test_killed_outright_and_resumed_is_the_same_run(system: System, whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = subprocess.run([sys.executable, "-c", KILLED, folder, "10", json.dumps(TINY.as_dict())], check=False)
    assert done.returncode == -signal.SIGKILL
    assert 1 < len(timeless(folder)) < len(timeless(whole[0]))
    assert train(system, folder, resume=True)["sampling_efficiency"] == whole[1]["sampling_efficiency"]
    assert timeless(folder) == timeless(whole[0])


def test_progress_rises(system: System, tmp_path: Path) -> None:
    stop = StopAt(10)
    with pytest.raises(KeyboardInterrupt):
        train(system, tmp_path / "run", settings=TINY, progress=stop)
    fractions = [p.fraction for p in stop.seen]
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] < fractions[-1] <= 1
    assert [p.n_energy_evaluations for p in stop.seen] == sorted(p.n_energy_evaluations for p in stop.seen)


def test_a_finished_run_is_not_overwritten(system: System, whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="--resume"):
        train(system, whole[0])
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        train(system, tmp_path / "none", resume=True)


def test_two_seeds_differ(system: System, whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    train(system, tmp_path / "other", seed=6, settings=TINY)
    assert timeless(tmp_path / "other") != timeless(whole[0])


def test_unknown_settings_are_named() -> None:
    with pytest.raises(ValueError, match="learning_rte"):
        Settings.from_dict({"learning_rte": 1.0})


def test_the_folder_holds_what_is_needed_and_no_more(system: System, whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """Draws to be replayed as long as there is annealing, and none after."""
    assert (whole[0] / CHECKPOINT).is_file()
    assert not list(whole[0].glob("*.partial")) + list(whole[0].glob("round_*.safetensors"))
    assert torch.isfinite(torch.tensor(whole[1]["log_z"]))
    seen = StopAt(TINY.warmup_rounds * TINY.warmup_steps + 4 * TINY.anneal_steps + 1)
    with pytest.raises(KeyboardInterrupt):
        train(system, tmp_path / "run", settings=dataclasses.replace(TINY, keep=0.95), progress=seen)
    assert seen.seen[-1].stage == "anneal"
    assert len(list((tmp_path / "run").glob("round_*.safetensors"))) == TINY.replay


def test_a_resumed_run_keeps_its_settings(system: System, whole: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="leave out --preset"):
        train(system, whole[0], resume=True, settings=TINY)
