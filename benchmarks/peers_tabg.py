"""TA-BG on T-FAB for a given time: what benchmarks/peers.py runs in an environment that has it.

    python benchmarks/peers_tabg.py MINUTES N OUTPUT FOLDER [--ours] [--learning-rate RATE]

FOLDER is a checkout of aimat-lab/TA-BG. What its requirements.txt takes from repositories has to be
importable: its forks of bgflow and fab-torch, bgmol, AutoSlurm, and nflows of that commit, as the one on
the package index will not do; and hydra-core, wandb, umnn, einops, python-box and scienceplots.

Its own `train.py` runs with its own configurations for alanine dipeptide, `rev_kld_1200K` and then
`annealing_1200K`, made shorter: all counts of steps and of samples are multiplied by one factor, so that
each stage has the share that it has in the paper, but a stage has 10,000 samples at least. Batches, rates,
networks, temperatures and clipping stay as they are. The factor comes from a rehearsal of a few steps,
which is not on the clock; that of the annealing is set anew by the time left. Past the minutes training
ends where it is. Left out are wandb, plots, evaluations and checkpoints. N draws go to OUTPUT with their
weights at 300 K.

The temperature written is the one that it trained for at the end, maybe not yet to the end of that stage.

--ours takes our batched energy in place of its OpenMM workers; --learning-rate is another for the annealing.
"""

import argparse
import os
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

import torch
from peers_tools import (
    Clock,
    Counted,
    OnCpu,
    OutOfTime,
    add_arguments,
    old_names,
    our_energy,
    save,
    versions,
)
from torch.optim.optimizer import register_optimizer_step_post_hook

#: Its schedule: steps of reverse KL; stages; steps, samples and resampled samples of each stage.
REVERSE, STAGES, STEPS, SAMPLES, RESAMPLED = 100_000, 10, 30_000, 5_000_000, 2_000_000
WARM_UP = 1000
#: A smaller buffer has no 1e-4 of its weights to clip.
FEWEST_SAMPLES = 10_000
#: Of the minutes left, what the schedule may take: the machine's speed drifts.
SHARE = 0.92


def prepare(folder: Path) -> Any:
    """Its `train` module, on the CPU, without what this run does not need."""
    old_names()
    sys.path.insert(0, str(folder))
    sys.meta_path.insert(0, OnCpu("annealed_bg"))
    stand_ins()
    os.chdir(folder / "annealed_bg")
    import annealed_bg.train as module

    position = torch.load("input_files/aldp/position_min_energy.pt").float()
    module.load_trajectory = lambda *_, **__: position
    module.run_evaluation = lambda **_: None
    module.save_checkpoint = lambda **_: tempfile.mkdtemp(dir=os.environ["PEERS_SCRATCH"])
    return module


def stand_ins() -> None:
    """A module that only its plots use."""
    plots = types.ModuleType("pyemma.plots.plots2d")
    plots._to_free_energy = None
    for name in ("pyemma", "pyemma.plots"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["pyemma.plots.plots2d"] = plots


class Peer:
    """Its training, stage by stage, with what it last built: a generator and a counted energy."""

    def __init__(self, module: Any, folder: Path, *, ours: bool) -> None:
        import annealed_bg.systems.molecular.system as molecular

        self.module, self.configs = module, folder / "annealed_bg" / "configs"
        self.clock: Clock | None = None
        self.times: list[float] = []
        self.filled = 0.0
        self.n_energies = 0
        self.generator: Any = None

        system_of, create = molecular.get_openmm_system, module.create_generator

        def counted_system(name: str, n_workers: int, temperature: float) -> Any:
            system = system_of(name, n_workers, temperature)
            energy = our_energy(temperature) if ours else system.energy_model.energy
            self.energy = Counted(energy)
            self.energy.check = self.check
            system.energy_model.energy = self.energy
            return system

        def kept_generator(**given: Any) -> Any:
            made = create(**given)
            self.generator = made[0]
            return made

        molecular.get_openmm_system = counted_system
        module.create_generator = kept_generator
        register_optimizer_step_post_hook(self.stepped)

    def check(self) -> None:
        if self.clock is not None:
            self.clock.check()

    def stepped(self, *_: object) -> None:
        self.times.append(time.perf_counter())
        self.check()

    def run(self, name: str, **changes: Any) -> bool:
        """Train by the configuration of that name; True if it came to its end."""
        from hydra import compose, initialize_config_dir
        from omegaconf import OmegaConf

        self.times = []
        OmegaConf.clear_resolver("eval")
        torch.manual_seed(0)
        overrides = [f"hydra.searchpath=[file://{self.configs}]", "experiment.disable_wandb=True"]
        overrides += [f"general.n_workers={os.cpu_count()}", "evaluation.skip_initial_eval=True"]
        overrides += [f"{key}={value}" for key, value in changes.items()]
        with initialize_config_dir(config_dir=str(self.configs / "paper" / "aldp"), version_base=None):
            self.config = config = compose(name, overrides=overrides)
        try:
            self.module.run.__wrapped__(config)
        except OutOfTime:
            return False
        finally:
            self.n_energies += self.energy.n
        return True

    def reverse(self, steps: int) -> bool:
        return self.run(
            "rev_kld_1200K",
            **{"training.max_iter": steps, "training.warmup_iters": max(1, WARM_UP * steps // REVERSE)},
        )

    def anneal(self, start: str, factor: float, rate: float | None, **more: Any) -> bool:
        steps = max(1, round(STEPS * factor))
        changes = {
            "training.checkpoint_path": start,
            "training.max_iter": STAGES * steps,
            "training.lr_scheduler.T_0": steps,
            "training.training_mode.temp_sampling.iterations_per_step": steps,
            "training.training_mode.buffer.update_buffer_every": steps,
            "training.training_mode.buffer.buffer_n_samples_per_T": max(
                FEWEST_SAMPLES, round(SAMPLES * factor)
            ),
            "training.training_mode.buffer.resample_to": max(FEWEST_SAMPLES, round(RESAMPLED * factor)),
        }
        if rate is not None:
            changes["training.lr"] = rate
        return self.run("annealing_1200K", **changes | more)

    def save(self, path: str) -> str:
        torch.save({"model": self.generator.state_dict()}, path)
        return path

    def close(self) -> None:
        """End its worker processes."""
        wrapper = self.generator._target._bridge.context_wrapper
        if hasattr(wrapper, "terminate"):
            wrapper.terminate()

    def target(self, positions: torch.Tensor) -> torch.Tensor:
        """Energies (n,) in kT at 300 K."""
        return self.generator._target.energy(positions, temperature=300.0)[:, 0].double()

    def draw(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-weights at 300 K and positions of fresh draws."""
        log_w, x = [], []
        with torch.no_grad():
            for k in range(0, n, 4096):
                positions, minus_log_q = self.generator.sample(min(4096, n - k), with_energy=True)
                log_w.append(minus_log_q[:, 0].double() - self.target(positions))
                x.append(positions)
        return torch.cat(log_w), torch.cat(x)


def rehearse(peer: Peer, scratch: str) -> tuple[float, float, float]:
    """Seconds of a step of reverse KL, of a step of annealing, and of a sample in its buffer."""
    peer.reverse(8)
    reverse = (peer.times[-1] - peer.times[2]) / (len(peer.times) - 3)
    mode = sys.modules["annealed_bg.training_modes.reweighting"].ReweightingTrainingMode
    fill = mode._fill_buffer

    def timed(*given: Any, **named: Any) -> Any:
        began = time.perf_counter()
        found = fill(*given, **named)
        peer.filled = time.perf_counter() - began
        return found

    mode._fill_buffer = timed
    # One stage of four steps from a model as it starts: 1e-9 of the samples is the fewest.
    peer.anneal(
        peer.save(f"{scratch}/rehearsal.pt"),
        1e-9,
        None,
        **{
            "training.max_iter": 4,
            "training.training_mode.temp_sampling.iterations_per_step": 4,
            "training.training_mode.buffer.update_buffer_every": 4,
        },
    )
    mode._fill_buffer = fill
    return reverse, (peer.times[-1] - peer.times[0]) / (len(peer.times) - 1), peer.filled / FEWEST_SAMPLES


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--learning-rate", type=float)
    options = parser.parse_args()
    output = str(options.output.resolve())
    positions = options.positions and options.positions.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["PEERS_SCRATCH"] = scratch
        peer = Peer(prepare(options.folder.resolve()), options.folder.resolve(), ours=options.ours)
        reverse, step, sample = rehearse(peer, scratch)
        peer.n_energies, peer.clock = 0, Clock(options.minutes)
        annealing = STAGES * (STEPS * step + SAMPLES * sample)
        factor = SHARE * peer.clock.left / (REVERSE * reverse + annealing)
        # What it is trained for at the end, maybe not yet to the end; and how much of the annealing was done.
        temperature, done, factor_left = 1200.0, 0.0, 0.0
        if peer.reverse(max(1, round(REVERSE * factor))):
            # By what is left: reverse KL may have been faster or slower than in the rehearsal.
            factor_left = max(0.0, SHARE * peer.clock.left / annealing)
            steps = max(1, round(STEPS * factor_left))
            peer.anneal(peer.save(f"{scratch}/start.pt"), factor_left, options.learning_rate)
            if peer.times:
                done = len(peer.times) / (STAGES * steps)
                stage = (len(peer.times) - 1) // steps
                temperature = peer.config.training.training_mode.temp_sampling.sequence[stage][1]
        seconds = peer.clock.stop()
        save(
            output,
            peer.draw(options.n),
            peer.target,
            positions,
            seconds=seconds,
            energies=peer.n_energies,
            temperature=temperature,
            done=done,
            factor=factor,
            factor_annealing=factor_left,
            version=versions(**{"TA-BG": str(options.folder)}),
        )
        peer.close()


if __name__ == "__main__":
    main()
