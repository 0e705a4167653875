"""An installed wheel, away from the checkout, brings its systems along."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]

LOAD = """
from pathlib import Path
import boltzgen
from boltzgen.molecule.system import System
system = System.load("alanine_dipeptide")
assert system.n_atoms == 22
print(boltzgen.__version__)
print(Path(boltzgen.__file__).parent)
print(system.folder)
"""


def run(*command: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the wheel is installed into."""
    folder = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder / "dist"),
        str(ROOT),
        cwd=folder,
    )
    (wheel,) = (folder / "dist").glob("boltzgen_toolkit-*.whl")
    run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(folder / "site"),
        str(wheel),
        cwd=folder,
    )
    return folder / "site"


def test_installed_wheel_finds_its_systems(target: Path, tmp_path: Path) -> None:
    version, package, folder = run(sys.executable, "-c", LOAD, cwd=tmp_path, PYTHONPATH=str(target)).split()
    assert Path(package) == target / "boltzgen"
    assert Path(folder) == target / "boltzgen" / "_systems" / "alanine_dipeptide"
    assert version in next(target.glob("boltzgen_toolkit-*.dist-info")).name


def test_wheel_holds_every_shipped_file_and_no_tests(target: Path) -> None:
    shipped = {
        path.relative_to(ROOT / "systems")
        for path in (ROOT / "systems").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    installed = {
        path.relative_to(target / "boltzgen" / "_systems")
        for path in (target / "boltzgen" / "_systems").rglob("*")
        if path.is_file()
    }
    assert shipped
    assert shipped <= installed
    pages = Path("boltzgen", "analysis", "html")
    parts = {
        path.relative_to(ROOT) for path in (ROOT / pages).rglob("*.*") if "__pycache__" not in path.parts
    }
    assert {pages / "page.html", pages / "main.js", pages / "vendor" / "3Dmol-min.js"} <= parts
    assert all((target / part).read_bytes() == (ROOT / part).read_bytes() for part in parts if part.suffix)
    (licence,) = target.glob("boltzgen_toolkit-*.dist-info/licenses/**/3Dmol-LICENSE.txt")
    assert "University of Pittsburgh" in licence.read_text()
    assert (target / "boltzgen" / "py.typed").is_file()
    assert {path.name for path in target.iterdir() if not path.name.endswith((".dist-info", "bin"))} == {
        "boltzgen"
    }
