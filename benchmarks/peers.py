"""T-FAB by other people's code beside ours: the same machine, the same target, the same time each.

    python benchmarks/peers.py [--minutes 60] [--peers boltzgen bgflow ...] [-n 100000] [--json FILE]
                               [--bgflow-rate 1e-4]
                               [--jflows-bundle FOLDER --jflows-python PYTHON]
                               [--fab FOLDER --fab-python PYTHON]
                               [--tabg FOLDER --tabg-python PYTHON] [--tabg-rate RATE]
    python benchmarks/peers.py --table --json FILE      # the rows of a file as a table in Markdown

Each peer trains in a process of its own, one after the other. Printed are, for each, the efficiency of fresh
draws (unclipped, clipped), log Z in its own measure, the share of phi > 0, the energies that its training
took and its seconds, with versions; or the reason why it cannot be run. Their draws are judged by their own
log-weights. What each is given:

    boltzgen       `train` with its defaults, as long as there is time
    bgflow         the flow of examples/08_bgflow.py by bgflow's KLTrainer, reverse KL at 300 K, batches of
                   128, Adam at the rate of its notebook of this molecule (that of the trainer, 5e-3, ends
                   without any draw that counts), on our batched energy, above 1000 kT by its LinLogCutEnergy
    bgflow-bridge  the same on the energy of its own OpenMMBridge
    jflows         jflows-md, `train_FAB_G` from its source, in PYTHON (pip install jflows-md), on the
                   molecule in FOLDER: see peers_jflows.py
    fab            FAB's own training script and its configuration with a buffer, scaled to the minutes, in
                   PYTHON, from a checkout FOLDER of lollcat/fab-torch: see peers_fab.py
    fab-ours       the same on our batched energy instead of its pool of OpenMM processes
    ta-bg          TA-BG's own training script, its reverse KL at 1200 K and its annealing to 300 K, scaled to
                   the minutes, in PYTHON, from a checkout FOLDER of aimat-lab/TA-BG: see peers_tabg.py
    ta-bg-ours     the same on our batched energy instead of its OpenMM processes
    cmt            not run: no public code was found

For jflows, FAB and TA-BG the largest difference of their energies to ours is printed, up to a constant, for
1,000 positions from our generator; and the share of draws that do not count, see there.
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
from datetime import datetime
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
from boltzgen.storage import write_atomically
from boltzgen.weights import clip_log_weights, log_z, sampling_efficiency

HERE = Path(__file__).parent
SYSTEM = "alanine_dipeptide"
#: Seconds beyond the minutes for a rehearsal, the draws and their energies.
BEYOND = 3600


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
    optimizer = torch.optim.Adam(generator.parameters(), lr=options.bgflow_rate)
    trainer = bg.KLTrainer(generator, optimizer, train_likelihood=False)
    began = time.perf_counter()
    while time.perf_counter() - began < 60 * options.minutes:
        trainer.train(n_iter=10, batchsize=128)
    seconds = time.perf_counter() - began
    flow = generator_from_bgflow(generator)
    samples = FlowSampler(system, reference.coordinates, flow, temperature=300.0).sample(
        options.n, ours, seed=1
    )
    return row(samples.log_w, samples.torsion("phi"), seconds, counted.n_evaluations, bgflow=COMMIT)


def run_script(
    options: argparse.Namespace, name: str, python: str | None, *given: Any, positions: bool = False
) -> dict[str, Any]:
    """The row of what a script beside this one wrote, run by another Python for the minutes.

    It is called with MINUTES, N, OUTPUT and what is given, and with positions whose energies are compared.
    """
    if python is None or None in given:
        raise RuntimeError(f"give the Python and the folder that {name} needs: see --help")
    with tempfile.TemporaryDirectory() as folder:
        output, file = Path(folder) / "draws.npz", Path(folder) / "positions.npy"
        command = [python, HERE / name, str(options.minutes), str(options.n), output, *given]
        if positions:
            np.save(file, common_positions().flatten(1).numpy())
            command += ["--positions", file]
        try:
            done = subprocess.run(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                env=without_ours(),
                timeout=60 * options.minutes + BEYOND,
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"it did not end within {BEYOND} s after the minutes") from None
        if done.returncode != 0:
            raise RuntimeError(last_line(done.stderr))
        with np.load(output) as arrays:
            found = dict(arrays)
    phi = dihedrals(torch.from_numpy(found.pop("x")), System.load(SYSTEM).torsions["phi"])
    log_w = torch.from_numpy(found.pop("log_w"))
    seconds, energies = float(found.pop("seconds")), int(found.pop("energies"))
    more = {}
    if positions:
        more["energy_difference"] = energy_difference(torch.from_numpy(found.pop("u_positions")))
    return row(log_w, phi, seconds, energies, **more, **{key: value.item() for key, value in found.items()})


def common_positions() -> torch.Tensor:
    """Positions (1000, 22, 3) in nm, for other people's energies to be compared with ours."""
    return BoltzmannGenerator.load(SYSTEM).sample(1000, seed=2).x.double()


def energy_difference(u: torch.Tensor) -> float:
    """Largest difference in kT, up to a constant, of energies u (1000,) of the common positions to ours."""
    difference = u - ForceFieldEnergy(System.load(SYSTEM))(common_positions())
    return float((difference - difference.median()).abs().max())


def run_jflows(options: argparse.Namespace) -> dict[str, Any]:
    bundle = options.jflows_bundle
    return run_script(options, "peers_jflows.py", options.jflows_python, bundle, positions=True)


def run_fab(options: argparse.Namespace, *more: str) -> dict[str, Any]:
    return run_script(options, "peers_fab.py", options.fab_python, options.fab, *more, positions=True)


def run_tabg(options: argparse.Namespace, *more: str) -> dict[str, Any]:
    if options.tabg_rate is not None:
        more = (*more, "--learning-rate", str(options.tabg_rate))
    return run_script(options, "peers_tabg.py", options.tabg_python, options.tabg, *more, positions=True)


def run_absent(_: argparse.Namespace) -> dict[str, Any]:
    raise RuntimeError("no public code was found")


PEERS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "boltzgen": run_boltzgen,
    "bgflow": run_bgflow,
    "bgflow-bridge": lambda options: run_bgflow(options, bridge=True),
    "jflows": run_jflows,
    "fab": run_fab,
    "fab-ours": lambda options: run_fab(options, "--ours"),
    "ta-bg": run_tabg,
    "ta-bg-ours": lambda options: run_tabg(options, "--ours"),
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


def machine_speed(repeats: int = 20) -> float:
    """Billions of operations a second in products of matrices, by which rows of other days are compared."""
    matrix, seconds = torch.rand(1500, 1500), []
    for _ in range(repeats):
        began = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - began)
    return 2e-9 * 1500**3 / float(np.median(seconds))


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
    notes = ""
    if found.get("temperature", 300.0) != 300.0:
        notes += f", a model at {found['temperature']:.0f} K"
    if found.get("done", 1.0) < 1:
        notes += f", {100 * found['done']:.0f} % of its schedule"
    if found.get("dropped", 0.0) > 0:
        notes += f", {100 * found['dropped']:.2f} % of them dropped"
    if "energy_difference" in found:
        notes += f", energies within {found['energy_difference']:.2g} kT of ours"
    return (
        f"{peer:14s} efficiency {100 * found['efficiency']:6.2f} %  clipped {100 * found['clipped']:6.2f} %  "
        f"log Z {found['log_z']:.3f} +- {math.nan if error is None else error:.3f}  "
        f"phi > 0 {100 * found['phi_positive']:.3f} %  {found['energies']:.3g} energies in "
        f"{found['seconds']:.0f} s, {found['n']} draws{notes}"
    )


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Rows as Markdown, in the order of `PEERS`; after them what else a file has."""
    lines = [
        "| method | efficiency, % | clipped, % | log Z | phi > 0, % | energies | seconds | schedule, % | "
        "dropped, % | Gflop/s before, after | began |",
        "|" + "---|" * 11,
    ]
    for peer in (*PEERS, *(name for name in rows if name not in PEERS)):
        found = rows.get(peer)
        if found is None:
            continue
        if "reason" in found:
            lines.append(f"| {peer} | not run: {found['reason']} |" + " |" * 9)
            continue
        error = found["log_z_error"]
        log_z = f"{found['log_z']:.4f}" + ("" if error is None else f" +- {error:.4f}")
        cells = [
            f"{100 * found['efficiency']:.2f}",
            f"{100 * found['clipped']:.2f}",
            log_z,
            f"{100 * found['phi_positive']:.3f}",
            f"{found['energies']:.3g}",
            f"{found['seconds']:.0f}",
            f"{100 * found['done']:.0f}" if "done" in found else "",
            f"{100 * found['dropped']:.2f}" if "dropped" in found else "",
            ", ".join(f"{speed:.0f}" for speed in found["speeds"]),
            found["began"],
        ]
        lines.append(f"| {peer} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("-n", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--bgflow-rate", type=float, default=1e-4)
    parser.add_argument("--jflows-bundle")
    parser.add_argument("--jflows-python")
    parser.add_argument("--fab")
    parser.add_argument("--fab-python")
    parser.add_argument("--tabg")
    parser.add_argument("--tabg-python")
    parser.add_argument("--tabg-rate", type=float, help="of the annealing; by default its own, 5e-6")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--alone", choices=PEERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        try:
            found = PEERS[options.alone](options)
        except (ImportError, RuntimeError, ValueError) as error:
            found = {"reason": str(error)}
        print(json.dumps(found))
        return
    if options.table:
        if options.json is None:
            parser.error("--table needs --json FILE")
        print(table(json.loads(options.json.read_text())))
        return
    given = sys.argv[1:]
    versions = {"torch": torch.__version__, "openmm": openmm.__version__, "numpy": np.__version__}
    for peer in options.peers:
        speeds, began = [machine_speed()], f"{datetime.now():%Y-%m-%d %H:%M}"
        found = alone(peer, given)
        speeds.append(machine_speed())
        found |= {"began": began, "minutes": options.minutes, "speeds": speeds, "versions": versions}
        print(text(peer, found), flush=True)
        if options.json is not None:  # other peers' rows in the file stay
            rows = json.loads(options.json.read_text()) if options.json.exists() else {}
            write_atomically(options.json, json.dumps(rows | {peer: found}, indent=1).encode())


if __name__ == "__main__":
    main()
