"""What a person types: every public name resolves, and importing the package costs next to nothing."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import boltzgen
import boltzgen.energy

ROOT = Path(boltzgen.__file__).parent
HEAVY = ("torch", "openmm", "mdtraj", "matplotlib", "numba", "numpy", "scipy", "h5py", "pydantic")


@pytest.mark.parametrize("name", boltzgen.__all__)
def test_every_public_name_resolves(name: str) -> None:
    value = getattr(boltzgen, name)
    assert name in dir(boltzgen)
    if name != "__version__":
        assert value.__name__ == name
        assert value.__doc__


@pytest.mark.parametrize(
    ("function", "room"),
    [
        ("train", "training"),
        ("simulate", "simulation"),
        ("prepare", "preparation"),
        ("evaluate", "evaluation"),
        ("analyze", "analysis"),
    ],
)
def test_functions_named_after_the_commands_stay_functions(function: str, room: str) -> None:
    importlib.import_module(f"boltzgen.{room}")
    assert inspect.isfunction(getattr(boltzgen, function))
    assert inspect.ismodule(getattr(boltzgen, room))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sytem'"):
        boltzgen.Sytem  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match="Sytem"):
        exec("from boltzgen import Sytem")


@pytest.mark.parametrize(("package", "others"), [(boltzgen, {"__version__"}), (boltzgen.energy, set())])
def test_type_checkers_see_the_same_names(package: ModuleType, others: set[str]) -> None:
    """The imports that only type checkers read are the lazy ones, name by name and module by module."""
    tree = ast.parse(Path(str(package.__file__)).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}  # type: ignore[attr-defined]
    assert seen == package._HOMES
    assert {*seen} | others == set(package.__all__)
    assert all(getattr(package, name).__name__ == name for name in seen)


def test_importing_the_package_is_light() -> None:
    script = f"import sys, boltzgen; print([m for m in {HEAVY} if m in sys.modules], len(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[] ")


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def imported(source: str) -> Iterator[tuple[str, str]]:
    """(module, name) of each name that a snippet imports from the package."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "boltzgen":
            yield from ((node.module or "", alias.name) for alias in node.names)


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(f"docs/{p.name}" for p in ROOT.parent.glob("docs/*.md"))]
)
def test_names_in_the_documents_exist(page: str) -> None:
    blocks = python_blocks(ROOT.parent / page)
    if page == "README.md":
        assert any(imported(block) for block in blocks)
    for block in blocks:
        for module, name in imported(block):
            assert hasattr(importlib.import_module(module), name) or importlib.import_module(
                f"{module}.{name}"
            )
