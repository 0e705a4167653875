"""A run's folder: the state after each round, written whole or not at all."""

import json
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from boltzgen import units
from boltzgen.energy.base import CountedEnergy
from boltzgen.generator.checkpoint import CHECKPOINT
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.names import reason
from boltzgen.molecule.system import System
from boltzgen.storage import read_tensors, reading, tensors_under, write_atomically, write_tensors
from boltzgen.training.data import DATA, Data
from boltzgen.training.guard import Snapshot
from boltzgen.training.progress import Progress
from boltzgen.training.ranks import ALONE, Ranks
from boltzgen.training.settings import Settings
from boltzgen.training.training_run import TrainingRun

STATE = "state.safetensors"
METRICS = "metrics.jsonl"

_Count = Annotated[int, Field(ge=0)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Settled(BaseModel):
    """Of an earlier round that training would go back to."""

    model_config = ConfigDict(strict=True)

    round_index: _Count
    norms: dict[str, _Finite]


class _Metadata(BaseModel):
    """What a state says beside its tensors."""

    model_config = ConfigDict(strict=True)

    settings: dict[str, Any]
    seed: _Count
    stage: _Count
    stage_round: _Count
    round_index: _Count
    seconds: _Finite
    temperature: Annotated[float, AfterValidator(units.kelvin)]
    n_energy_evaluations: _Count
    fingerprint: str
    metrics: list[dict[str, Any]]
    norms: dict[str, _Finite]
    settled: _Settled | None = None
    launch: str = ""


def save_run(folder: Path, run: TrainingRun) -> None:
    """Write the generator's checkpoint, the metrics, and last the run's state.

    A crash at any moment leaves the previous round's state usable. All ranks call it; the first one writes.

    Raises:
        OSError: a file cannot be written.
    """
    metadata: dict[str, Any] = {
        "settings": run.settings.as_dict(),
        "seed": run.seed,
        "stage": run.stage,
        "stage_round": run.stage_round,
        "round_index": run.round_index,
        "seconds": run.seconds,
        "temperature": run.generator.temperature,
        "n_energy_evaluations": run.count_energies(),
        "fingerprint": run.generator.fingerprint,
        "metrics": run.metrics,
        "norms": run.clipping.norms,
        "launch": launch_id(),
    }
    parts = run.parts() | {"objective": run.objective.state_dict()}
    settled = run.settled
    if settled.round_index != run.round_index:
        metadata["settled"] = {"round_index": settled.round_index, "norms": settled.norms}
        parts |= {f"settled.{part}": tensors for part, tensors in settled.parts.items()}
    tensors = {f"{part}.{k}": v for part, state in parts.items() for k, v in state.items()}
    with run.ranks.together():
        if run.ranks.is_writer:
            run.save_generator(folder / CHECKPOINT)
            lines = (json.dumps(m) + "\n" for m in run.metrics)
            write_atomically(folder / METRICS, "".join(lines).encode())
            write_tensors(folder / STATE, metadata, tensors)


def was_restarted(folder: Path) -> bool:
    """Whether the folder's run is that of the launch which has started this process again.

    As ``torchrun --max-restarts`` does after a failure, with the same command line.
    """
    if int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) == 0 or not (folder / STATE).is_file():
        return False
    return read_tensors(folder / STATE)[0].get("launch") == launch_id() != ""


def launch_id() -> str:
    """What all processes of a launch by torchrun have in common, and no other launch has; empty without."""
    launch = os.environ.get("TORCHELASTIC_RUN_ID", "")
    # The default is the same for all launches; what starts the processes of one machine is one of its own.
    return f"{platform.node()} {os.getppid()}" if launch == "none" else launch


def check_resumable(folder: Path) -> None:
    """Raise FileNotFoundError unless the folder holds the state of a run."""
    if not (folder / STATE).is_file():
        raise FileNotFoundError(f"nothing to resume in {folder}: no {STATE}; start the run without `resume`")


def load_run(
    folder: Path,
    system: System,
    energy: CountedEnergy,
    *,
    device: str = "cpu",
    progress: Callable[[Progress], None] | None = None,
    ranks: Ranks = ALONE,
) -> TrainingRun:
    """Read a run's state; `energy` goes on counting where the run had come to.

    All ranks read it; there may be more or fewer than those that wrote it.

    Raises:
        FileNotFoundError: the folder holds no state.
        ValueError: a file is broken, or the run belongs to another system or was begun by another version.
    """
    check_resumable(folder)
    metadata, tensors = read_tensors(folder / STATE)
    wrong = f"the state of the run in {folder} is damaged"
    advice = f"copy it again, or begin a new run with {folder} as `checkpoint`"
    with reading(wrong, advice):
        held = _validated(metadata)
    generator = BoltzmannGenerator.load(folder, system, device=device)
    if held.fingerprint != generator.fingerprint:
        raise ValueError(
            f"the run in {folder} belongs to another system than {system.name!r}; give the system it was "
            "started with"
        )
    try:
        settings = Settings.from_dict(held.settings)
    except ValueError as error:
        raise ValueError(
            f"the run in {folder} was started by another version ({error}); begin a new one with {folder} as "
            "`checkpoint`"
        ) from error
    data = Data.load(folder).to(device) if (folder / DATA).exists() else None
    tensors = {k: v.to(device) for k, v in tensors.items()}
    energy.n_evaluations = held.n_energy_evaluations if ranks.is_writer else 0
    with reading(wrong, advice):
        generator.flow.load_state_dict(tensors_under(tensors, "flow."))
        generator.temperature = held.temperature
        run = TrainingRun(
            generator,
            energy,
            system.temperature,
            settings,
            seed=held.seed,
            data=data,
            progress=progress,
            ranks=ranks,
        )
        _restore(run, held, tensors)
    return run


def _validated(metadata: dict[str, Any]) -> _Metadata:
    try:
        return _Metadata.model_validate(metadata)
    except ValidationError as error:
        raise ValueError(reason(error)) from error


def _restore(run: TrainingRun, held: _Metadata, tensors: dict[str, Tensor]) -> None:
    """Put a run that stands at its beginning where a state says."""
    if held.stage > len(run.stages):
        raise ValueError(f"expected at most {len(run.stages)} stages, got {held.stage}")
    if held.round_index != len(held.metrics) or held.stage_round > held.round_index:
        raise ValueError(
            f"it has {len(held.metrics)} metrics of {held.round_index} rounds, {held.stage_round} of them in "
            "the present stage"
        )
    for name in ("stage", "stage_round", "round_index", "seconds", "metrics"):
        setattr(run, name, getattr(held, name))
    if not run.done:
        run.begin_stage()
        run.clipping.norms = held.norms
        run.average.state = tensors_under(tensors, "average.")
        # A state that was taken between two stages holds nothing of the present one.
        if run.stage_round:
            if run.average.state:  # a first round that diverged leaves none
                _check_like(run.average.state, run.generator.flow.state_dict())
            run.objective.load_state_dict(tensors_under(tensors, "objective."))
    run.optimizer.load_state_dict(tensors_under(tensors, "optimizer."))
    present = run.settled = run.snapshot()
    if held.settled is not None:
        parts = {part: tensors_under(tensors, f"settled.{part}.") for part in present.parts}
        if parts["average"]:
            _check_like(parts["average"], present.parts["flow"])
        run.settled = Snapshot(held.settled.round_index, parts, held.settled.norms)
        run.restore(run.settled)  # now, not in the midst of training, it must fit
        run.restore(present)


def _check_like(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless tensors have the names and shapes of others."""
    shapes, wanted = ({k: tuple(v.shape) for k, v in t.items()} for t in (found, expected))
    if shapes != wanted:
        wrong = next(k for k in (*wanted, *shapes) if shapes.get(k) != wanted.get(k))
        raise ValueError(f"expected {wrong} of shape {wanted.get(wrong)}, got {shapes.get(wrong)}")
