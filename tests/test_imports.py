"""The house: imports go down and never sideways or in a circle, and every heavy dependency has its home."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import boltzgen

ROOT = Path(boltzgen.__file__).parent

#: Modules and packages by floor, the ground first. One may import those of lower floors, and modules of its
#: own package.
FLOORS = [
    ["units", "geometry", "weights", "storage", "hdf5", "seeding", "cards", "lazy"],
    ["kernels", "molecule", "locks", "figures", "document"],
    ["flow", "free_energy"],
    ["energy", "coordinates", "samples"],
    ["generator", "statistics"],
    ["evaluation"],
    ["simulation", "preparation", "analysis", "thermodynamics", "cluster"],
    ["training"],
    ["cli", "interop"],
    ["__main__"],
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}

#: The modules that may import each heavy dependency (prefixes of their dotted names within the package).
HOMES = {
    "openmm": ["units", "molecule", "energy", "simulation", "preparation"],
    "mdtraj": ["molecule", "samples", "analysis"],
    "matplotlib": ["figures", "analysis", "evaluation.picture"],
    "numba": ["kernels"],
    "pdbfixer": ["preparation"],
    "rdkit": ["preparation.ligands"],
    "openff": ["preparation.ligands"],
    "typer": ["cli"],
    "rich": ["cli"],
    "dask": ["cluster"],
    "distributed": ["cluster"],
    "bgflow": ["interop"],
    "zuko": ["interop"],
    "normflows": ["interop"],
    "MDAnalysis": ["samples.mdanalysis"],
    "arviz": ["samples.arviz"],
    "pandas": ["samples"],
}


def modules() -> list[str]:
    """Dotted names within the package, without its own `__init__`."""
    paths = [path for path in ROOT.rglob("*.py") if "_systems" not in path.parts]
    names = [path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in paths]
    return sorted(name.removesuffix(".__init__") for name in names if name != "__init__")


def source(module: str) -> str:
    path = ROOT / module.replace(".", "/")
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()


def imports(source: str, module: str) -> Iterator[str]:
    """Dotted names that a module's source imports, at any depth, except for type checkers only."""
    tree = ast.parse(source)
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ["boltzgen", *module.split(".")][: -node.level] if node.level else []
            base = ".".join([*package, *([node.module] if node.module else [])])
            # What is imported from a package may be a module or a name in it.
            yield from (f"{base}.{alias.name}" for alias in node.names)


def own(source: str, module: str, known: Iterable[str]) -> set[str]:
    """The package's own modules that a module imports; of `known` ones the most specific."""
    found = set()
    for name in imports(source, module):
        parts = name.split(".")[1:] if name.startswith("boltzgen.") else []
        while parts and ".".join(parts) not in known:
            parts.pop()
        if parts:
            found.add(".".join(parts))
    return found - {module}


def misplaced(source: str, module: str, known: Iterable[str]) -> list[str]:
    """Imports of the package's own modules that go up, or sideways to another room of the same floor."""
    room = module.split(".")[0]
    rooms = {name.split(".")[0] for name in own(source, module, known)} - {room}
    return sorted(other for other in rooms if FLOOR[other] >= FLOOR[room])


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, in order; empty if there is none."""
    done: set[str] = set()

    def search(module: str, path: list[str]) -> list[str]:
        if module in path:
            return path[path.index(module) :]
        if module in done:
            return []
        for other in sorted(graph.get(module, ())):
            if found := search(other, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := search(module, []))), [])


def homeless(source: str, module: str) -> list[str]:
    """Imports of heavy dependencies outside their homes."""
    tops = {name.split(".")[0] for name in imports(source, module)} & HOMES.keys()
    return sorted(top for top in tops if not any(f"{module}.".startswith(f"{home}.") for home in HOMES[top]))


MODULES = modules()


def test_every_module_has_a_floor() -> None:
    assert {"molecule.system", "energy.forcefield", "units"} <= set(MODULES)
    assert {name.split(".")[0] for name in MODULES} == FLOOR.keys()


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module: str) -> None:
    assert misplaced(source(module), module, MODULES) == []


def test_no_circle() -> None:
    assert circle({module: own(source(module), module, MODULES) for module in MODULES}) == []


@pytest.mark.parametrize("module", MODULES)
def test_heavy_dependencies_stay_at_home(module: str) -> None:
    assert homeless(source(module), module) == []


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("flow.spline", "from boltzgen.training import objectives", ["training"]),
        ("flow.spline", "def f():\n    import boltzgen.generator.generator", ["generator"]),
        ("molecule.system", "from boltzgen import energy, units", ["energy"]),
        ("flow.spline", "from ..training.objectives import reverse_kl", ["training"]),
        ("molecule.system", "from boltzgen.kernels import forces", ["kernels"]),
        ("weights", "from boltzgen.units import kt", ["units"]),
        ("flow.spline", "from .networks import MLP\nfrom boltzgen.molecule.system import System", []),
        (
            "flow.spline",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import boltzgen.training.fit",
            [],
        ),
    ],
)
def test_upward_and_sideways_imports_are_seen(module: str, source: str, expected: list[str]) -> None:
    assert misplaced(source, module, MODULES) == expected


def test_circles_are_seen() -> None:
    sources = {
        "flow.flow": "from boltzgen.flow import spline",
        "flow.spline": "def f():\n    from boltzgen.flow.networks import MLP",
        "flow.networks": "from boltzgen.flow.flow import Flow",
    }
    graph = {name: own(text, name, sources) for name, text in sources.items()}
    assert circle(graph) == ["flow.flow", "flow.spline", "flow.networks"]
    assert circle(graph | {"flow.networks": set()}) == []


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("flow.spline", "import openmm.app", ["openmm"]),
        ("energy.terms.gb", "from openmm import unit", []),
        ("coordinates.zmatrix", "from openmm import unit", ["openmm"]),
        ("analysis.plots", "import matplotlib.pyplot as plt", []),
        ("generator.generator", "def f():\n    from rich.progress import Progress", ["rich"]),
        ("interop.bgflow", "def f():\n    import bgflow", []),
        ("flow.spline", "def f():\n    import zuko", ["zuko"]),
    ],
)
def test_heavy_imports_are_seen(module: str, source: str, expected: list[str]) -> None:
    assert homeless(source, module) == expected
