"""The commands of docs/ligands.md run, shortened."""

import re
import shlex
from pathlib import Path

import pytest

from boltzgen import cli
from boltzgen.molecule.system import System
from boltzgen.preparation.ligands import extra
from tests.helpers.runs import TINY

PAGE = Path(__file__).parents[2] / "docs" / "ligands.md"
#: What takes long in the page, and what is run instead.
SHORTER = {"--minutes 20": "--rounds 6", "-n 20000": "-n 500"}


@pytest.mark.slow
@pytest.mark.skipif(bool(extra.missing()), reason=f"the extra [ligands] lacks {', '.join(extra.missing())}")
def test_every_command_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boltzgen.training.run.Settings", lambda: TINY)
    monkeypatch.setattr("boltzgen.training.run_summary.MOST_DRAWS", 2048)
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text()
    for old, new in SHORTER.items():
        assert old in text
        text = text.replace(old, new)
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    commands = [shlex.split(line) for line in lines if not line.startswith("pip ")]
    asked = {"free-energy", "strain", "export"}
    assert {command[1] for command in commands} == {"prepare", "train", "sample", "analyze", *asked}
    for command in commands:
        assert command[0] == "boltzgen"
        assert cli.main(command[1:]) == 0, command
    assert System.load("melatonin").domain.peptide_bonds == "either"
    assert (tmp_path / "report" / "report.json").is_file()
    assert "<minus_ts>" in (tmp_path / "conformers.sdf").read_text()
    assert (tmp_path / "draws.sdf").read_text().count("$$$$") == 100
    assert System.load("aminopropanol-R").name == "aminopropanol-R"


def test_the_page_names_every_message_it_explains() -> None:
    """The table of refusals quotes what the code says."""
    sources = [*(PAGE.parents[1] / "boltzgen").rglob("ligands/*.py")]
    sources.append(PAGE.parents[1] / "boltzgen" / "generator" / "rings.py")
    code = "".join(path.read_text() for path in sources)
    code = re.sub(r'"\s*\n\s*f?"', "", code)
    code = re.sub(r"\{MOST_ATOMS\}", "300", re.sub(r"\{LARGEST_RIGID_RING\}", "7", code))
    table = PAGE.read_text().split("## What is refused")[1].split("## ")[0]
    quoted = [
        q for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for q in re.findall("`(.*?)`", row)
    ]
    assert len(quoted) > 10
    assert [q for q in quoted if q not in code] == []
