"""Checkpoints of a simulation: damaged ones, and the time steps that they hold."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from boltzgen.molecule.system import System
from boltzgen.simulation.checkpoint import Checkpoint, checkpoint_files
from boltzgen.simulation.ensemble import Ensemble
from boltzgen.simulation.replica_exchange import FIRST_STEP
from boltzgen.simulation.run import record
from boltzgen.storage import read_tensors, write_tensors


def damaged(folder: Path, index: int, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> None:
    """Change metadata and tensors of a checkpoint, and write it with the checksum that belongs to them."""
    path = checkpoint_files(folder)[index]
    metadata, tensors = read_tensors(path)
    change(metadata, tensors)
    write_tensors(path, metadata, tensors)


@pytest.mark.parametrize(
    ("index", "change", "message"),
    [
        (-1, lambda m, t: m.pop("statistics"), "not a checkpoint of a simulation"),
        (-1, lambda m, t: m.update(plan=[1]), "a plan and statistics by name"),
        (-1, lambda m, t: t.pop("state.end"), "not a checkpoint of a simulation"),
        (-1, lambda m, t: t.update({"state.other": t["state.end"]}), "not a checkpoint of a simulation"),
        (-1, lambda m, t: t.update({"state.x": t["state.x"][:3]}), "of shape"),
        (-1, lambda m, t: t.update({"state.x": t["state.x"][0]}), "not a checkpoint of a simulation"),
        (-1, lambda m, t: t.update({"state.step": t["state.step"][:-1]}), "expected state.step of shape"),
        (-1, lambda m, t: t.update({"frames.replica": t["frames.replica"][1:]}), "expected frames.replica"),
        (-1, lambda m, t: t["state.x"].fill_(math.nan), "state.x holds NaN"),
        (0, lambda m, t: m["plan"].update(n_walkers="many"), "`walkers` to be at least 1, got many"),
        (0, lambda m, t: m["plan"].update(n_walkers=9), "expected positions"),
        (0, lambda m, t: m["plan"].update(method="magic"), "`method` to be remd or md"),
        (0, lambda m, t: m["plan"].update(highest=math.inf), "positive number of kelvin"),
        (0, lambda m, t: m["plan"].update(checkpoint_frames=0), "`checkpoint_frames` to be at least 1"),
    ],
)
def test_damaged_checkpoints_are_refused(
    alanine: System,
    small: Path,
    tmp_path: Path,
    index: int,
    change: Callable[[dict[str, Any], dict[str, Any]], object],
    message: str,
) -> None:
    folder = shutil.copytree(small, tmp_path / "run")
    damaged(folder, index, change)
    with pytest.raises(ValueError, match=message):
        record(alanine, folder, 9, resume=True)
    assert len(checkpoint_files(folder)) == len(checkpoint_files(small))


def test_checkpoints_that_do_not_belong_together_make_no_ensemble(
    alanine: System, small: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(small, tmp_path / "run")
    damaged(folder, 0, lambda m, t: m["plan"].pop("starts"))
    with pytest.raises(ValueError, match="do not belong together, or are damaged"):
        Ensemble.load(folder, alanine)


def test_time_steps_are_tuned_in_the_burn_in_alone(alanine: System, small: Path) -> None:
    steps = [Checkpoint.load(path).frames.statistics["time_step_ps"] for path in checkpoint_files(small)]
    assert steps[0] != [FIRST_STEP] * len(steps[0])
    assert steps[1:] == [steps[0]] * (len(steps) - 1)
