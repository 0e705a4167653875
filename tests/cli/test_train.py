"""`boltzgen train`: what it hands on to the training run, and its line of progress."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from boltzgen.cli.train import _describe
from boltzgen.molecule.system import System
from tests.helpers.command_line import call


def test_train_hands_everything_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def train(
        system: System, folder: Path, *, seed: int, resume: bool, device: str, progress, **data
    ) -> dict[str, object]:  # type: ignore[no-untyped-def]
        seen.update(system=system.name, folder=folder, seed=seed, resume=resume, device=device, **data)
        progress(
            SimpleNamespace(
                stage="energies",
                fraction=0.2,
                loss=1.5,
                efficiency=0.4,
                temperature=700.0,
                n_energy_evaluations=10**6,
                seconds=9.0,
                seconds_left=61.0,
            )
        )
        return {
            "sampling_efficiency": 0.9,
            "system": system.name,
            "n_frames": 50,
            "frames_dropped": {"cis peptide bond": 2} if data["data"] else {},
        }

    import boltzgen.training

    fake = SimpleNamespace(train=train)
    monkeypatch.setitem(sys.modules, "boltzgen.training.run", fake)
    monkeypatch.setattr(boltzgen.training, "run", fake, raising=False)
    code, out, _ = call(capfd, "train", "alanine_dipeptide", "-o", tmp_path / "r", "--seed", 3, "--resume")
    assert code == 0
    assert "0.9" in out
    assert str(tmp_path / "r") in out
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
        "device": "cpu",
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


@pytest.mark.parametrize(
    ("finished", "advice"),
    [(True, "--resume"), (False, "nothing to resume: start the run again")],
)
def test_an_interrupted_run_says_how_to_go_on(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    finished: bool,
    advice: str,
) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        if finished:
            (tmp_path / "state.safetensors").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("boltzgen.training.run.train", interrupt)
    code, out, err = call(capfd, "train", "alanine_dipeptide", "-o", tmp_path)
    assert (code, out) == (130, "")
    assert advice in err


def test_progress_names_no_efficiency_where_nothing_is_drawn() -> None:
    state = {
        "stage": "data",
        "loss": 81.5,
        "temperature": 300.0,
        "n_energy_evaluations": 1000,
        "seconds_left": 61.0,
    }
    line = _describe(SimpleNamespace(efficiency=float("nan"), **state))  # type: ignore[arg-type]
    assert line == "data  300 K  loss 81.500  1.00e+03 energies  1:01 left"
    assert "efficiency 40.0 %" in _describe(SimpleNamespace(efficiency=0.4, **state))  # type: ignore[arg-type]
