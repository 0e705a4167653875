"""Throughput and memory of batched energies, beside OpenMM's own.

    python benchmarks/energy.py [--quick] [--repeats 9] [--json FILE]

For each molecule the ways to compute a batch take turns, repeat after repeat, so that a machine that drifts
slows all of them. Printed are the minimum and the median over the repeats, in microseconds a configuration,
and the throughput relative to OpenMM's CPU platform with two workers. Times are those of whole batches
through the public classes. Peak memory is that of a fresh process, beyond what it held with the input.
"""

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import openmm
import torch
from torch import Tensor

from boltzgen.energy import Energy, ForceFieldEnergy, OpenMMEnergy
from boltzgen.molecule.system import System

PEPTIDES = Path(__file__).parents[1] / "tests" / "data" / "peptides"
#: Chignolin and trp-cage by sequence, extended: energies cost the same whatever the fold.
FILES = {
    "ACE-AAA-NME": "capped_ala3.pdb",
    "ACE-AAAAA-NME": "ace_ala5_nme.pdb",
    "chignolin": "chignolin.pdb",
    "trp-cage": "trp_cage.pdb",
}
MOLECULES = ("T-FAB", *FILES)
#: Every ratio is relative to this row.
BASELINE = "OpenMM CPU, 2 workers"
#: Configurations in our batch, and in one turn of OpenMM's rows.
BATCHES, OPENMM_BATCH = (4096, 2048, 1024, 512, 128), 256


def molecule(name: str) -> System:
    """One of `MOLECULES`."""
    if name == "T-FAB":
        return System.load("alanine_dipeptide")
    return System.from_pdb(PEPTIDES / FILES[name], ["amber99sbildn.xml", "amber99_obc.xml"])


def thermal(system: System, n: int) -> Tensor:
    """Configurations (n, n_atoms, 3) of 300 K Langevin dynamics, float32: 32 frames, each repeated with a
    picometre of noise.
    """
    integrator = openmm.LangevinMiddleIntegrator(300.0, 10.0, 0.001)
    integrator.setRandomNumberSeed(1)
    context = openmm.Context(
        system.openmm_system, integrator, openmm.Platform.getPlatformByName("CPU"), {"Threads": "1"}
    )
    context.setPositions(system.positions.numpy())
    openmm.LocalEnergyMinimizer.minimize(context, 10.0, 200)
    frames = torch.empty(32, system.n_atoms, 3, dtype=torch.float64)
    for k in range(32):
        integrator.step(50)
        frames[k] = torch.from_numpy(context.getState(getPositions=True).getPositions(asNumpy=True)._value)
    x = frames.repeat(-(-n // 32), 1, 1)[:n]
    return (
        x + 0.001 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ).float()


def rows(system: System) -> dict[str, tuple[Energy, str]]:
    """Ways to compute an energy, with the device of each."""
    found: dict[str, tuple[Energy, str]] = {
        "OpenMM Reference": (OpenMMEnergy(system, platform="Reference"), "cpu"),
        "OpenMM CPU, 1 thread": (OpenMMEnergy(system, platform="CPU", properties={"Threads": "1"}), "cpu"),
        "OpenMM CPU, 2 threads": (OpenMMEnergy(system, platform="CPU", properties={"Threads": "2"}), "cpu"),
        BASELINE: (OpenMMEnergy(system, platform="CPU", workers=2), "cpu"),
        "ours": (ForceFieldEnergy(system), "cpu"),
    }
    if importlib.util.find_spec("bgflow"):
        found["bgflow bridge, 2 workers"] = (BridgeEnergy(system), "cpu")
    if torch.cuda.is_available():
        found["ours, " + torch.cuda.get_device_name()] = (ForceFieldEnergy(system).to("cuda"), "cuda")
    return found


class BridgeEnergy(Energy):
    """bgflow's worker pool on OpenMM's CPU platform."""

    def __init__(self, system: System) -> None:
        from bgflow.distribution.energy.openmm import OpenMMBridge
        from bgflow.distribution.energy.openmm import OpenMMEnergy as Bridged

        super().__init__(system.n_atoms, system.temperature)
        integrator = openmm.LangevinMiddleIntegrator(system.temperature, 1.0, 0.001)
        self.bridged = Bridged(
            3 * system.n_atoms,
            OpenMMBridge(system.openmm_system, integrator, platform_name="CPU", n_workers=2),
        )

    def potential(self, x: Tensor) -> Tensor:
        raise NotImplementedError("bgflow computes reduced energies")

    def forward(self, x: Tensor) -> Tensor:
        return self.bridged.energy(x.reshape(len(x), -1))[:, 0]


def seconds(energy: Energy, x: Tensor, forces: bool) -> float:
    """Wall time of one batch."""
    x = x.clone().requires_grad_(forces)
    if x.is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    u = energy(x)
    if forces:
        torch.autograd.grad(u.sum(), x)
    if x.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def compare(name: str, batch: int, openmm_batch: int, repeats: int) -> list[dict]:
    """Times in microseconds a configuration of every way, for energies alone and with forces."""
    system = molecule(name)
    x = thermal(system, batch)
    ways = rows(system)
    cases = [(way, forces) for forces in (False, True) for way in ways]
    times: dict[tuple[str, bool], list[float]] = {case: [] for case in cases}
    for repeat in range(repeats + 1):
        for way, forces in cases:
            energy, device = ways[way]
            part = (x if isinstance(energy, ForceFieldEnergy) else x[:openmm_batch]).to(device)
            spent = seconds(energy, part, forces) / len(part) * 1e6
            # The first one starts processes and warms caches.
            if repeat:
                times[way, forces].append(spent)
    for energy, _ in ways.values():
        if isinstance(energy, OpenMMEnergy):
            energy.close()
    found = []
    for way, forces in cases:
        best, middle = min(times[way, forces]), statistics.median(times[way, forces])
        base = times[BASELINE, forces]
        ratios = {"ratio_of_minima": min(base) / best, "ratio_of_medians": statistics.median(base) / middle}
        what = "energy and forces" if forces else "energy"
        found.append(
            {
                "molecule": name,
                "atoms": system.n_atoms,
                "what": what,
                "way": way,
                "minimum_us": best,
                "median_us": middle,
                **ratios,
            }
        )
    return found


def peak_memory(n: int, forces: bool) -> dict:
    """Memory in GB that a batch of n T-FAB configurations takes, beyond the input, in a process of its
    own.
    """
    command = [sys.executable, __file__, "--measure-memory", str(n), *(["--forces"] if forces else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def measure_memory(n: int, forces: bool) -> dict:
    system = molecule("T-FAB")
    energy = ForceFieldEnergy(system)
    # What the first use of torch takes, and never gives back, is not the batch's.
    seconds(energy, system.positions.float().expand(64, -1, -1), forces)
    x = system.positions.float().expand(n, -1, -1).contiguous().requires_grad_(forces)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    u = energy(x)
    if forces:
        torch.autograd.grad(u.sum(), x)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    to_gb = 1.0 if sys.platform == "darwin" else 1024.0
    return {
        "configurations": n,
        "forces": forces,
        "input_gb": x.numel() * 4 / 1e9,
        "peak_gb": (after - before) * to_gb / 1e9,
    }


def growth(found: list[dict]) -> list[dict]:
    """Exponent of the number of atoms in the median time, from the smallest to the largest molecule."""
    grown = []
    for way, what in sorted({(row["way"], row["what"]) for row in found}):
        points = [row for row in found if (row["way"], row["what"]) == (way, what)]
        if len(points) > 1:
            (a, t), (b, s) = ((points[k]["atoms"], points[k]["median_us"]) for k in (0, -1))
            grown.append(
                {
                    "way": way,
                    "what": what,
                    "exponent": float(torch.tensor(s / t).log() / torch.tensor(b / a).log()),
                }
            )
    return grown


def table(found: list[dict]) -> str:
    lines = [
        f"{'molecule':15}{'atoms':>6}  "
        f"{'what':18}{'way':28}{'minimum us':>11}{'median us':>11}{'x (min)':>9}{'x (median)':>11}"
    ]
    lines += [
        f"{row['molecule']:15}{row['atoms']:6d}  "
        f"{row['what']:18}{row['way']:28}{row['minimum_us']:11.2f}{row['median_us']:11.2f}"
        f"{row['ratio_of_minima']:9.1f}{row['ratio_of_medians']:11.1f}"
        for row in found
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one short turn of the smallest molecule: shows that it runs, measures nothing",
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure-memory", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--forces", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure_memory:
        print(json.dumps(measure_memory(arguments.measure_memory, arguments.forces)))
        return
    versions = {
        "torch": torch.__version__,
        "openmm": openmm.Platform.getOpenMMVersion(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
    }
    print(versions)
    found: list[dict] = []
    for name, batch in zip(MOLECULES[:1] if arguments.quick else MOLECULES, BATCHES, strict=False):
        found += compare(name, *((64, 8, 1) if arguments.quick else (batch, OPENMM_BATCH, arguments.repeats)))
    print(table(found))
    grown = growth(found)
    for row in grown:
        print(f"{row['way']}, {row['what']}: time grows as atoms^{row['exponent']:.2f}")
    memory = [peak_memory(1000 if arguments.quick else 1_000_000, forces) for forces in (False, True)]
    for row in memory:
        what = "energy and forces" if row["forces"] else "energy"
        print(
            f"{row['configurations']} T-FAB configurations, {what}: {row['peak_gb']:.3f} GB beyond the "
            f"input of {row['input_gb']:.3f} GB"
        )
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"versions": versions, "times": found, "growth": grown, "memory": memory}, indent=1)
            + "\n"
        )


if __name__ == "__main__":
    main()
