"""Memory that `sample`, `analyze` and `export` need for each draw, from their peaks at two numbers of draws.

    python benchmarks/memory.py --draws 200000 1000000

Draws are made-up conformations of alanine dipeptide, so that the file is written and read as one of a
generator's would be, in seconds. Each step is a process of its own, whose peak resident memory is read.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples

_CHUNK = 16_384


def chunks(system: System, n: int):
    """n draws near the reference structure, in chunks as a generator gives them."""
    generator = torch.Generator().manual_seed(0)
    for start in range(0, n, _CHUNK):
        m = min(_CHUNK, n - start)
        noise = torch.randn(m, system.n_atoms, 3, generator=generator)
        u = torch.randn(m, dtype=torch.float64, generator=generator)
        log_q = -u + 0.3 * torch.randn(m, dtype=torch.float64, generator=generator)
        yield WeightedSamples.from_energies(system.positions.float() + 0.02 * noise, u, log_q, system)


def sample(path: Path, n: int) -> None:
    """What the command does with the draws: write them and sum up their weights."""
    from boltzgen.free_energy.weight_summary import WeightTally
    from boltzgen.samples.writer import SamplesWriter

    system, tally = System.load("alanine_dipeptide"), WeightTally(n)
    with SamplesWriter(path, system, 300.0) as writer:
        for chunk in chunks(system, n):
            tally.add(chunk.log_w)
            writer.write(chunk)
    tally.summary()


def analyze(path: Path, n: int) -> None:
    from boltzgen.analysis.report import analyze

    analyze(path, path.with_suffix(".report"))


def export(path: Path, n: int) -> None:
    from boltzgen.samples.export import export

    export(path, path.with_suffix(".dcd"), resample=n)


STEPS = {step.__name__: step for step in (sample, analyze, export)}


def peak(step: str, path: Path, n: int) -> float:
    """Peak resident memory in MB of a process that does one step."""
    command = [sys.executable, __file__, "--step", step, "--file", str(path), "--draws", str(n)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--draws", type=int, nargs="+", default=[200_000, 1_000_000])
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        STEPS[arguments.step](arguments.file, *arguments.draws)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
        return
    with tempfile.TemporaryDirectory() as folder:
        print("| step | " + " | ".join(f"MB at {n:,} draws" for n in arguments.draws) + " | bytes a draw |")
        print("|---" * (len(arguments.draws) + 2) + "|")
        peaks = {step: [] for step in STEPS}
        for n in arguments.draws:
            for step, found in peaks.items():
                found.append(peak(step, Path(folder) / f"{n}.h5", n))
        for step, found in peaks.items():
            slope = np.polyfit(arguments.draws, found, 1)[0] * 1e6
            print(f"| {step} | " + " | ".join(f"{mb:.0f}" for mb in found) + f" | {slope:.0f} |")


if __name__ == "__main__":
    main()
