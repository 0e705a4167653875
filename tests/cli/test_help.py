"""What the command line says of itself: help, examples, completion, and the systems that ship."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import typer

from boltzgen import __version__, cli
from boltzgen.analysis.output import FORMATS
from boltzgen.cli.analyze import Format, Units
from boltzgen.cli.common import Measure
from boltzgen.cli.help import described
from boltzgen.cli.prepare import Constraints, Solvent
from boltzgen.cli.simulate import Method
from boltzgen.molecule.shipped import shipped_systems
from boltzgen.preparation import sources
from boltzgen.samples.measure import MEASURES
from boltzgen.simulation import plan
from boltzgen.training.names import ObjectiveName
from boltzgen.training.objectives import OBJECTIVES
from boltzgen.units import ENERGY_UNITS
from tests.helpers.command_line import call

ROOT = Path(__file__).parents[2]
GROUPS = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
#: By its words: ``"analyze"``, ``"free-energy states"``.
COMMANDS = {
    " ".join(words): command
    for name, group in GROUPS.items()
    for words, command in (
        (((name, inner), command) for inner, command in group.commands.items())
        if name in cli.GROUPS
        else [((name,), group)]
    )
}
DOCUMENTS = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("systems/*/README.md")),
]


def examples() -> Iterator[tuple[str, str]]:
    """Command lines and where they stand: in the help, and in blocks of documents."""
    for name, command in COMMANDS.items():
        for line in described(command)[1]:
            yield line, f"{name} -h"
    for path in DOCUMENTS:
        for block in re.findall(r"```bash\n(.*?)```", path.read_text(), re.DOTALL):
            for line in re.findall(r"^ *(boltzgen [a-z].*)", block, re.MULTILINE):
                yield line, path.relative_to(ROOT).as_posix()


def test_help_version_and_systems(capfd: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["-h"], ["--help"]):
        code, out, err = call(capfd, *arguments)
        assert code == 0
        assert err == ""
        assert all(re.search(rf"^  {name} ", out, re.MULTILINE) for name in (*cli.COMMANDS, *cli.GROUPS))
    assert call(capfd, "--version") == (0, f"boltzgen {__version__}\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(
    name: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One layout, in 80 columns, with every option, its metavar and examples."""
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = call(capfd, *name.split(), "-h")
    assert (code, err) == (0, "")
    assert call(capfd, *name.split(), "--help")[1] == out
    start, _, lines = out.partition("Examples:\n")
    assert out.startswith(f"Usage: boltzgen {name} [OPTIONS]")
    assert lines.count("boltzgen ") == len(lines.splitlines()) > 0
    assert max(map(len, out.splitlines())) <= 85  # of examples, that are not broken
    assert max(map(len, start.splitlines())) <= 80
    assert re.search(r"^  --json ", out, re.MULTILINE)
    for parameter in COMMANDS[name].params:
        argument = parameter.param_type_name == "argument"
        metavar = "" if not argument and parameter.is_flag else parameter.metavar
        assert metavar == "" or metavar.isupper() or "|" in metavar
        shown = metavar if argument else f"{', '.join(sorted(parameter.opts, key=len))} {metavar}".strip()
        assert f"\n  {shown}" in out
        assert parameter.help


@pytest.mark.parametrize(("line", "where"), [pytest.param(*e, id=f"{e[1]}: {e[0]}") for e in examples()])
def test_examples_are_commands(line: str, where: str) -> None:
    program, name, *arguments = shlex.split(line, comments=True)
    assert program == "boltzgen"
    if name in cli.GROUPS:
        name = f"{name} {arguments.pop(0)}"
    assert COMMANDS[name].make_context(name, arguments).params


@pytest.mark.parametrize("name", ["sample", "evaluate"])
def test_a_number_of_samples_has_one_spelling(name: str) -> None:
    (n,) = (parameter for parameter in COMMANDS[name].params if parameter.name == "n")
    assert n.opts == ["-n", "--n-samples"]


@pytest.mark.parametrize(
    ("offered", "known"),
    [
        (get_args(ObjectiveName), tuple(OBJECTIVES)),
        (get_args(Method), get_args(plan.Method)),
        (get_args(Units), ENERGY_UNITS),
        (get_args(Format), FORMATS),
        (get_args(Measure), MEASURES),
        (get_args(Solvent), tuple(sources.SOLVENTS)),
        (get_args(Constraints), tuple(sources.CONSTRAINTS)),
    ],
)
def test_choices_are_those_of_the_library(offered: tuple[str, ...], known: tuple[str, ...]) -> None:
    assert offered == known


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("boltzgen s", ["systems", "sample", "simulate", "strain"]),
        ("boltzgen sample alanine_te", ["alanine_tetrapeptide"]),
        ("boltzgen train x --objective reverse_kl_", ["reverse_kl_path"]),
    ],
)
def test_the_shell_completes(
    words: str, expected: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_BOLTZGEN_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    with pytest.raises(SystemExit):
        cli.main([])
    assert capfd.readouterr().out.split() == expected


@pytest.mark.parametrize("columns", ["60", "80"])
def test_systems_are_listed_without_cutting_words(
    columns: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    code, out, err = call(capfd, "systems", "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    listed = json.loads(out)["systems"]
    assert [system["name"] for system in listed] == list(shipped_systems())
    assert {s["name"] for s in listed if s["trained"]} == {"alanine_dipeptide", "alanine_tetrapeptide"}
    code, out, err = call(capfd, "systems")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines()[:-3])) <= int(columns)
    words = out.split()
    for system in listed:
        start = words.index(system["name"])
        assert " ".join(system["description"].split()) in " ".join(words[start : start + 40])
