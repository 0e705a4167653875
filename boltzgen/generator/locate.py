"""Finding a trained generator: by a system's name, a system's folder or a run's folder."""

import json
import os
from pathlib import Path

from boltzgen.generator.checkpoint import CHECKPOINT
from boltzgen.molecule.system import System


def locate(source: str | os.PathLike[str]) -> tuple[System, Path]:
    """The system that a name, a system's folder or a run's folder stands for, and its checkpoint's folder.

    The `summary.json` of a run says which system the run is of: a shipped one by its name, another by the
    path of its folder and by the way there from the run's.

    Raises:
        FileNotFoundError: no such system, no checkpoint, or the system of a run has been moved or deleted.
        ValueError: the run has not ended, or its summary is broken.
    """
    folder = Path(source)
    if (folder / "summary.json").is_file():
        return _system_of_run(folder), folder
    if folder.is_file():
        raise ValueError(
            f"{folder} is a file, which does not hold its system; give a folder, or `system` too"
        )
    if (folder / CHECKPOINT).is_file() and not (folder / "system.toml").is_file():
        raise ValueError(
            f"{folder} has no summary.json: the training has not ended; finish it with `train(..., "
            f"resume=True)` (in a shell: boltzgen train SYSTEM -o {folder} --resume), or give `system`"
        )
    if folder.is_dir() and not (folder / "system.toml").is_file():
        raise FileNotFoundError(
            f"{folder} is neither a run folder (summary.json) nor a system folder (system.toml)"
        )
    system = System.load(source)
    if system.folder is None or not (system.folder / CHECKPOINT).is_file():
        raise FileNotFoundError(
            f"{folder} has no trained checkpoint; train a generator first, and give the folder of that run"
        )
    return system, system.folder


def _system_of_run(folder: Path) -> System:
    summary = folder / "summary.json"
    try:
        read = json.loads(summary.read_text())
        name, moved = str(read["system"]), folder.resolve() / str(read.get("system_from_run", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{summary} does not say which system the run is of; give `system`, or train again"
        ) from error
    if not Path(name).is_absolute() or (Path(name) / "system.toml").is_file():
        return System.load(name)
    if not (moved / "system.toml").is_file():
        raise FileNotFoundError(
            f"the system that {folder} is of lies neither at {name} nor at {moved}; move its folder back to "
            "either place"
        )
    return System.load(moved)
