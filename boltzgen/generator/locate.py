"""Finding a trained generator: by a system's name, a system's folder or a run's folder."""

import json
import os
from pathlib import Path

from boltzgen.generator.checkpoint import CHECKPOINT, read_checkpoint
from boltzgen.locks import lock_of
from boltzgen.molecule.shipped import SYSTEM_FILE, shipped_systems
from boltzgen.molecule.system import System

#: What a run's folder says of the run: which system it is of, from the first round on, and all at the end.
RUN, SUMMARY = "run.json", "summary.json"


def locate(source: str | os.PathLike[str], *, unfinished: bool = False) -> tuple[System, Path]:
    """The system that a name, a system's folder or a run's folder stands for, and its checkpoint's folder.

    The `summary.json` of a run says which system the run is of: a shipped one by its name, another by the
    path of its folder and by the way there from the run's. So does `run.json` before the run has ended.

    Args:
        source: the name or folder.
        unfinished: take a run that has not ended, too.

    Raises:
        FileNotFoundError: no such system, no checkpoint, or the system of a run has been moved or deleted.
        ValueError: the run has not ended, or its summary is broken.
    """
    folder = Path(source)
    if (folder / SUMMARY).is_file():
        return _system_of_run(folder / SUMMARY), folder
    if folder.is_file():
        raise ValueError(
            f"{folder} is a file, which does not hold its system; give a folder, or `system` too"
        )
    if (folder / CHECKPOINT).is_file() and not (folder / SYSTEM_FILE).is_file():
        if unfinished:
            return _system_of_unfinished(folder), folder
        raise ValueError(
            f"{folder} has no {SUMMARY}: its training has not ended; take its last checkpoint by "
            f"`unfinished=True`, or finish it in a shell: boltzgen train SYSTEM -o {folder} --resume"
        )
    if folder.is_dir() and not (folder / SYSTEM_FILE).is_file():
        if (folder / RUN).is_file() or lock_of(folder).exists():
            raise FileNotFoundError(
                f"{folder}: the training in this folder has finished no round yet; wait for the first one, "
                "then take its last checkpoint by `unfinished=True`"
            )
        raise FileNotFoundError(
            f"{folder} is neither a run folder ({SUMMARY}) nor a system folder ({SYSTEM_FILE})"
        )
    system = System.load(source)
    if system.folder is None or not (system.folder / CHECKPOINT).is_file():
        raise FileNotFoundError(
            f"{folder} has no trained checkpoint; train a generator first, and give the folder of that run"
        )
    return system, system.folder


def _system_of_unfinished(folder: Path) -> System:
    """The system of a run that has not ended; one that an earlier version began has no `RUN`."""
    if (folder / RUN).is_file():
        return _system_of_run(folder / RUN)
    name = read_checkpoint(folder / CHECKPOINT)[0]["system"]
    if name not in shipped_systems():
        raise ValueError(
            f"{folder} has no {RUN} and does not say where its system {name!r} is; finish the run"
        )
    return System.load(name)


def _system_of_run(file: Path) -> System:
    """The system that a file of a run's folder names."""
    folder = file.parent
    try:
        read = json.loads(file.read_text())
        name, moved = str(read["system"]), folder.resolve() / str(read.get("system_from_run", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{file} does not say which system the run is of; give `system`, or train again"
        ) from error
    if not Path(name).is_absolute() or (Path(name) / SYSTEM_FILE).is_file():
        return System.load(name)
    if not (moved / SYSTEM_FILE).is_file():
        raise FileNotFoundError(
            f"the system that {folder} is of lies neither at {name} nor at {moved}; move its folder back to "
            "either place"
        )
    return System.load(moved)
