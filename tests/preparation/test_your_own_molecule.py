"""A user's folder serves every command wherever it has moved."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from boltzgen import cli
from boltzgen.samples.file import read_samples
from tests.helpers.runs import TINY

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in which training is a matter of seconds."""
    monkeypatch.setattr("boltzgen.training.run.Settings", lambda: TINY)
    monkeypatch.setattr("boltzgen.training.run_summary.MOST_DRAWS", 2048)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str) -> None:
    program, *arguments = shlex.split(line)
    assert program == "boltzgen"
    assert cli.main(arguments) == 0, line


@pytest.mark.slow
def test_a_run_finds_its_system_wherever_both_have_moved(
    small: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    glycine = DATA / "peptides" / "ace_gly_nme.pdb"
    run(
        f"boltzgen prepare {glycine} --forcefield amber99sbildn.xml --constraints HBonds -o "
        "work/systems/gly --temperature 500"
    )
    run("boltzgen train work/systems/gly -o work/runs/first --rounds 6")
    assert json.loads(Path("work/runs/first/summary.json").read_text())["system"] == str(
        small / "work/systems/gly"
    )
    run("boltzgen sample work/runs/first -n 500 -o a.h5")
    run("boltzgen analyze a.h5 -o report")
    run("boltzgen simulate work/systems/gly --method md -n 100 --interval 10 --walkers 2 -o md")
    run("boltzgen evaluate work/runs/first --reference md/reference.h5 -n 500")
    shutil.move("work", "elsewhere")
    run("boltzgen sample elsewhere/runs/first -n 500 -o b.h5")
    assert (read_samples("a.h5").x == read_samples("b.h5").x).all()
    # The run alone, with the system back where it was, and then nowhere.
    shutil.copytree("elsewhere/systems", "work/systems")
    shutil.move("elsewhere/runs/first", "alone")
    run("boltzgen sample alone -n 10")
    shutil.rmtree("work")
    capfd.readouterr()
    assert cli.main(["sample", "alone", "-n", "10"]) == 2
    err = capfd.readouterr().err
    assert f"lies neither at {small / 'work/systems/gly'} nor at" in err
    assert err.count("\n") == 1
    assert (
        cli.main(
            [
                "simulate",
                "elsewhere/systems/gly",
                "-o",
                "remd",
                "-n",
                "2",
                "--walkers",
                "2",
                "--interval",
                "1",
            ]
        )
        == 0
    )
    assert Path("remd/reference.h5").is_file()
