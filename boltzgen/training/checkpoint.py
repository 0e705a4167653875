"""A run's folder: the state after each round, written whole or not at all."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save

from boltzgen.generator.checkpoint import CHECKPOINT
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.storage import read_tensors, tensors_under, write_atomically
from boltzgen.training.optimizer import MatrixOptimizer
from boltzgen.training.settings import Settings
from boltzgen.training.trainer import TrainingState

STATE = "state.safetensors"
METRICS = "metrics.jsonl"
_SCALARS = (
    "stage",
    "stage_round",
    "round_index",
    "start_temperature",
    "temperature",
    "seconds",
    "walkers_step",
    "norms",
)


def save_state(folder: Path, state: TrainingState, settings: Settings, n_energy_evaluations: int) -> None:
    """Write the checkpoint (of the averaged parameters where there are any), the metrics, and last the run's
    state: a crash at any moment leaves the previous round's state usable.
    """
    metadata: dict[str, Any] = {name: getattr(state, name) for name in _SCALARS}
    metadata |= {
        "settings": settings.as_dict(),
        "n_energy_evaluations": n_energy_evaluations,
        "metrics": state.metrics,
        "fingerprint": state.generator.fingerprint,
        "seed": state.generator.seed,
    }
    tensors = {f"flow.{k}": v for k, v in state.generator.flow.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in state.average.items()} | {
        f"best.{k}": v for k, v in state.best.items()
    }
    if state.walkers is not None and state.walkers_score is not None:
        tensors |= {"walkers": state.walkers, "walkers_score": state.walkers_score}
    tensors |= {f"optimizer.{k}": v for k, v in state.optimizer.tensors().items()}
    with state.using(state.best or state.average):
        state.generator.save(folder / CHECKPOINT)
    write_atomically(folder / METRICS, "".join(json.dumps(m) + "\n" for m in state.metrics).encode())
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    write_atomically(folder / STATE, save(tensors, metadata={"boltzgen": json.dumps(metadata)}))


def load_state(folder: Path, system: System, device: str) -> tuple[TrainingState, Settings, int]:
    """Read a run's state: (state, settings, n_energy_evaluations so far).

    Raises:
        FileNotFoundError: the folder holds no state.
        ValueError: a file is broken, or the run belongs to another system.
    """
    if not (folder / STATE).is_file():
        raise FileNotFoundError(f"nothing to resume in {folder}: no {STATE}; start the run without --resume")
    metadata, tensors = read_tensors(folder / STATE)
    generator = BoltzmannGenerator.load(folder, system, device=device)
    if metadata["fingerprint"] != generator.fingerprint:
        raise ValueError(
            f"the run in {folder} belongs to another system than {system.name!r}; give the system it was "
            "started with"
        )
    tensors = {k: v.to(device) for k, v in tensors.items()}
    generator.flow.load_state_dict(tensors_under(tensors, "flow."))
    try:
        settings = Settings.from_dict(metadata["settings"])
    except ValueError as error:
        raise ValueError(
            f"the run in {folder} was started by another version ({error}); begin a new one with --from "
            f"{folder}"
        ) from error
    optimizer = MatrixOptimizer(generator.flow, settings.rate)
    optimizer.restore(tensors_under(tensors, "optimizer."))
    average, best = tensors_under(tensors, "average."), tensors_under(tensors, "best.")
    state = TrainingState(generator, optimizer, average=average, best=best, metrics=metadata["metrics"])
    state.walkers, state.walkers_score = tensors.get("walkers"), tensors.get("walkers_score")
    for name in _SCALARS:
        setattr(state, name, metadata[name])
    return state, settings, metadata["n_energy_evaluations"]
