"""A run's folder: the state after each round, written whole or not at all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import save

from boltzgen.energy.base import CountedEnergy
from boltzgen.generator.checkpoint import CHECKPOINT
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.storage import read_tensors, tensors_under, write_atomically
from boltzgen.training.data import DATA, Data
from boltzgen.training.progress import Progress
from boltzgen.training.settings import Settings
from boltzgen.training.training_run import TrainingRun

STATE = "state.safetensors"
METRICS = "metrics.jsonl"


def save_run(folder: Path, run: TrainingRun) -> None:
    """Write the generator's checkpoint, the metrics, and last the run's state.

    A crash at any moment leaves the previous round's state usable.

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
        "n_energy_evaluations": run.energy.n_evaluations,
        "fingerprint": run.generator.fingerprint,
        "metrics": run.metrics,
        "norms": run.clipping.norms,
    }
    parts = {
        "flow": run.generator.flow.state_dict(),
        "average": run.average.state,
        "objective": run.objective.state_dict(),
        "optimizer": run.optimizer.state_dict(),
    }
    tensors = {f"{part}.{k}": v for part, state in parts.items() for k, v in state.items()}
    run.save_generator(folder / CHECKPOINT)
    write_atomically(folder / METRICS, "".join(json.dumps(m) + "\n" for m in run.metrics).encode())
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    write_atomically(folder / STATE, save(tensors, metadata={"boltzgen": json.dumps(metadata)}))


def load_run(
    folder: Path,
    system: System,
    energy: CountedEnergy,
    *,
    device: str = "cpu",
    progress: Callable[[Progress], None] | None = None,
) -> TrainingRun:
    """Read a run's state; `energy` goes on counting where the run had come to.

    Raises:
        FileNotFoundError: the folder holds no state.
        ValueError: a file is broken, or the run belongs to another system or was begun by another version.
    """
    if not (folder / STATE).is_file():
        raise FileNotFoundError(f"nothing to resume in {folder}: no {STATE}; start the run without `resume`")
    metadata, tensors = read_tensors(folder / STATE)
    generator = BoltzmannGenerator.load(folder, system, device=device)
    if metadata["fingerprint"] != generator.fingerprint:
        raise ValueError(
            f"the run in {folder} belongs to another system than {system.name!r}; give the system it was "
            "started with"
        )
    tensors = {k: v.to(device) for k, v in tensors.items()}
    try:
        settings = Settings.from_dict(metadata["settings"])
    except ValueError as error:
        raise ValueError(
            f"the run in {folder} was started by another version ({error}); begin a new one with {folder} as "
            "`checkpoint`"
        ) from error
    generator.flow.load_state_dict(tensors_under(tensors, "flow."))
    generator.temperature = metadata["temperature"]
    data = Data.load(folder).to(device) if (folder / DATA).exists() else None
    run = TrainingRun(
        generator,
        energy,
        system.temperature,
        settings,
        seed=metadata["seed"],
        data=data,
        progress=progress,
    )
    for name in ("stage", "stage_round", "round_index", "seconds", "metrics"):
        setattr(run, name, metadata[name])
    if not run.done:
        run.begin_stage()
        run.clipping.norms = metadata["norms"]
        run.average.state = tensors_under(tensors, "average.")
        # A state that was taken between two stages holds nothing of the present one.
        if run.stage_round:
            run.objective.load_state_dict(tensors_under(tensors, "objective."))
    run.optimizer.load_state_dict(tensors_under(tensors, "optimizer."))
    energy.n_evaluations = metadata["n_energy_evaluations"]
    return run
