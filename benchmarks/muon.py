"""How long a training step takes with our Muon, and with torch's.

    OMP_NUM_THREADS=1 python benchmarks/muon.py SYSTEM ... [--repeats 5] [--avx2]

Both take turns in one process, three steps of 1,024 draws a turn, at the beginning of a training. Printed are
seconds a step, of the median turn, and how many times as fast as with torch's that is, by medians and by the
fastest turns. With `--avx2` torch, oneDNN and MKL do as on a processor without AVX-512, which most laptops'
are (the compiled kernels, which Muon does not use, do not).
"""

import argparse
import logging
import os
import statistics
import sys

import torch
from widths import seconds_a_step, training_run

from boltzgen.molecule.system import System
from boltzgen.training import optimizer

#: Read when torch is imported.
LIKE_A_LAPTOP = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}


def torchs(matrices: list[torch.nn.Parameter], **options: float) -> torch.optim.Muon:
    """In place of ours."""
    return torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw", **options)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("systems", nargs="+", metavar="SYSTEM")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--avx2", action="store_true")
    args = parser.parse_args()
    if args.avx2 and os.environ.get("ATEN_CPU_CAPABILITY") != "avx2":
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | LIKE_A_LAPTOP)
    # Rounds of three steps are too short to tell a divergence.
    logging.disable(logging.WARNING)
    print(f"processor as torch sees it: {torch.backends.cpu.get_cpu_capability()}")
    ours = optimizer.Muon
    for name in args.systems:
        system, runs = System.load(name), {}
        for label, muon in (("torch's", torchs), ("ours", ours)):
            optimizer.Muon = muon  # type: ignore[misc, assignment]
            runs[label] = training_run(system, args.repeats)
        optimizer.Muon = ours  # type: ignore[misc]
        found = seconds_a_step(runs, args.repeats)
        for label, seconds in found.items():
            median, least = (f(found["torch's"]) / f(seconds) for f in (statistics.median, min))
            print(
                f"{name:24} {label:8} {statistics.median(seconds):.3f} s  {median:.2f} times, "
                f"by the fastest turns {least:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
