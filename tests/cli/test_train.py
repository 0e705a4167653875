"""`boltzgen train`: what it hands on to the training run, and its line of progress."""

import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from boltzgen.cli.train import _describe
from boltzgen.molecule.system import System
from boltzgen.training.process_group import TIMEOUT
from boltzgen.training.progress import Progress
from boltzgen.training.ranks import OtherRankError
from tests.helpers.command_line import call, refused

#: Of a run's summary what the command prints.
SUMMARY = {
    "system": "alanine_dipeptide",
    "system_name": "alanine_dipeptide",
    "temperature": 300.0,
    "seconds": 130.0,
    "n_energy_evaluations": 10**6,
    "n_validation": 1000,
    "effective_sample_size": 900.0,
    "sampling_efficiency": 0.9,
    "sampling_efficiency_blocks_low": 0.88,
    "sampling_efficiency_blocks_high": 0.91,
    "sampling_efficiency_clipped": 0.9,
    "largest_weight_share": 0.002,
    "psis_k_hat": 0.1,
    "log_z": -182.0,
    "log_z_error": 0.01,
    "fraction_outside_domain": 0.0,
    "settings": {"rounds": 140},
    "forward": {"flagged": False, "verdict": "passed", "reason": ""},
    "forward_ess": 0.85,
    "largest_log_w": 1.5,
}


def replace_training(monkeypatch: pytest.MonkeyPatch, train: Callable[..., Any]) -> None:
    import boltzgen.training

    fake = SimpleNamespace(train=train)
    monkeypatch.setitem(sys.modules, "boltzgen.training.run", fake)
    monkeypatch.setattr(boltzgen.training, "run", fake, raising=False)


def test_train_hands_everything_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def train(
        system: System, folder: Path, *, progress: Callable[[Progress], None], **options: Any
    ) -> dict[str, Any]:
        seen.update(system=system.name, folder=folder, **options)
        progress(Progress("placing walkers"))
        progress(Progress("energies", 0.2, 3, 12, 1.5, 0.4, 700.0, 10**6, 9.0))
        return SUMMARY | {
            "n_frames": 50,
            "frames_dropped": {"cis peptide bond": 2} if options["data"] else {},
        }

    replace_training(monkeypatch, train)
    code, out, _ = call(capfd, "train", "alanine_dipeptide", "-o", tmp_path / "r", "--seed", 3, "--resume")
    assert code == 0
    assert "90 % (88 to 91 % in tenths of the draws)" in out
    assert "found nothing: largest log w 1.5; forward ESS 85 %" in out
    assert f"boltzgen evaluate {tmp_path / 'r'} --forward" in out
    assert "\nrounds               140\n" in out
    assert "those of 1,000 draws; the minutes left no time for more" in " ".join(out.split())
    assert f"boltzgen sample {tmp_path / 'r'} -n 100000" in out
    nothing = {
        "data": None,
        "topology": None,
        "mixed": False,
        "objective": None,
        "rounds": None,
        "minutes": None,
        "learning_rate": None,
        "checkpoint": None,
    }
    assert seen == {
        "system": "alanine_dipeptide",
        "folder": tmp_path / "r",
        "seed": 3,
        "resume": True,
        "force": False,
        "device": "cpu",
        "timeout": TIMEOUT,
        **nothing,
    }
    _, _, err = call(
        capfd, "train", "alanine_dipeptide", "--data", "md.xtc", "--topology", "md.pdb", "--mixed"
    )
    assert (seen["data"], seen["topology"], seen["mixed"]) == (Path("md.xtc"), Path("md.pdb"), True)
    assert "2 of 50 frames were dropped as outside the domain: 2 cis peptide bond" in err
    call(capfd, "train", "alanine_dipeptide", "--rounds", "12")
    assert (seen["rounds"], seen["minutes"], seen["objective"]) == (12, None, None)
    call(capfd, "train", "alanine_dipeptide", "--minutes", "2.5")
    assert (seen["rounds"], seen["minutes"]) == (None, 2.5)
    call(capfd, "train", "alanine_dipeptide", "--learning-rate", "0.002")
    assert (seen["learning_rate"], seen["rounds"]) == (0.002, None)
    call(capfd, "train", "alanine_dipeptide", "--objective", "reverse_kl")
    assert seen["objective"] == "reverse_kl"
    call(capfd, "train", "alanine_dipeptide", "--from", "run")
    assert seen["checkpoint"] == Path("run")
    call(capfd, "train", "alanine_dipeptide")
    assert (seen["objective"], seen["rounds"], seen["minutes"]) == (None, None, None)
    assert seen["folder"] == Path("runs/alanine_dipeptide")
    assert seen["seed"] == 0
    assert seen["resume"] is False


def test_train_prints_one_json_object(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_training(monkeypatch, lambda *arguments, **options: SUMMARY)
    code, out, err = call(capfd, "train", "alanine_dipeptide", "-o", tmp_path, "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert json.loads(out) == SUMMARY | {"folder": str(tmp_path)}


def test_train_warns_of_weights_that_say_little_and_of_the_forward_test(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    poor: dict[str, Any] = {
        "sampling_efficiency": 0.013,
        "psis_k_hat": 0.93,
        "forward": {"flagged": True, "verdict": "failed", "reason": "holes"},
    }

    def train(*arguments: object, **options: object) -> dict[str, Any]:
        logging.getLogger("boltzgen.training.run").warning("simulations came to %s", "conformations")
        return SUMMARY | poor

    replace_training(monkeypatch, train)
    code, out, err = call(capfd, "train", "alanine_dipeptide", "-o", tmp_path)
    forward, low, tail = err.splitlines()
    assert code == 0
    assert forward == "warning: simulations came to conformations"
    assert low.startswith("warning: sampling efficiency is 1.3 %")
    assert tail.startswith("warning: PSIS k-hat is 0.93 > 0.7, bad")
    assert "failed (holes): largest log w" in " ".join(out.split())
    longer = f"boltzgen train alanine_dipeptide -o {tmp_path}_longer"
    assert f"train anew, for longer: {longer} --minutes 5" in low  # twice the time that it took
    draw = " ".join(out.split()).partition("not good enough to rely on yet; ")[2]
    assert draw.startswith(
        f"train anew, for longer: {longer} --minutes 5 draw from it all the same with: boltzgen"
    )
    given = ["--minutes", 3, "--seed", 2, "--data", "md.xtc", "--mixed"]
    again = f"{longer} --minutes 5 --data md.xtc --seed 2 --mixed"
    assert again in call(capfd, "train", "alanine_dipeptide", "-o", tmp_path, *given)[2]
    # Where few rounds fitted, the least that makes sense, and not twice as few.
    monkeypatch.setitem(poor, "settings", {"rounds": 1})
    said = call(capfd, "train", "alanine_dipeptide", "-o", tmp_path, "--minutes", 3)[2]
    assert f"{longer} --minutes 20\n" in said
    monkeypatch.setitem(poor, "sampling_efficiency", 0.9)
    monkeypatch.setitem(poor, "psis_k_hat", 0.1)
    out = call(capfd, "train", "alanine_dipeptide", "-o", tmp_path)[1]
    assert "not good enough to rely on yet; train anew, for longer:" in out  # by the forward test alone
    monkeypatch.setitem(poor, "forward", {"flagged": False, "verdict": "passed", "reason": ""})
    monkeypatch.setitem(poor, "sampling_efficiency_blocks_low", 0.23)
    assert "warning" not in call(capfd, "train", "alanine_dipeptide", "-o", tmp_path)[2].partition("\n")[2]
    monkeypatch.setitem(poor, "sampling_efficiency_blocks_low", 0.12)
    out, err = call(capfd, "train", "alanine_dipeptide", "-o", tmp_path)[1:]
    assert "is 12 % in one tenth of the draws and 91 % in another: a few draws decide it" in err
    assert "not good enough" in out
    monkeypatch.setitem(poor, "sampling_efficiency_blocks_low", 0.9)
    monkeypatch.setitem(poor, "forward_ess", 7.24e-9)
    monkeypatch.setitem(poor, "forward", {"flagged": False, "verdict": "passed", "reason": ""})
    out = call(capfd, "train", "alanine_dipeptide", "-o", tmp_path)[1]
    assert "forward ESS < 0.001 %" in " ".join(out.split()) and "not good enough" not in out


@pytest.mark.parametrize(
    ("before", "options", "writes", "advice"),
    [
        (False, [], True, "finished rounds are kept; go on with: boltzgen train"),
        (False, [], False, "nothing to resume: start the run again"),
        (True, ["--resume"], False, "finished rounds are kept"),
        (True, ["--force"], True, "finished rounds are kept"),
        (True, ["--force"], False, "no round was finished: the run that"),
    ],
)
def test_an_interrupted_run_says_how_to_go_on(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    before: bool,
    options: list[str],
    writes: bool,
    advice: str,
) -> None:
    state = tmp_path / "state.safetensors"
    if before:
        state.touch()
        os.utime(state, ns=(0, 0))

    def interrupt(*arguments: object, **options: object) -> None:
        if writes:
            state.write_text("of the new run")
        raise KeyboardInterrupt

    monkeypatch.setattr("boltzgen.training.run.train", interrupt)
    code, out, err = call(capfd, "train", "alanine_dipeptide", "-o", tmp_path, *options)
    assert (code, out) == (130, "")
    assert advice in err


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (
            Progress("finding the energy minimum and its Hessian"),
            "finding the energy minimum and its Hessian",
        ),
        (
            Progress("data", 0.1, 2, 8, 81.5, temperature=300.0),
            "data, round 2 of 8, loss 81.5",
        ),
        (
            Progress("energies", 0.1, 7, 140, 947796471447552.0, 0.4, 1200.0),
            "round 7 of 140, 1200 K, efficiency 40 %",
        ),
    ],
)
def test_a_line_of_progress(progress: Progress, line: str) -> None:
    assert _describe(progress) == line


def as_process(monkeypatch: pytest.MonkeyPatch, rank: int, size: int = 2) -> None:
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", str(size))


def test_of_several_processes_the_first_one_speaks(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    def train(*arguments: object, progress: Callable[[Progress], None] | None, **options: Any) -> object:
        told.append(progress)
        return SUMMARY

    replace_training(monkeypatch, train)
    as_process(monkeypatch, 0)
    code, out, _ = call(capfd, "train", "alanine_dipeptide", "-o", tmp_path, "--processes", 2)
    assert code == 0 and "sampling efficiency" in out and told.pop() is not None
    as_process(monkeypatch, 1)
    assert call(capfd, "train", "alanine_dipeptide", "-o", tmp_path, "--processes", 2) == (0, "", "")
    assert told == [None]


@pytest.mark.parametrize(("error", "code"), [(OtherRankError("x"), 1), (KeyboardInterrupt(), 130)])
def test_other_processes_leave_what_ends_all_to_the_first(
    error: BaseException,
    code: int,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def train(*arguments: object, **options: object) -> None:
        raise error

    replace_training(monkeypatch, train)
    as_process(monkeypatch, 1)
    assert call(capfd, "train", "alanine_dipeptide", "-o", tmp_path) == (code, "", "")


def test_a_number_of_processes_that_is_another(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_process(monkeypatch, 0, 4)
    output = call(capfd, "train", "alanine_dipeptide", "-o", tmp_path, "--processes", 2)
    refused(output, "this is one of 4 processes already; leave out --processes 2")


def test_processes_get_the_same_command_and_share_the_cores(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    class Launch:
        def __init__(self, config: Any, program: str) -> None:
            seen["n"], seen["program"] = config.nproc_per_node, program

        def __call__(self, *words: str) -> None:
            seen["words"], seen["threads"] = words, os.environ["OMP_NUM_THREADS"]

    monkeypatch.setattr("torch.distributed.launcher.api.elastic_launch", Launch)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    monkeypatch.setenv("OMP_NUM_THREADS", "x")  # to be as it was afterwards
    monkeypatch.delenv("OMP_NUM_THREADS")
    words = ["train", "alanine_dipeptide", "-o", str(tmp_path), "--processes", "3", "--rounds", "2"]
    assert call(capfd, *words) == (0, "", "")
    expected = {"n": 3, "program": sys.executable, "words": ("-m", "boltzgen", *words), "threads": "2"}
    assert seen == expected
    refused(call(capfd, "train", "nowhere", "--processes", 2), "nowhere")
