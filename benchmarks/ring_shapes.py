"""Shapes of rings, by the signs of their torsions: draws of a generator beside replica exchange.

    python benchmarks/ring_shapes.py FOLDER NAME ...

Of molecules that `ligands.py FOLDER --minutes M` has finished. A ring of six is a chair where the three
torsions that `System.torsions` has of it are + - + or - + -; all else are boats and what is on the way.
Shares are in per cent, of the draws of the first sampling seed by their weights and of the frames of replica
exchange, each with its standard error: of weighted draws, and a jackknife over quarters of the walkers.
Shapes below a hundredth of a per cent of both are put together.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from boltzgen.evaluation.reference import Reference
from boltzgen.geometry import dihedrals
from boltzgen.molecule.system import System
from boltzgen.samples.file import read_samples

_GROUPS = 4
_RARE = 1e-4


def patterns(system: System, x: torch.Tensor) -> np.ndarray:
    """Signs of the ring torsions of x (n, n_atoms, 3), as text (n,)."""
    rings = [atoms for name, atoms in system.torsions.items() if name.startswith("ring ")]
    if not rings:
        raise ValueError(f"{system.name} has no ring that changes its shape")
    signs = torch.stack([dihedrals(x, atoms) for atoms in rings], -1).numpy() > 0
    return np.array([" ".join("+" if sign else "-" for sign in row) for row in signs], dtype=object)


def drawn_share(inside: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Share of weight (n,) and its standard error, by the delta method."""
    share = float(weight[inside].sum())
    return share, float(np.sqrt((weight**2 * (inside - share) ** 2).sum()))


def simulated_share(inside: np.ndarray, walker: np.ndarray) -> tuple[float, float]:
    """Share of frames (n,) and its standard error, between groups of walkers."""
    group = walker % _GROUPS
    without = np.array([inside[group != g].mean() for g in range(_GROUPS)])
    return float(inside.mean()), float(np.sqrt((_GROUPS - 1) * without.var()))


def table(folder: Path, name: str) -> list[str]:
    """A line for each shape."""
    system = System.load(folder / name / "system")
    drawn = read_samples(folder / name / "samples.h5")
    reference = Reference.load(folder / name / "remd" / "reference.h5", system)
    weight = torch.softmax(drawn.log_w, 0).numpy()
    here, there = patterns(system, drawn.x), patterns(system, reference.x)
    shares = {shape: max(weight[here == shape].sum(), (there == shape).mean()) for shape in {*here, *there}}
    rare = [shape for shape, share in shares.items() if share < _RARE]
    here[np.isin(here, rare)] = there[np.isin(there, rare)] = "others"
    lines = []
    for shape in sorted({*here, *there}, key=lambda shape: -weight[here == shape].sum()):
        share, error = drawn_share(here == shape, weight)
        simulated, simulated_error = simulated_share(there == shape, reference.walker.numpy())
        cells = [
            f"{100 * value:.3f} +- {100 * e:.3f}"
            for value, e in ((share, error), (simulated, simulated_error))
        ]
        lines.append(f"| {name} | {shape} | {' | '.join(cells)} | {int((here == shape).sum())} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+", metavar="NAME")
    options = parser.parse_args()
    print("| molecule | ring torsions | drawn, % | replica exchange, % | draws |\n|---|---|---|---|---|")
    for name in options.names:
        print("\n".join(table(options.folder, name)), flush=True)


if __name__ == "__main__":
    main()
