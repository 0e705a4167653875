"""The extra that small molecules need, and what to say where it is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

EXTRA = "ligands"
#: The packages of the extra that are used here, and those that they use without declaring it.
MODULES = (
    "rdkit",
    "openff.toolkit",
    "openff.units",
    "openff.utilities",
    "openff.nagl",
    "openff.nagl_models",
    "openforcefields",
    "cachetools",
    "constraint",
    "platformdirs",
    "pytorch_lightning",
    "xmltodict",
    "yaml",
)


def missing() -> list[str]:
    """Modules of the extra that are not installed."""
    return [name for name in MODULES if not _is_there(name)]


def check_installed() -> None:
    """Raise ValueError, with the command that installs it, unless the extra is there."""
    if absent := missing():
        raise ValueError(
            f"small molecules from SMILES, SDF or mol2 need RDKit and OpenFF, and {', '.join(absent)} "
            f'is missing: `pip install "boltzgen-toolkit[{EXTRA}]"`; or give Amber files or an OpenMM System '
            "that other programs made"
        )


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # its parent package
        return False


@contextmanager
def silence() -> Iterator[None]:
    """Keep what RDKit writes to stderr by itself from a user: errors are said in one line of ours."""
    from rdkit import rdBase

    block = rdBase.BlockLogs()
    try:
        yield
    finally:
        del block
