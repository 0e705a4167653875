"""T-FAB by other people's code beside ours: the same machine, the same target, the same time each.

    python benchmarks/peers.py [--minutes 60] [--peers boltzgen bgflow ...] [-n 100000] [--json FILE]
                               [--jflows-python PYTHON] [--fab FOLDER --fab-python PYTHON]

Each peer trains in a process of its own, one after the other. Printed are, for each, the efficiency of fresh
draws (unclipped, clipped), log Z in its own measure, the share of phi > 0, the energies that its training
took and its seconds, with versions; or the reason why it cannot be run. Their draws are judged by their own
log-weights. What each is given:

    boltzgen       `train` with its defaults, as long as there is time
    bgflow         the flow of examples/08_bgflow.py by bgflow's KLTrainer, reverse KL at 300 K, its defaults
                   (Adam at 5e-3, batches of 128), on our batched energy, above 1000 kT by its LinLogCutEnergy
    bgflow-bridge  the same on the energy of its own OpenMMBridge
    jflows         jflows-md, `train_FAB_G` from its source, from its PYTHON (pip install jflows-md)
    fab            FAB from a checkout; not run unless by hand, and said is which of its packages are missing
    ta-bg, cmt     not run: no public code is at hand

Checkouts stay outside the repository. bgflow has to be importable, see docs/interop.md.
"""

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openmm
import torch

from boltzgen import ForceFieldEnergy, System, train
from boltzgen.energy.base import CountedEnergy
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.harmonic import harmonic_reference
from boltzgen.generator.sampler import FlowSampler
from boltzgen.generator.target import PullbackEnergy
from boltzgen.geometry import dihedrals
from boltzgen.interop.bgflow import energy_from_bgflow, energy_to_bgflow, generator_from_bgflow
from boltzgen.interop.bgflow_package import COMMIT, bgflow
from boltzgen.weights import clip_log_weights, log_z, sampling_efficiency

HERE = Path(__file__).parent
SYSTEM = "alanine_dipeptide"
#: What FAB's alanine dipeptide imports; its `boltzgen` is that of VincentStimper/boltzmann-generators.
FAB_NEEDS = ("normflows", "boltzgen", "larsflow", "simtk", "openmmtools", "nflows", "wandb", "hydra")


def row(log_w: torch.Tensor, phi: torch.Tensor, seconds: float, energies: int, **more: Any) -> dict[str, Any]:
    """What is reported of draws with log-weights (n,) and phi (n,) in radians."""
    weights = torch.softmax(log_w.double(), 0)
    value, error = log_z(log_w)
    return {
        "n": len(log_w),
        "efficiency": sampling_efficiency(log_w),
        "clipped": sampling_efficiency(clip_log_weights(log_w)),
        "log_z": value,
        "log_z_error": error,
        "phi_positive": float((weights * (phi > 0)).sum()),
        "energies": energies,
        "seconds": seconds,
    } | more


def run_boltzgen(options: argparse.Namespace) -> dict[str, Any]:
    system = System.load(SYSTEM)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        summary = train(system, Path(folder) / "run", minutes=options.minutes, seed=0)
        seconds = time.perf_counter() - began
        generator = BoltzmannGenerator.load(Path(folder) / "run", unfinished=True)
    samples = generator.sample(options.n, ForceFieldEnergy(system), seed=1)
    return row(samples.log_w, samples.torsion("phi"), seconds, summary["n_energy_evaluations"])


def run_bgflow(options: argparse.Namespace, *, bridge: bool = False) -> dict[str, Any]:
    bg, system = bgflow(), System.load(SYSTEM)
    ours = ForceFieldEnergy(system, temperature=300.0)
    reference = harmonic_reference(system, ours)
    theirs = None
    if bridge:
        integrator = openmm.LangevinMiddleIntegrator(300.0, 1.0, 0.001)
        theirs = bg.OpenMMEnergy(bridge=bg.OpenMMBridge(system.openmm_system, integrator, n_workers=1))
    counted = CountedEnergy(ours if theirs is None else energy_from_bgflow(theirs, 300.0, system=system))
    target = energy_to_bgflow(PullbackEnergy(counted, reference.coordinates), 60)
    torch.manual_seed(0)
    generator = example().readme_generator(bg, reference, ours)
    generator._target = bg.LinLogCutEnergy(target, high_energy=1e3, max_energy=1e9)
    trainer = bg.KLTrainer(generator, train_likelihood=False)
    began = time.perf_counter()
    while time.perf_counter() - began < 60 * options.minutes:
        trainer.train(n_iter=10, batchsize=128)
    seconds = time.perf_counter() - began
    flow = generator_from_bgflow(generator)
    samples = FlowSampler(system, reference.coordinates, flow, temperature=300.0).sample(
        options.n, ours, seed=1
    )
    return row(samples.log_w, samples.torsion("phi"), seconds, counted.n_evaluations, bgflow=COMMIT)


def run_jflows(options: argparse.Namespace) -> dict[str, Any]:
    if options.jflows_python is None:
        raise RuntimeError("give --jflows-python, of an environment with `pip install jflows-md`")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "draws.npz"
        command = [
            options.jflows_python,
            HERE / "peers_jflows.py",
            str(options.minutes),
            str(options.n),
            output,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=without_ours())
        if done.returncode != 0:
            raise RuntimeError(last_line(done.stderr))
        found = np.load(output)
    x = torch.from_numpy(found["x"])
    phi = dihedrals(x, System.load(SYSTEM).torsions["phi"])
    return row(
        torch.from_numpy(found["log_w"]),
        phi,
        float(found["seconds"]),
        int(found["energies"]),
        jflows_md=str(found["version"]),
    )


def run_fab(options: argparse.Namespace) -> dict[str, Any]:
    if options.fab is None or options.fab_python is None:
        raise RuntimeError("give --fab, a checkout, and --fab-python, of an environment with what it needs")
    code = f"from importlib.util import find_spec; print(*(m for m in {FAB_NEEDS} if find_spec(m) is None))"
    done = subprocess.run(
        [options.fab_python, "-c", code],
        cwd=options.fab,
        capture_output=True,
        text=True,
        check=False,
        env=without_ours(),
    )
    if done.returncode != 0:
        raise RuntimeError(last_line(done.stderr))
    if missing := done.stdout.split():
        raise RuntimeError(f"it needs packages that are missing there: {', '.join(missing)}")
    raise RuntimeError("all that it needs is there: run experiments/aldp/train.py --tlimit by hand")


def run_absent(_: argparse.Namespace) -> dict[str, Any]:
    raise RuntimeError("no public code is at hand")


PEERS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "boltzgen": run_boltzgen,
    "bgflow": run_bgflow,
    "bgflow-bridge": lambda options: run_bgflow(options, bridge=True),
    "jflows": run_jflows,
    "fab": run_fab,
    "ta-bg": run_absent,
    "cmt": run_absent,
}


def example() -> Any:
    """The module of examples/08_bgflow.py, whose flow this is."""
    spec = importlib.util.spec_from_file_location("example_bgflow", HERE.parent / "examples/08_bgflow.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def without_ours() -> dict[str, str]:
    """The environment without our package on its path: FAB's `boltzgen` is another one."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]


def alone(peer: str, options: list[str]) -> dict[str, Any]:
    """The row of one peer, from a process of its own."""
    command = [sys.executable, __file__, *options, "--alone", peer]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    try:
        found: dict[str, Any] = json.loads(last_line(done.stdout))
    except json.JSONDecodeError:
        return {"reason": f"ended with code {done.returncode}"}
    return found


def text(peer: str, found: dict[str, Any]) -> str:
    if "reason" in found:
        return f"{peer:14s} not run: {found['reason']}"
    error = found["log_z_error"]
    return (
        f"{peer:14s} efficiency {100 * found['efficiency']:6.2f} %  clipped {100 * found['clipped']:6.2f} %  "
        f"log Z {found['log_z']:.3f} +- {math.nan if error is None else error:.3f}  "
        f"phi > 0 {100 * found['phi_positive']:.3f} %  {found['energies']:.3g} energies in "
        f"{found['seconds']:.0f} s, {found['n']} draws"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("-n", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--jflows-python")
    parser.add_argument("--fab")
    parser.add_argument("--fab-python")
    parser.add_argument("--alone", choices=PEERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        try:
            found = PEERS[options.alone](options)
        except (ImportError, RuntimeError, ValueError) as error:
            found = {"reason": str(error)}
        print(json.dumps(found))
        return
    given = sys.argv[1:]
    rows = {}
    for peer in options.peers:
        rows[peer] = alone(peer, given)
        print(text(peer, rows[peer]), flush=True)
    if options.json is not None:
        versions = {"torch": torch.__version__, "openmm": openmm.__version__, "numpy": np.__version__}
        options.json.write_text(json.dumps({"versions": versions, "peers": rows}, indent=1))


if __name__ == "__main__":
    main()
