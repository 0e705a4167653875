"""Errors in the words of the command line, the commands' registration, and how light the import is."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer

from boltzgen import cli
from boltzgen.cli.flags import WORD_BREAK, joined, with_flags

COMMANDS = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("command", "message", "expected"),
    [
        ("train", "leave out `rounds`", "leave out --rounds"),
        ("train", "begin with `checkpoint`", "begin with --from"),
        ("train", "add `resume=True`, or leave out `minutes`", "add --resume, or leave out --minutes"),
        ("train", "of `system`", "of SYSTEM"),
        ("sample", "of `source`", "of SYSTEM_OR_RUN"),
        ("sample", "more `n`", "more --n-samples"),
        ("simulate", "expected `method='md'`, got `frames=0`", "expected --method md, got --frames 0"),
        ("simulate", "one of `walkers=N`", "one of --walkers N"),
        (
            "prepare",
            "give `forcefield=['amber14-all.xml', 'implicit/obc2.xml']` or `system`",
            "give --forcefield amber14-all.xml --forcefield implicit/obc2.xml or --system",
        ),
        ("evaluate", "a simulation (`boltzgen.simulate`)", "a simulation (`boltzgen simulate`)"),
        # Code, other commands' parameters and single backticks stay.
        ("train", "see `System.load` and `boltzgen systems`", "see `System.load` and `boltzgen systems`"),
        ("export", "leave out `rounds`", "leave out `rounds`"),
        ("train", "a ` and `rounds", "a ` and `rounds"),
    ],
)
def test_arguments_become_flags_of_the_command(command: str, message: str, expected: str) -> None:
    assert with_flags(message, COMMANDS[command]) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("s.h5 --pair phi psi -o r", "s.h5 --pair phi_psi -o r"),
        ("--pair phi2 psi3 --pair phi3 psi2 s.h5", "--pair phi2_psi3 --pair phi3_psi2 s.h5"),
        ("--pair phi -o r", "--pair phi -o r"),
        ("--pair", "--pair"),
        ("--along phi psi", "--along phi psi"),
        ("-- --pair phi psi", "-- --pair phi psi"),
    ],
)
def test_words_of_one_value_are_put_together(words: str, expected: str) -> None:
    found = joined(words.split(), COMMANDS["analyze"])
    assert " ".join(found).replace(WORD_BREAK, "_") == expected


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("leave out\n  `resample=3`"), "boltzgen: leave out --resample 3\n"),
        (NotImplementedError("no `seed`"), "boltzgen: no --seed\n"),
        (FloatingPointError("`target`"), "boltzgen: OUT\n"),
        (FileExistsError("`file` is there"), "boltzgen: FILE is there\n"),
        (PermissionError(13, "Permission denied", "a.h5"), "boltzgen: Permission denied: a.h5\n"),
    ],
)
def test_main_prints_flags(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("boltzgen.samples.export.export", refuse)
    assert cli.main(["export", "a.h5", "a.dcd"]) == 2
    assert capsys.readouterr() == ("", line)


def test_each_file_is_a_command_and_each_command_a_file() -> None:
    files = {path.stem for path in Path(cli.__file__).parent.glob("*.py")}
    shared = {"__init__", "advice", "agreement", "cluster", "common", "drawing", "flags", "help"}
    assert (
        files - shared - {"process", "processes", "progress"}
        == set(cli.COMMANDS)
        == set(COMMANDS) - set(cli.GROUPS)
    )


@pytest.mark.parametrize("group", cli.GROUPS)
def test_each_file_of_a_group_is_a_command(group: str) -> None:
    package = import_module(f"boltzgen.cli.{group.replace('-', '_')}")
    files = {path.stem for path in Path(package.__file__ or "").parent.glob("*.py")}
    assert files - {"__init__", "common"} == set(package.COMMANDS) == set(COMMANDS[group].commands)


@pytest.mark.parametrize("script", ["import boltzgen.cli", "from boltzgen.cli import main; main(['--help'])"])
def test_help_imports_nothing_heavy(script: str) -> None:
    check = "import sys; print('HEAVY', *{heavy} & {{name.split('.')[0] for name in sys.modules}})"
    heavy = {"torch", "openmm", "mdtraj", "matplotlib", "numba", "pydantic", "h5py", "scipy", "numpy"}
    if "help" not in script:  # help is drawn with rich
        heavy.add("rich")
    done = subprocess.run(
        [sys.executable, "-c", f"{script}; {check.format(heavy=heavy)}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.rstrip().splitlines()[-1] == "HEAVY"


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "boltzgen", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("boltzgen ")
