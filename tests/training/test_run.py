"""A whole run in miniature: files, summary, interruption, resumption, wrong folders."""

import itertools
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from boltzgen.generator.checkpoint import CHECKPOINT
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.locate import RUN, SUMMARY
from boltzgen.molecule.system import System
from boltzgen.training import checkpoint
from boltzgen.training.budget import Speed
from boltzgen.training.checkpoint import METRICS, STATE
from boltzgen.training.picture import PICTURE
from boltzgen.training.run import train
from boltzgen.training.schedule import annealed_temperature
from boltzgen.training.settings import Settings
from tests.helpers.runs import TINY, StopAt, timeless


@pytest.fixture(autouse=True)
def small_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boltzgen.training.run_summary.MOST_DRAWS", 3000)


@pytest.fixture(scope="module")
def whole(system: System, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("boltzgen.training.run_summary.MOST_DRAWS", 3000)
        return folder, train(system, folder, seed=5, settings=TINY)


def test_a_run_leaves_its_files_and_counts_everything(
    system: System, whole: tuple[Path, dict[str, Any]]
) -> None:
    folder, summary = whole
    assert json.loads((folder / SUMMARY).read_text()) == summary
    rounds = timeless(folder)
    assert {r["stage"] for r in rounds} == {"energies"}
    assert rounds[-1]["temperature"] == system.temperature
    # In each round, draws, and walkers' energies in three steps of up to eight. Before, minimisation, Hessian
    # and their descent.
    counts = [r["n_energy_evaluations"] for r in rounds]
    assert counts[0] > 111 + 16 * 101 + 3 * 64
    least, most = 3 * (64 + 3), 3 * (64 + 8 * 3 + 3)  # up to three draws a step become walkers
    assert all(least <= b - a <= most for a, b in itertools.pairwise(counts))
    for record in rounds:
        assert 1 / (3 * 64) <= record["sampling_efficiency"] * (1 + 1e-9) <= 1 + 1e-9
        assert {"loss", "log_z", "log_z_error", "skipped_steps", "fraction_outside_domain"} <= record.keys()
    forward = summary["forward"]
    # Two whole blocks of validation draws; one, 15 walkers, their moves and 7 descents in the forward test.
    of_test = forward["n_energy_evaluations"]
    assert summary["n_energy_evaluations"] == rounds[-1]["n_energy_evaluations"] + 4096 + of_test
    assert of_test >= 2048 + 15 + 15 * 20 * 10 + 7 * 301
    assert forward["unseen"] == min(1.0, sum(basin["share"] for basin in forward["basins"]))
    for key in ("seconds", "sampling_efficiency", "log_z", "seed", "versions", "hardware"):
        assert key in summary
    assert BoltzmannGenerator.load(folder, system).temperature == system.temperature


@pytest.mark.parametrize(
    "interrupted_at", [8, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 5, 17))]
)
def test_interrupted_and_resumed_is_the_same_run(
    system: System, whole: tuple[Path, dict[str, Any]], tmp_path: Path, interrupted_at: int
) -> None:
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
from boltzgen.molecule.system import System
from boltzgen.training.run import train
from boltzgen.training.settings import Settings
calls = 0
def kill(progress):
    global calls
    calls += 1
    if calls == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
settings = Settings.from_dict(json.loads(sys.argv[3]))
train(System.load("alanine_dipeptide"), Path(sys.argv[1]), seed=5, settings=settings, progress=kill)
"""


@pytest.mark.slow
def test_killed_outright_and_resumed_is_the_same_run(
    system: System, whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, folder, "10", json.dumps(TINY.as_dict())], check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert 1 < len(timeless(folder)) < len(timeless(whole[0]))
    assert train(system, folder, resume=True)["sampling_efficiency"] == whole[1]["sampling_efficiency"]
    assert timeless(folder) == timeless(whole[0])


def test_what_a_launch_starts_again_goes_on_with_its_own_run(
    system: System, whole: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same arguments, as torchrun gives them; the run of another launch is in the way as ever."""
    folder = tmp_path / "run"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "first")
    with pytest.raises(KeyboardInterrupt):
        train(system, folder, seed=5, settings=TINY, progress=StopAt(8))
    with pytest.raises(FileExistsError, match="already holds a training run"):
        train(system, folder, seed=5, settings=TINY)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "second")
    with pytest.raises(FileExistsError, match="already holds a training run"):
        train(system, folder, seed=5, settings=TINY)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "first")
    assert timeless(folder) == timeless(whole[0])[:2]
    with pytest.raises(KeyboardInterrupt):
        train(system, folder, seed=5, settings=TINY, progress=StopAt(4))
    assert timeless(folder) == timeless(whole[0])[:3]


def test_progress_rises(system: System, tmp_path: Path) -> None:
    stop = StopAt(10)
    with pytest.raises(KeyboardInterrupt):
        train(system, tmp_path / "run", settings=TINY, progress=stop)
    fractions = [p.fraction for p in stop.seen]
    assert fractions == sorted(fractions)
    # The energies and gradients of 64 draws in a step; half of that for each of 3000 draws at the end.
    assert fractions[-1] == pytest.approx(10 * 128 / (18 * 128 + 1500))
    assert [(p.round, p.n_rounds) for p in stop.seen[::3]] == [(1, 6), (2, 6), (3, 6), (4, 6)]
    assert [p.stage for p in stop.told if p.round is None] == [
        "finding the energy minimum and its Hessian",
        "placing walkers",
    ]
    assert [p.n_energy_evaluations for p in stop.seen] == sorted(p.n_energy_evaluations for p in stop.seen)


def test_a_finished_run_is_not_overwritten(
    system: System, whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(FileExistsError, match="`resume`"):
        train(system, whole[0])
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        train(system, tmp_path / "none", resume=True)
    with pytest.raises(ValueError, match="give one of them"):
        train(system, whole[0], resume=True, force=True)


def test_a_run_is_replaced_by_the_first_round_of_the_next(
    system: System, whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """Until then it is as it was, whatever happens; then nothing of it is left."""
    folder = tmp_path / "run"
    shutil.copytree(whole[0], folder)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    settings = replace(TINY, rounds=2)
    with pytest.raises(KeyboardInterrupt):
        train(system, folder, settings=settings, force=True, progress=StopAt(3))
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    with pytest.raises(KeyboardInterrupt):
        train(system, folder, settings=settings, force=True, progress=StopAt(4))
    assert {p.name for p in folder.iterdir()} == {CHECKPOINT, STATE, METRICS, RUN, PICTURE}
    assert len(timeless(folder)) == 1
    generator = BoltzmannGenerator.load(folder, unfinished=True)
    assert generator.temperature == pytest.approx(timeless(folder)[0]["temperature"])
    with pytest.raises(ValueError, match="`unfinished=True`"):
        BoltzmannGenerator.load(folder)
    train(system, folder, resume=True)
    assert len(timeless(folder)) == 2
    assert BoltzmannGenerator.load(folder).temperature == system.temperature


def test_two_seeds_differ(system: System, whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(system, tmp_path / "other", seed=6, settings=TINY, progress=StopAt(4))
    (first,) = timeless(tmp_path / "other")
    assert first != timeless(whole[0])[0]


def test_unknown_settings_are_named(
    system: System, whole: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of a run that another version started, whose generator can be trained on."""
    with pytest.raises(ValueError, match="learning_rte"):
        Settings.from_dict({"learning_rte": 1.0})
    run = shutil.copytree(whole[0], tmp_path / "run")
    read = checkpoint.read_tensors
    monkeypatch.setattr(
        checkpoint,
        "read_tensors",
        lambda path: ((found := read(path))[0] | {"settings": {"warmup_rounds": 3}}, found[1]),
    )
    with pytest.raises(
        ValueError,
        match=r"started by another version \(unknown training settings \['warmup_rounds'\].*`checkpoint`",
    ):
        train(system, run, resume=True)


def test_the_folder_holds_what_is_needed_and_no_more(whole: tuple[Path, dict[str, Any]]) -> None:
    assert {p.name for p in whole[0].iterdir()} == {CHECKPOINT, STATE, METRICS, PICTURE, RUN, SUMMARY}
    assert torch.isfinite(torch.tensor(whole[1]["log_z"]))


def test_a_resumed_run_keeps_its_settings(system: System, whole: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="leave out `settings`"):
        train(system, whole[0], resume=True, settings=TINY)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"minutes": 0.0}, "positive number of `minutes`, got 0.0"),
        ({"minutes": float("nan")}, "positive number of `minutes`"),
        ({"minutes": 1.0, "resume": True}, "leave out `minutes`"),
        ({"minutes": 1.0, "data": "md.xtc"}, "leave out `minutes`, or add `mixed`"),
        ({"learning_rate": 1e-3, "data": "md.xtc"}, "leave out `learning_rate`, or add `mixed`"),
        ({"learning_rate": 0.0}, "expected a positive `learning_rate`, got 0.0"),
        ({"settings": Settings(objective="gan")}, "no `objective` called 'gan'"),
    ],
)
def test_minutes_that_make_no_sense(
    system: System, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(system, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_minutes_become_rounds_of_the_run(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Counted out with the time that preparation took off, and anew after the first; the run's own settings
    hold them, also when it goes on. A run of few rounds is told of beforehand.
    """
    asked = {}
    counted: list[tuple[int, int]] = []

    def anew(speed: Speed, done: int, planned: int, **options: Any) -> int:
        assert options["took"] < 100.0 and 400.0 < options["left"] < 600.0
        counted.append((done, planned))
        return 4

    def slow(generator: BoltzmannGenerator, energy: Any, settings: Settings, **options: Any) -> Speed:
        asked.update(settings=settings, **options)
        return Speed(start=0.0, round=200.0, draw=1e-5)

    monkeypatch.setattr("boltzgen.training.run.measured_speed", slow)
    monkeypatch.setattr(Speed, "rounds_after", anew)
    monkeypatch.setattr("boltzgen.training.run.LEAST_ROUNDS", 4)
    with pytest.raises(KeyboardInterrupt):
        train(system, tmp_path, settings=TINY, minutes=10, progress=StopAt(5))
    sized = TINY.for_size(60)  # with the learning rate of so many coordinates
    assert asked.pop("ranks").size == 1
    assert asked == {"settings": sized, "data": False}
    assert "10 minutes are 2 rounds on this machine" in caplog.text
    assert "4 rounds fit after all" in caplog.text  # the warning is taken back
    summary = train(system, tmp_path, resume=True)
    assert counted == [(1, 2)]
    assert summary["settings"] == sized.as_dict() | {"rounds": 4}
    records = timeless(tmp_path)
    assert len(records) == 4
    # The annealing is stretched to as many rounds, from the second one on.
    for k, rounds in enumerate((2, 4, 4, 4)):
        falling = annealed_temperature(
            TINY.start_temperature, system.temperature, TINY.annealing * rounds * TINY.steps
        )
        assert records[k]["temperature"] == pytest.approx(falling((k + 1) * TINY.steps - 1))
    train(system, tmp_path / "whole", settings=TINY, minutes=10)
    assert timeless(tmp_path / "whole") == records
    assert summary["n_validation"] == 3000


@pytest.mark.parametrize(("draw", "draws"), [(1e9, 1000), (1e-9, 3000), (0.02, 2000)])
def test_the_summary_fits_into_the_minutes_that_are_left(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, draw: float, draws: int
) -> None:
    """Fewer draws, and fewer simulations of the forward test, however long the rounds took."""
    monkeypatch.setattr("boltzgen.training.budget.LEAST_DRAWS", 1000)
    monkeypatch.setattr("boltzgen.training.run_summary.time", SimpleNamespace(perf_counter=lambda: 0.0))
    monkeypatch.setattr("boltzgen.training.run.time", SimpleNamespace(perf_counter=lambda: -20.0))
    monkeypatch.setattr("boltzgen.training.run.measured_speed", lambda *a, **_: Speed(0.0, 100.0, 1.0))
    monkeypatch.setattr(Speed, "rounds_after", lambda speed, done, planned, **_: planned)
    monkeypatch.setattr("boltzgen.training.run_summary.summary_draw_seconds", lambda *a: draw)
    summary = train(system, tmp_path, settings=TINY, minutes=1)
    assert (summary["n_validation"], summary["forward"]["n_walkers"]) == (draws, draws // 200)


def test_a_run_goes_on_from_a_trained_generator(
    system: System, whole: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the target from the first step on, with walkers cooled to it, at a fifth of the rate; interrupted,
    it goes on as the same run.
    """
    before = BoltzmannGenerator.load(whole[0], system)
    monkeypatch.setattr("boltzgen.training.walkers.N_ANNEALING", 2)
    settings = Settings(rounds=2, steps=3, batch=64, walkers=16, learning_rate=1e-9)
    for name, stop in (("straight", 10**6), ("stopped", 5)):
        try:
            train(
                system, tmp_path / name, settings=settings, checkpoint=whole[0], seed=7, progress=StopAt(stop)
            )
        except KeyboardInterrupt:
            train(system, tmp_path / name, resume=True)
    rounds = timeless(tmp_path / "straight")
    assert rounds == timeless(tmp_path / "stopped")
    assert [r["temperature"] for r in rounds] == [system.temperature] * 2
    least, most = 3 * (64 + 3), 3 * (64 + 8 * 3 + 3)
    assert least <= rounds[1]["n_energy_evaluations"] - rounds[0]["n_energy_evaluations"] <= most
    assert rounds[0]["n_energy_evaluations"] > least + 16 * (101 + 2 * 3)
    assert json.loads((tmp_path / "straight" / SUMMARY).read_text())["settings"][
        "learning_rate"
    ] == pytest.approx(2e-10)
    after = BoltzmannGenerator.load(tmp_path / "straight", system)
    assert (after.seed, before.seed) == (7, 5)
    assert all(
        torch.allclose(a, b, atol=1e-6) for a, b in zip(before.parameters(), after.parameters(), strict=True)
    )  # the rate was next to none
    with pytest.raises(ValueError, match="leave out resampled"):
        train(system, tmp_path / "other", checkpoint=whole[0], resampled=False)
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        train(system, tmp_path / "other", checkpoint=tmp_path)
    assert not (tmp_path / "other").exists()
