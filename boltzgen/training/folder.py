"""Whether a folder may take a training run, and what is refused because it is somebody else's."""

from pathlib import Path

from boltzgen.generator.checkpoint import CHECKPOINT
from boltzgen.molecule.system import SYSTEM_FILE
from boltzgen.storage import read_tensors
from boltzgen.training.checkpoint import METRICS, STATE
from boltzgen.training.data import DATA

SUMMARY = "summary.json"


def check_free(folder: Path) -> None:
    """Raise FileExistsError where a new run would replace a run, a system's generator or other files.

    The data of a run that was interrupted before its first round's end are no obstacle.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; choose another folder")
    if (folder / STATE).exists():
        raise FileExistsError(
            f"{folder} already holds a training run; go on with it by `resume`, or choose another folder"
        )
    if (folder / SYSTEM_FILE).exists():
        raise FileExistsError(
            f"{folder} is the folder of a system, whose {CHECKPOINT} a run would replace; choose another "
            "folder"
        )
    taken = [name for name in (CHECKPOINT, METRICS, SUMMARY) if (folder / name).exists()]
    if taken or not _ours(folder / DATA):
        raise FileExistsError(
            f"{folder} holds {(taken or [DATA])[0]}, but no run to go on with; a run would replace it: move "
            "it away, or choose another folder"
        )


def _ours(data: Path) -> bool:
    """Whether a run may replace this file: there is none, or a run has written it."""
    if not data.exists():
        return True
    try:
        return {"source", "n_read", "dropped"} == read_tensors(data)[0].keys()
    except (OSError, ValueError):
        return False
