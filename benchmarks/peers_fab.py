"""FAB on T-FAB for a given time: what benchmarks/peers.py runs in an environment that has it.

    python benchmarks/peers_fab.py MINUTES N OUTPUT FOLDER [--ours] [--batch SIZE]

FOLDER is a checkout of lollcat/fab-torch; VincentStimper's boltzmann-generators (a package that is named
`boltzgen`, too) and resampled-base-flows have to be importable, and openmmtools or, for its copy of
openmmtools' test systems, bgmol with bgflow.

Its own `experiments/aldp/train.py` runs with its own `fab_buff.yaml`, made shorter: the number of
iterations, the warm-up and the cosine are multiplied by one factor, and so is the replay buffer, which
keeps at least the 8 batches that it draws at a time. Batches, rates, flow and annealed importance sampling
stay as they are. The factor comes from a rehearsal, which is not on the clock; past the minutes training
ends where it is. Left out are its evaluations, plots and checkpoints.

N draws go to OUTPUT with their weights. As in its training, draws of the other enantiomer do not count: their
weight is zero, and their share is written.

--ours takes our batched energy in place of its OpenMM pool; --batch another size than 1024, for trials.
"""

import argparse
import os
import runpy
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

import torch
from peers_tools import Clock, Counted, OutOfTime, add_arguments, old_names, our_energy, save, versions
from torch.optim.optimizer import register_optimizer_step_post_hook

#: Its schedule: iterations, those of the warm-up, batches in the buffer at the start and at most.
ITERATIONS, WARM_UP, FEWEST, MOST = 50_000, 1_000, 64, 512
#: Updates for each batch of annealed importance sampling, which are drawn from the buffer at once.
UPDATES = 8
#: Of the minutes, what the schedule may take: the machine's speed drifts.
SHARE = 0.92


def prepare(folder: Path) -> Any:
    """Its module `make_aldp_model`, with what it imports."""
    old_names()
    sys.path.insert(0, str(folder))
    try:
        import openmmtools.testsystems  # noqa: F401
    except ImportError:
        from bgmol.tpl import _openmmtools_testsystems

        package = types.ModuleType("openmmtools")
        package.testsystems = _openmmtools_testsystems
        sys.modules.update({"openmmtools": package, "openmmtools.testsystems": _openmmtools_testsystems})
    import experiments.make_flow.make_aldp_model as module
    import fab.utils.aldp

    fab.utils.aldp.evaluate_aldp = lambda *_, **__: None
    os.chdir(folder / "experiments" / "aldp")
    return module


class Peer:
    """Its training, with the model that it last built and that model's counted energy."""

    def __init__(self, module: Any, scratch: str, *, ours: bool, batch: int | None) -> None:
        self.scratch, self.batch = scratch, batch
        self.clock: Clock | None = None
        self.steps, self.last, self.dropped = 0, 0, 0
        make = module.make_aldp_model
        theirs = sys.modules["boltzgen"]

        def kept_model(config: dict[str, Any], device: torch.device) -> Any:
            self.model = make(config, device)
            target = self.model.target_distribution.p
            energy = target.norm_energy
            if ours:
                u, regular = our_energy(target.temperature), theirs.openmm_interface.regularize_energy
                energy = lambda x: regular(u(x)[:, 0], target.energy_cut, target.energy_max)  # noqa: E731
            self.energy = Counted(energy)
            self.energy.check = self.check
            target.norm_energy = self.energy
            return self.model

        target = sys.modules["boltzgen"].distributions.TransformedBoltzmannParallel
        construct = target.__init__

        def with_temperature(self: Any, system: Any, temperature: float, **given: Any) -> None:
            construct(self, system, temperature, **given)
            self.temperature = temperature

        target.__init__ = with_temperature
        self.make = module.make_aldp_model = kept_model
        register_optimizer_step_post_hook(self.stepped)

    def check(self) -> None:
        if self.clock is not None:
            self.clock.check()

    def stepped(self, *_: object) -> None:
        self.steps += 1
        if self.steps == self.last:
            raise OutOfTime  # Before its last evaluation.
        self.check()

    def config(self, factor: float) -> dict[str, Any]:
        import yaml

        config = yaml.safe_load(Path("config/fab_buff.yaml").read_text())
        fewest = max(UPDATES, round(FEWEST * factor))
        self.last = max(UPDATES, UPDATES * round(ITERATIONS * factor / UPDATES))
        config["data"] = {
            "transform": os.path.abspath("data/position_min_energy.pt"),
            "test": f"{self.scratch}/test.pt",
        }
        config["system"]["n_threads"] = os.cpu_count()
        training = config["training"]
        training["max_iter"], training["warmup_iter"] = self.last + 1, max(1, round(WARM_UP * factor))
        training["replay_buffer"] |= {"min_length": fewest, "max_length": fewest * MOST // FEWEST}
        training["log_iter"] = training["checkpoint_iter"] = self.last + 2
        training["save_root"] = self.scratch
        training["batch_size"] = self.batch or training["batch_size"]
        return config

    def rehearse(self) -> tuple[float, float]:
        """Seconds of a batch of annealed importance sampling and of an update, from a quarter of a batch."""
        torch.set_default_dtype(torch.float64)
        config = self.config(0.0)
        model = self.make(config, torch.device("cpu"))
        n = config["training"]["batch_size"] // 4
        model.set_ais_target(min_is_target=True)
        model.annealed_importance_sampler.sample_and_log_weights(2, logging=False)  # what is slow only once
        began = time.perf_counter()
        point, _ = model.annealed_importance_sampler.sample_and_log_weights(n, logging=False)
        sampled = time.perf_counter()
        model.flow.log_prob(point.x.detach()).mean().backward()
        return 4 * (sampled - began), 4 * (time.perf_counter() - sampled)

    def train(self, factor: float) -> None:
        """Until the schedule or the time ends."""
        import yaml

        config = self.config(factor)
        self.steps = 0
        torch.save(torch.zeros(1, 60), config["data"]["test"])
        path = Path(self.scratch) / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        sys.argv = ["train.py", "--config", str(path), "--mode", "cpu"]
        try:
            runpy.run_path("train.py", run_name="__main__")
        except OutOfTime:
            pass

    def draw(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-weights and positions of fresh draws; those of the other enantiomer weigh nothing."""
        from fab.utils.aldp import filter_chirality

        target, log_w, x = self.model.target_distribution, [], []
        with torch.no_grad():
            for k in range(0, n, 1024):
                z, log_q = self.model.flow.sample_and_log_prob((min(1024, n - k),))
                kept = filter_chirality(z)
                self.dropped += int((~kept).sum())
                log_w.append(torch.where(kept, target.log_prob(z) - log_q, -torch.inf))
                x.append(target.coordinate_transform(z)[0])
        return torch.cat(log_w), torch.cat(x)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--batch", type=int)
    options = parser.parse_args()
    folder, output = options.folder.resolve(), str(options.output.resolve())
    positions = options.positions and options.positions.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        peer = Peer(prepare(folder), scratch, ours=options.ours, batch=options.batch)
        sampling, update = peer.rehearse()
        fewest = UPDATES * sampling
        cycles = SHARE * (60 * options.minutes - fewest) / (sampling + UPDATES * update)
        factor = max(0.0, cycles * UPDATES / ITERATIONS)
        print(f"{sampling:.1f} s a batch, {update:.2f} s an update: factor {factor:.2g}", flush=True)
        peer.clock = Clock(options.minutes)
        peer.train(factor)
        seconds, energies = peer.clock.stop(), peer.energy.n
        print(f"{peer.steps} of {peer.last} iterations in {seconds:.0f} s", flush=True)
        draws = peer.draw(options.n)
        save(
            output,
            draws,
            peer.energy,
            positions,
            seconds=seconds,
            energies=energies,
            temperature=300.0,
            factor=factor,
            done=peer.steps / peer.last,
            dropped=peer.dropped / options.n,
            version=versions(FAB=str(folder)),
        )
        pool = getattr(peer.model.target_distribution.p, "pool", None)
        if pool is not None:
            pool.terminate()


if __name__ == "__main__":
    main()
