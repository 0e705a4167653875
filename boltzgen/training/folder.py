"""Whether a folder may take a training run, and what is refused because it is somebody else's."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from boltzgen.generator.checkpoint import CHECKPOINT
from boltzgen.generator.locate import RUN, SUMMARY
from boltzgen.molecule.shipped import SYSTEM_FILE, shipped_systems
from boltzgen.molecule.system import System
from boltzgen.storage import read_tensors, write_atomically
from boltzgen.training.checkpoint import METRICS, STATE
from boltzgen.training.data import DATA, Data
from boltzgen.training.picture import PICTURE


def check_free(folder: Path, *, force: bool = False) -> None:
    """Raise FileExistsError where a new run would replace a run, a system's generator or other files.

    A run may be replaced by `force`, other files may not. The data of a run that was interrupted before its
    first round's end are no obstacle.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; choose another folder")
    if (folder / SYSTEM_FILE).exists():
        raise FileExistsError(
            f"{folder} is the folder of a system, whose {CHECKPOINT} a run would replace; choose another "
            "folder"
        )
    if force and ((folder / STATE).exists() or (folder / RUN).exists()):
        return
    if (folder / STATE).exists():
        raise FileExistsError(
            f"{folder} already holds a training run; go on with it by `resume`, begin anew by `force`, or "
            "choose another folder"
        )
    taken = [name for name in (CHECKPOINT, METRICS, SUMMARY, PICTURE) if (folder / name).exists()]
    if taken or not _ours(folder / DATA):
        raise FileExistsError(
            f"{folder} holds {(taken or [DATA])[0]}, but no run to go on with; a run would replace it: move "
            "it away, or choose another folder"
        )


def begin_folder(folder: Path, system: Mapping[str, str], data: Data | None, *, resumed: bool) -> None:
    """Write what a run's folder holds from its first round on, before that round is saved.

    Args:
        folder: the run's.
        system: what finds the system again, see `boltzgen.generator.locate`.
        data: the frames of a run that is trained on some.
        resumed: whether the run goes on. Else what an earlier one has left is removed, its state first, so
            that nothing goes on from a mixture of the two.
    """
    if not resumed:
        for name in (STATE, SUMMARY, DATA, METRICS, PICTURE):
            (folder / name).unlink(missing_ok=True)
        if data is not None:
            data.save(folder)
    write_atomically(folder / RUN, json.dumps(system).encode())


def _ours(data: Path) -> bool:
    """Whether a run may replace this file: there is none, or a run has written it."""
    if not data.exists():
        return True
    try:
        return {"source", "n_read", "dropped"} == read_tensors(data)[0].keys()
    except (OSError, ValueError):
        return False


def reference_to(system: System, run: Path) -> dict[str, str]:
    """What finds the system again.

    A shipped name, or its folder's absolute path and the one from the run's folder, should both have moved.
    """
    if system.folder is None or system.folder in shipped_systems().values():
        return {"system": system.name}
    return {
        "system": str(system.folder.resolve()),
        "system_from_run": os.path.relpath(system.folder.resolve(), run.resolve()),
    }
