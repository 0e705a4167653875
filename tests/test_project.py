"""The files around the package agree with each other: requirements, version, addresses, commands, tests."""

import ast
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import boltzgen
from boltzgen.interop.bgflow_package import ADDRESS, COMMIT

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: Names of packages on conda-forge, where they differ from those on the Python index.
CONDA = {
    "torch": "pytorch",
    "tables": "pytables",
    "matplotlib": "matplotlib-base",
    "build": "python-build",
    "MDAnalysis": "mdanalysis",
}
#: What [project.urls] calls the public addresses of the project.
ADDRESSES = {"Homepage", "Documentation", "Source", "Issues", "Changelog"}


def bounds(requirements: list[str]) -> dict[str, str]:
    """Lower bounds by package, of requirements such as "torch>=2.9"."""
    found = [re.fullmatch(r"([\w.-]+) ?>=([\d.]+)", requirement) for requirement in requirements]
    assert all(found), [r for r, match in zip(requirements, found, strict=True) if match is None]
    return {match[1]: match[2] for match in found if match}


def test_conda_installs_what_pip_does() -> None:
    declared = bounds([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]])
    expected = {CONDA.get(name, name): bound for name, bound in declared.items()}
    lines = re.findall(r"^ +- ([^#\n]+)", (ROOT / "environment.yml").read_text(), re.MULTILINE)
    packages = [line.strip().removesuffix(",<3.12") for line in lines if "bgflow" not in line]
    others = {"conda-forge", "git", "pip", "pip:"}
    python = PROJECT["requires-python"].removeprefix(">=")
    assert bounds([p for p in packages if p not in others]) == expected | {"python": python}


def test_conda_installs_the_bgflow_that_the_adapters_know() -> None:
    (line,) = re.findall(
        r"^ +- bgflow @ git\+(\S+)@(\w+)$", (ROOT / "environment.yml").read_text(), re.MULTILINE
    )
    assert line == (ADDRESS, COMMIT)


@pytest.mark.parametrize("extra", ["interop", "cluster"])
def test_development_installs_all_of_an_extra(extra: str) -> None:
    """So that its tests run wherever the others do."""
    extras = PROJECT["optional-dependencies"]
    assert set(extras[extra]) <= set(extras["dev"])


def test_the_oldest_versions_are_those_declared() -> None:
    """What `make minimum` installs, dependency by dependency."""
    lines = (ROOT / "minimum.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pinned == bounds(PROJECT["dependencies"])


def test_every_command_resolves() -> None:
    for target in PROJECT["scripts"].values():
        module, name = target.split(":")
        assert callable(getattr(import_module(module), name))


def test_the_changelog_begins_with_the_version() -> None:
    versions = re.findall(r"^## \[(\S+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert boltzgen.__version__ in versions[:2]


def test_addresses_are_those_of_the_citation() -> None:
    """All of the project's as soon as the citation names a public one, and none before."""
    home = re.search(r"^repository-code: \"?([^\s\"]+)", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    own = {name: address for name, address in PROJECT.get("urls", {}).items() if name in ADDRESSES}
    assert own.keys() == (ADDRESSES if home else set())
    assert home is None or all(address.startswith(home[1]) for address in own.values())


def test_the_citation_has_the_licence_of_the_project() -> None:
    assert f"license: {PROJECT['license']}\n" in (ROOT / "CITATION.cff").read_text()


def test_a_commit_is_checked_by_what_make_runs() -> None:
    hooks = re.findall(r"^ +entry: (.+)", (ROOT / ".pre-commit-config.yaml").read_text(), re.MULTILINE)
    (recipe,) = re.findall(r"^lint: .*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [f"$(BIN)/{hook}" for hook in hooks] == [
        line.strip().removesuffix(" .") for line in recipe.splitlines()
    ]


def imported_tests(source: str) -> list[str]:
    """Test modules that a module imports names from."""
    modules = [node.module or "" for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    return [module for module in modules if re.search(r"(^|\.)(test_\w+|conftest)$", module)]


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=p.relative_to(ROOT).as_posix()) for p in sorted((ROOT / "tests").rglob("*.py"))],
)
def test_no_test_module_imports_another(path: Path) -> None:
    """What several of them need is in tests/helpers, or a fixture in tests/conftest.py."""
    assert imported_tests(path.read_text()) == []
    assert path.parent != ROOT / "tests" / "helpers" or not path.stem.startswith("test_")


def test_imports_of_test_modules_are_seen() -> None:
    assert imported_tests("from tests.energy.test_matrix import make") == ["tests.energy.test_matrix"]
    assert imported_tests("from tests.helpers.molecules import make") == []
