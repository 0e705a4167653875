"""The layers of the package: imports only go down, and every heavy dependency has its home."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import boltzgen

ROOT = Path(boltzgen.__file__).parent

#: Layer of each module or subpackage. A module may import those of lower layers, and of its own.
LAYERS = {
    **dict.fromkeys(["units", "transform", "distribution", "densities"], 0),
    **dict.fromkeys(["named_torsions", "openmm_files", "perception", "system"], 1),
    **dict.fromkeys(["energy"], 2),
    **dict.fromkeys(["coordinates"], 3),
    # Weights are arithmetic on arrays, and training works on a generator: both lie below it.
    **dict.fromkeys(["flow", "free_energy", "histograms", "reweighting", "rotamers"], 4),
    **dict.fromkeys(["samples", "trajectory", "generator", "reference", "reference_file"], 5),
    **dict.fromkeys(["prepare", "train", "simulate"], 6),
    **dict.fromkeys(["analysis"], 7),
    **dict.fromkeys(["cli", "__main__"], 8),
}

#: The modules that may import each heavy dependency (prefixes of their dotted names within the package).
CUSTOM = ["bond", "angle", "torsion", "compound_bond", "external", "nonbonded", "gb"]
TERM_FILES = ["energy.bonds", "energy.angles", "energy.torsions", "energy.nonbonded", "energy.gb", "energy.rb_torsions", "energy.cmap"]
TERM_FILES += ["energy.custom", "energy.tabulated", *(f"energy.custom_{kind}" for kind in CUSTOM)]
HOMES = {
    "openmm": [
        *("units", "openmm_files", "system", "prepare", "simulate"),
        *("energy.openmm", "energy.contexts", "energy.workers", "energy.forcefield", *TERM_FILES),
    ],
    "mdtraj": ["named_torsions", "system", "analysis", "samples", "trajectory"],
    "matplotlib": ["analysis"],
    "numba": ["energy.kernels", "flow.spline_kernels", "flow.triangular_kernels"],
    "pdbfixer": ["prepare"],
    "typer": ["cli"],
    "rich": ["cli", "train"],
}


def modules() -> list[str]:
    """Dotted names within the package, without `__init__`."""
    names = [path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in ROOT.rglob("*.py") if "_systems" not in path.parts]
    return sorted(name for name in names if name != "__init__")


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
            # Names imported from the package itself may be modules.
            yield from (f"{base}.{alias.name}" for alias in node.names) if base == "boltzgen" else [base]


def upward(source: str, module: str) -> list[str]:
    """Imports of the package's own modules from a higher layer."""
    layer = LAYERS[module.split(".")[0]]
    own = [name.split(".")[1] for name in imports(source, module) if name.startswith("boltzgen.")]
    return [name for name in own if name != "__version__" and LAYERS[name] > layer]


def homeless(source: str, module: str) -> list[str]:
    """Imports of heavy dependencies outside their homes."""
    tops = {name.split(".")[0] for name in imports(source, module)} & HOMES.keys()
    return sorted(top for top in tops if not any(f"{module}.".startswith(f"{home}.") for home in HOMES[top]))


def test_every_module_has_a_layer() -> None:
    assert {"system", "energy.forcefield", "units"} <= set(modules())
    assert {name.split(".")[0] for name in modules()} <= LAYERS.keys()


@pytest.mark.parametrize("module", modules())
def test_imports_go_down(module: str) -> None:
    source = (ROOT / (module.replace(".", "/") + ".py")).read_text()
    assert upward(source, module) == []


@pytest.mark.parametrize("module", modules())
def test_heavy_dependencies_stay_at_home(module: str) -> None:
    source = (ROOT / (module.replace(".", "/") + ".py")).read_text()
    assert homeless(source, module) == []


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("flow.spline", "from boltzgen.train import objectives", ["train"]),
        ("flow.spline", "def f():\n    import boltzgen.generator", ["generator"]),
        ("system", "from boltzgen import energy, units", ["energy"]),
        ("flow.spline", "from ..train.objectives import reverse_kl", ["train"]),
        ("flow.spline", "from .nets import mlp\nfrom boltzgen.system import System", []),
        ("flow.spline", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from boltzgen.train import objectives", []),
    ],
)
def test_upward_imports_are_seen(module: str, source: str, expected: list[str]) -> None:
    assert upward(source, module) == expected


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("flow.spline", "import openmm.app", ["openmm"]),
        ("energy.gb", "from openmm import unit", []),
        ("energy.base", "from openmm import unit", ["openmm"]),
        ("analysis.plots", "import matplotlib.pyplot as plt", []),
        ("generator", "def f():\n    from rich.progress import Progress", ["rich"]),
    ],
)
def test_heavy_imports_are_seen(module: str, source: str, expected: list[str]) -> None:
    assert homeless(source, module) == expected
