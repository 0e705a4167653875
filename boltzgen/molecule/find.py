"""The system that a file is of."""

from collections.abc import Iterable
from pathlib import Path

from boltzgen.molecule.shipped import shipped_systems
from boltzgen.molecule.system import System


def find_system(name: str, fingerprint: str, folders: Iterable[Path] = ()) -> System | None:
    """The system of a `System.fingerprint` in one of some folders, or of those that ship under its name.

    None where there is none.
    """
    shipped = [folder for held, folder in shipped_systems().items() if held == name]
    systems = (System.load(folder) for folder in (*folders, *shipped))
    return next((system for system in systems if system.fingerprint == fingerprint), None)
