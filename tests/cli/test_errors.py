"""Input that commands refuse in one line, and interrupted commands."""

import json
from pathlib import Path

import pytest

from boltzgen.samples.file import read_header
from tests.helpers.command_line import FakeGenerator, call, refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "nonsense", "-n", "5"], "no system called 'nonsense'"),
        (["sample", "{run}"], "Missing option '-n'"),
        (["sample", "{run}", "-n", "0"], "Invalid value for '-n'"),
        (["sample", "{run}", "-n", "many"], "Invalid value for '-n'"),
        (["sample", "{run}", "-n", "5", "--seed", "-1"], "Invalid value for '--seed'"),
        (["sample", "{run}", "-n", "5", "--seed", str(10**30)], "Invalid value for '--seed'"),
        (["sample", "{run}", "-n", "5", "--temperature", "-5"], "positive number of kelvin"),
        (["sample", "{run}", "-n", "5", "--temperature", "inf"], "positive number of kelvin"),
        (["sample", "{run}", "-n", "5", "--temperature", "nan"], "positive number of kelvin"),
        (["sample", "{run}", "-n", "5", "--temperature", "true"], "Invalid value for '--temperature'"),
        (["sample", "{run}", "-n", "5", "--device", "abacus"], "use --device cpu"),
        (["sample", "{run}", "-n", "5", "--device", "meta"], "use --device cpu"),
        (["sample", "{run}", "-n", "5", "--device", "cuda:99"], "use --device cpu"),
        (["sample", "{run}", "-n", "5", "-o", "{tmp}/no/s.h5"], "does not exist"),
        (["sample", "{run}", "-n", "5", "-o", "{tmp}/s.dcd"], "ends in .h5"),
        (["sample", "{run}", "-n", "5", "--resume"], "--resume needs an --output"),
        (["sample", "{tmp}", "-n", "5"], "neither a run folder"),
        (["sample", "{halfway}", "-n", "5"], "--resume"),
        (["sample", "{broken}", "-n", "5"], "does not say which system"),
        (["train", "nonsense"], "no system called 'nonsense'"),
        (
            ["train", "alanine_dipeptide", "-o", "{tmp}/r", "--data", "{tmp}/none.xtc"],
            "no trajectory or topology at",
        ),
        (
            ["train", "alanine_dipeptide", "-o", "{tmp}/r", "--data", "{run}/summary.json"],
            "cannot be read as a trajectory of the 22 atoms",
        ),
        (
            [
                "train",
                "alanine_dipeptide",
                "-o",
                "{tmp}/r",
                "--data",
                "{good}",
                "--topology",
                "{tmp}/none.pdb",
            ],
            "no trajectory or topology at",
        ),
        (["train", "alanine_dipeptide", "-o", "{tmp}/r", "--mixed"], "--mixed, needs --data"),
        (["train", "alanine_dipeptide", "-o", "{tmp}/r", "--topology", "top.pdb"], "a --topology"),
        (
            ["train", "alanine_dipeptide", "-o", "{tmp}/r", "--resume", "--data", "{good}"],
            "goes on as it was started; leave out --data",
        ),
        (
            ["train", "alanine_dipeptide", "-o", "{tmp}/r", "--rounds", "2", "--minutes", "1"],
            "give one of them",
        ),
        (["train", "alanine_dipeptide", "-o", "{tmp}/r", "--from", "{tmp}/none"], "no checkpoint at"),
        (
            ["train", "alanine_dipeptide", "-o", "{tmp}/r", "--from", "{run}/summary.json"],
            "is not a whole boltzgen checkpoint",
        ),
        (
            ["train", "alanine_dipeptide", "-o", "{tmp}/r", "--from", "{run}", "--resume"],
            "leave out --from",
        ),
        (["train", "alanine_dipeptide", "-o", "{tmp}/r", "--rounds", "0"], "Invalid value for '--rounds'"),
        (["train", "alanine_dipeptide", "-o", "{tmp}/r", "--minutes", "-3"], "positive number of --minutes"),
        (["train", "alanine_dipeptide", "-o", "{tmp}/r", "--minutes", "inf"], "positive number of --minutes"),
        (
            ["train", "alanine_dipeptide", "-o", "{tmp}/r", "--learning-rate", "inf"],
            "positive --learning-rate",
        ),
        (
            ["train", "alanine_dipeptide", "-o", "{run}"],
            "holds checkpoint.safetensors, but no run to go on with",
        ),
        (["train", "alanine_dipeptide", "-o", "{system}"], "is the folder of a system"),
        (["train", "alanine_dipeptide", "-o", "{foreign}"], "holds metrics.jsonl, but no run to go on with"),
        (["train", "alanine_dipeptide", "-o", "{good}"], "is a file; choose another folder"),
        (["simulate", "alanine_dipeptide", "-o", "{system}"], "is the folder of a system"),
        (["simulate", "alanine_dipeptide", "-o", "{foreign}"], "holds simulation.json, but no simulation"),
        (
            ["simulate", "alanine_dipeptide", "-o", "{tmp}/r", "--platform", "Nope"],
            "--platform is for dynamics",
        ),
        (
            ["simulate", "alanine_dipeptide", "-o", "{tmp}/r", "--method", "md", "--platform", "Nope"],
            "no platform 'Nope' here",
        ),
        (["simulate", "alanine_dipeptide", "-o", "{tmp}/r", "--highest", "nan"], "positive number of kelvin"),
        (
            ["train", "alanine_dipeptide", "-o", "{tmp}/r", "--resume", "--minutes", "3"],
            "leave out --minutes",
        ),
        (
            ["train", "alanine_dipeptide", "-o", "{tmp}/r", "--data", "{good}", "--minutes", "3"],
            "or add --mixed",
        ),
        (["analyze", "{tmp}/none.h5", "-o", "{tmp}/out"], "no samples file at"),
        (["analyze", "{run}/summary.json", "-o", "{tmp}/out"], "not an HDF5 file"),
        (["analyze", "{good}", "-o", "{good}"], "File exists: "),
        (["evaluate", "{run}", "--reference", "{tmp}/none.h5"], "no reference file at"),
        (["evaluate", "{run}", "--reference", "{good}"], "not a whole reference file"),
        (["evaluate", "{run}", "-n", "5"], "Invalid value for '-n'"),
        (["export", "{good}", "{tmp}/out.txt"], ".dcd or .xtc or .pdb"),
        (["export", "{tmp}/none.h5", "{tmp}/out.dcd"], "no samples file at"),
        (["export", "{good}", "{tmp}/out.dcd", "--resample", "0"], "Invalid value for '--resample'"),
        (["dance"], "No such command 'dance'"),
        (["sample", "{run}", "-n", "5", "--fast"], "No such option"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    run_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    for name in ("halfway", "broken"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "checkpoint.safetensors").touch()
    for name, file in (
        ("system", "system.toml"),
        ("foreign", "metrics.jsonl"),
        ("foreign", "simulation.json"),
    ):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / file).write_text("mine")
    (tmp_path / "broken" / "summary.json").write_text("{}")
    names = {
        "run": run_folder,
        "tmp": tmp_path,
        "halfway": tmp_path / "halfway",
        "broken": tmp_path / "broken",
        "good": tmp_path / "good.h5",
        "system": tmp_path / "system",
        "foreign": tmp_path / "foreign",
    }
    call(capfd, "sample", run_folder, "-n", 5, "-o", tmp_path / "good.h5")
    code, out, err = call(capfd, *(a.format(**names) for a in arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("boltzgen: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("stop", "code", "message"),
    [(KeyboardInterrupt, 130, "interrupted"), (ValueError, 2, ""), (MemoryError, 2, "not enough memory")],
)
def test_an_interrupted_command_leaves_the_samples_it_has(
    run_folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    stop: type[BaseException],
    code: int,
    message: str,
) -> None:
    arguments = ("sample", run_folder, "-n", 2_000, "--json", "-o", run_folder / "s.h5")
    whole = json.loads(call(capfd, *arguments)[1])
    expected = (run_folder / "s.h5").read_bytes()
    (run_folder / "s.h5").unlink()
    monkeypatch.setattr(FakeGenerator, "stop", stop)
    for options, n in (((), 700), (("--resume",), 1400)):
        got, out, err = call(capfd, *arguments, *options)
        assert (got, out) == (code, "")
        note, said = err.splitlines()
        kept = f"{n} of 2000 samples are in {run_folder / 's.partial.h5'}"
        assert note == f"warning: {kept}; go on with the same command and --resume"
        assert message in said
        files = ["checkpoint.safetensors", "s.partial.h5", "summary.json"]
        assert sorted(p.name for p in run_folder.iterdir()) == files
        assert read_header(run_folder / "s.partial.h5").n_samples == n
    refused(
        call(capfd, *arguments), "s.partial.h5 holds 1400 samples of an interrupted run; go on with --resume"
    )
    monkeypatch.setattr(FakeGenerator, "stop", None)
    code, out, _ = call(capfd, *arguments, "--resume")
    assert code == 0
    found = json.loads(out)
    assert {k: v for k, v in found.items() if k != "seconds"} == pytest.approx(
        {k: v for k, v in whole.items() if k != "seconds"}
    )
    assert (run_folder / "s.h5").read_bytes() == expected
    assert sorted(p.name for p in run_folder.iterdir()) == ["checkpoint.safetensors", "s.h5", "summary.json"]
