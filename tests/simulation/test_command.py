"""The command `simulate`: what it writes, and what it says of mistakes and of Ctrl-C."""

import shutil
from pathlib import Path

import mdtraj
import pytest
import torch

from boltzgen.cli import main
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.molecule.system import System
from boltzgen.simulation.trajectory import check_trajectory


@pytest.mark.parametrize("suffix", [".h5", ".xtc", ".dcd"])
def test_command_line(
    alanine: System, small: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(small, tmp_path / "run")
    out = tmp_path / f"frames{suffix}"
    assert (
        main(
            [
                "simulate",
                "alanine_dipeptide",
                "-o",
                str(tmp_path / "run"),
                "-n",
                "6",
                "--resume",
                "-t",
                str(out),
            ]
        )
        == 0
    )
    text = capsys.readouterr().out
    assert "C7eq" in text and "reference" in text
    topology = mdtraj.Topology.from_openmm(alanine.topology)
    trajectory = mdtraj.load(out) if suffix == ".h5" else mdtraj.load(out, top=topology)
    assert trajectory.xyz.shape == (48, 22, 3)
    coordinates = MolecularCoordinates(alanine)
    assert (
        coordinates.in_domain(coordinates.inverse(torch.from_numpy(trajectory.xyz).double())[0])
        .double()
        .mean()
        > 0.95
    )
    assert (tmp_path / "run" / "reference.h5").is_file()
    assert (tmp_path / "run" / "simulation.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["simulate", "no_such_system"], "no system called"),
        (["simulate", "alanine_dipeptide", "--method", "magic"], "'magic' is not one of"),
        (["simulate", "alanine_dipeptide", "--resume"], "start it without --resume"),
        (["simulate", "alanine_dipeptide", "--resume", "--highest", "400"], "leave out --highest"),
        (["simulate", "alanine_dipeptide", "--highest", "200"], "lowest <= highest"),
        (["simulate", "alanine_dipeptide", "-t", "frames.xyz"], "ends in"),
    ],
)
def test_wrong_command_lines(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "-o", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_ctrl_c_says_how_to_go_on_only_where_there_is_something_to_go_on_with(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: object, **keywords: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("boltzgen.simulation.run.simulate", interrupted)
    assert main(["simulate", "alanine_dipeptide", "-o", str(small), "-n", "6", "--resume"]) == 130
    again = f"boltzgen simulate alanine_dipeptide --method remd -o {small} -n 6 --resume"
    assert f"what was recorded is kept; go on with: {again}\n" in capsys.readouterr().err
    assert main(["simulate", "alanine_dipeptide", "-o", str(small), "-n", "6", "--force"]) == 130
    assert f"the simulation that {small} held is as it was" in capsys.readouterr().err
    assert main(["simulate", "alanine_dipeptide", "-o", str(tmp_path / "new")]) == 130
    assert "nothing was recorded yet, so there is nothing to resume" in capsys.readouterr().err


def test_a_trajectory_is_not_replaced_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.h5").touch()
    arguments = ["simulate", "alanine_dipeptide", "-o", str(tmp_path / "run"), "-t", str(tmp_path / "a.h5")]
    assert main(arguments) == 2
    assert "a.h5 exists already; add --force" in capsys.readouterr().err
    # With --resume it is that of the simulation that goes on; here there is none.
    assert main([*arguments, "--resume"]) == 2
    assert "nothing to resume" in capsys.readouterr().err


def test_trajectory_may_lie_in_the_folder_that_the_simulation_makes(tmp_path: Path) -> None:
    check_trajectory(tmp_path / "new" / "frames.h5", tmp_path / "new")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        check_trajectory(tmp_path / "other" / "frames.h5", tmp_path / "new")
