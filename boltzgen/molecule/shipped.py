"""The systems that come with the package."""

from importlib import resources
from pathlib import Path

#: What makes a folder a system's.
SYSTEM_FILE = "system.toml"


def shipped_systems() -> dict[str, Path]:
    """Names and folders of the shipped systems: those of the installed wheel, then those of a checkout."""
    found: dict[str, Path] = {}
    package = Path(str(resources.files("boltzgen")))
    for root in (package / "_systems", package.parent / "systems"):
        if root.is_dir():
            for folder in sorted(root.iterdir()):
                if (folder / SYSTEM_FILE).is_file():
                    found.setdefault(folder.name, folder)
    return found
