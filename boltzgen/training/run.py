"""A training run from a system to a checkpoint, in a folder from which it can go on."""

import dataclasses
import json
import os
import platform
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from boltzgen import __version__
from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System, shipped_systems
from boltzgen.samples.trajectory import iter_frames
from boltzgen.storage import write_atomically
from boltzgen.training.checkpoint import STATE, load_state, save_state
from boltzgen.training.data import DATA, Data, read_data
from boltzgen.training.progress import Progress
from boltzgen.training.settings import Settings
from boltzgen.training.timing import rounds_in
from boltzgen.training.trainer import Trainer, start
from boltzgen.weights import clip_log_weights, largest_weight_share, log_z, sampling_efficiency

SUMMARY = "summary.json"
#: Share of the learning rate at which a generator goes on that was trained at the target already.
POLISH = 0.2
#: Fresh draws of the finished generator for the summary, and their seed.
_N_VALIDATION, _VALIDATION_SEED = 100_000, 2**31


def train(
    system: System,
    folder: Path,
    *,
    seed: int = 0,
    resume: bool = False,
    device: str = "cpu",
    progress: Callable[[Progress], None] | None = None,
    settings: Settings | None = None,
    minutes: float | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    topology: str | os.PathLike[str] | None = None,
    mixed: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Train a generator for `system` from energies, data or both, and return the run's summary.

    `folder` gets `checkpoint.safetensors`, `metrics.jsonl` (a line for each round), the state to resume from,
    and at the end `summary.json`. Interrupted at any moment, the run goes on with `resume=True` from its last
    finished round.

    Args:
        settings: by default `Settings()`; a resumed run keeps its own.
        minutes: train on energies for as many rounds as this machine should finish in so long, the data
            before and the validation after included, instead of the settings' number. The rounds are counted
            out once, from the speed of a few steps, and kept in the run's settings.
        checkpoint: a trained generator of this system to begin with (its file, or a folder that holds it): a
            new run whose temperature falls from that generator's if that is higher than the target. If it is
            not, there is less to learn than to spoil: the rate is `POLISH` times the settings'. A resumed run
            keeps what it began with.
        data: trajectory or samples file of the target at the system's temperature, see `read_data`: maximum
            likelihood on it replaces the training from energies. A resumed run keeps its own, a copy of which
            lies in its folder.
        topology: of `data`, where its format holds none.
        mixed: go on with energies after the data, training on both.
        options: of `molecular_flow`, for instance ``resampled=False``.

    Raises:
        FileExistsError: the folder already holds a run and `resume` is false.
        FileNotFoundError: `resume` is true and there is nothing to resume; or there is no such data or
            checkpoint.
        ValueError: the data or the checkpoint does not fit the system; `topology` or `mixed` without data;
            `data` for a resumed run.
    """
    if data is None and (topology is not None or mixed):
        raise ValueError("a topology, or training on data and energies mixed, needs data; add --data FILE")
    if resume and data is not None:
        raise ValueError(
            "a resumed run goes on with the data that it was started with; leave out --data, --topology "
            "and --mixed"
        )
    if resume and settings is not None:
        raise ValueError(
            "a resumed run goes on with the settings that it was started with; leave out --rounds"
        )
    if resume and minutes is not None:
        raise ValueError(
            "a resumed run goes on with the number of rounds that it was started with; leave out --minutes"
        )
    if resume and checkpoint is not None:
        raise ValueError("a resumed run goes on from its own state; leave out --from, or --resume")
    if checkpoint is not None and options:
        raise ValueError(f"a trained generator has its own flow; leave out {', '.join(options)}")
    if minutes is not None and not minutes > 0:
        raise ValueError(f"expected a positive number of minutes, got {minutes}")
    if minutes is not None and data is not None and not mixed:
        raise ValueError(
            "training on data alone ends when the likelihood of the frames held out does; leave out "
            "--minutes, or add --mixed"
        )
    energy = CountedEnergy(energy_for(system))
    trained = None if checkpoint is None else BoltzmannGenerator.load(checkpoint, system)
    samples = None
    if data is not None:
        next(
            iter_frames(data, system, topology=topology)
        )  # what is wrong with a file mostly shows here, before the work
    if resume:
        state, settings, energy.n_evaluations = load_state(folder, system, device)
        samples = Data.load(folder) if (folder / DATA).exists() else None
    else:
        if (folder / STATE).exists():
            raise FileExistsError(
                f"{folder} already holds a training run; add --resume to go on with it, or choose another "
                "folder"
            )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DATA).unlink(missing_ok=True)  # of a run that was interrupted before its first round's end
        settings = settings or Settings()
        if trained is not None and trained.temperature <= system.temperature:
            settings = dataclasses.replace(settings, rate=POLISH * settings.rate)
        began = time.perf_counter()
        if trained is None:
            # The reference minimum and its Hessian are found on the CPU, in float64, whatever the device.
            first = settings.start(system.temperature) if data is None else system.temperature
            generator = BoltzmannGenerator.for_system(system, energy, seed=seed, temperature=first, **options)
        else:
            generator, trained.seed = trained, seed
        if data is not None:
            samples = read_data(
                data, system, generator.coordinates, topology=topology, energy=energy if mixed else None
            )
            samples.save(folder)
        generator.to(device)
        if minutes is not None:
            spent = time.perf_counter() - began
            rounds = rounds_in(
                60 * minutes - spent,
                generator,
                energy,
                settings,
                validation=_N_VALIDATION,
                data=samples is not None,
            )
            settings = dataclasses.replace(settings, rounds=rounds)
        state = start(generator, settings, stage="energies" if samples is None else "data")
        state.seconds = time.perf_counter() - began
    samples = None if samples is None else samples.to(device)
    trainer = Trainer(
        energy.to(device),
        system.temperature,
        settings,
        seed=state.generator.seed,
        data=samples,
        progress=progress,
    )
    while state.stage != "done":
        trainer.run_round(state)
        save_state(folder, state, settings, energy.n_evaluations)
    summary = _reference(system, folder) | _validate(
        BoltzmannGenerator.load(folder, system, device=device), energy, system, state.seconds
    )
    if samples is not None:
        summary |= samples.summary() | _likelihoods(state.metrics)
    summary |= {"settings": settings.as_dict(), "hardware": _hardware(device)}
    write_atomically(folder / SUMMARY, json.dumps(summary, indent=1).encode())
    return summary


def _validate(
    generator: BoltzmannGenerator, energy: CountedEnergy, system: System, seconds: float
) -> dict[str, Any]:
    """Figures of fresh draws from the finished generator; their energies count as well."""
    began = time.perf_counter()
    log_w = torch.cat(
        [chunk.log_w for chunk in generator.sample_chunks(_N_VALIDATION, energy, seed=_VALIDATION_SEED)]
    )
    estimate, error = log_z(log_w)
    return {
        "system_name": system.name,
        "temperature": generator.temperature,
        "seconds": seconds + time.perf_counter() - began,
        "n_energy_evaluations": energy.n_evaluations,
        "n_validation": _N_VALIDATION,
        "sampling_efficiency": sampling_efficiency(log_w),
        "sampling_efficiency_clipped": sampling_efficiency(clip_log_weights(log_w)),
        "largest_weight_share": largest_weight_share(log_w),
        "fraction_outside_domain": float((log_w == -torch.inf).double().mean()),
        "log_z": estimate,
        "log_z_error": error,
        "seed": generator.seed,
        "versions": {
            "boltzgen": __version__,
            "torch": torch.__version__,
            "openmm": metadata.version("openmm"),
            "python": platform.python_version(),
        },
    }


def _likelihoods(metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """Negative log-likelihoods of the parameters that were kept: after the best round on data alone, or the
    last one with energies.
    """
    data = [m for m in metrics if m["stage"] == "data"]
    best = min(data, key=lambda m: m["held_out_nll"])
    kept = metrics[-1] if metrics[-1]["stage"] != "data" else best
    return {"held_out_nll": kept["held_out_nll"], "data_nll": best["nll"], "best_data_round": best["round"]}


def _reference(system: System, run: Path) -> dict[str, str]:
    """What finds the system again: a shipped name, or its folder's absolute path and the one from the run's
    folder, should both have moved.
    """
    if system.folder is None or system.folder in shipped_systems().values():
        return {"system": system.name}
    return {
        "system": str(system.folder.resolve()),
        "system_from_run": os.path.relpath(system.folder.resolve(), run.resolve()),
    }


def _hardware(device: str) -> dict[str, Any]:
    name = (
        torch.cuda.get_device_name(device)
        if device.startswith("cuda")
        else platform.processor() or platform.machine()
    )
    return {"device": device, "name": name, "threads": torch.get_num_threads()}
