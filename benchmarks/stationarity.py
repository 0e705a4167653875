"""How often simulations are called not stationary: those that are, and those that drift.

    python benchmarks/stationarity.py [--simulations 400]

Walkers jump between two states of each of five torsions: a walker keeps its state from frame to frame with
probability `memory`, and else draws a new one. In a stationary simulation the share of the first state stays;
printed is how often the probability of the evidence is below 0.05, 0.01 and 0.005, how many simulations are
flagged, and the mean burn-in. In a drifting one, of 60 frames, the share of one torsion falls as 9.5, 7.6,
6.6, 5.2, 3.1 and 2.8 % in blocks of ten, and the others' stay at 30 %. In one that remembers, half of the
walkers begin in the state and leave it at a rate per frame, rarely to come back (an equilibrium share of
0.25 %); 40 frames pass before the first one.
"""

import argparse

import numpy as np

from boltzgen.simulation.burn_in import Verdict, judge
from boltzgen.simulation.states import Series

N_FRAMES, N_TORSIONS = 60, 5
#: Walkers, share and memory.
STATIONARY = [(128, 0.05, 0.8), (128, 0.05, 0.95), (32, 0.01, 0.8), (16, 0.3, 0.9)]
DRIFTING = np.full((N_FRAMES, N_TORSIONS), 0.3)
DRIFTING[:, 0] = np.repeat([0.095, 0.076, 0.066, 0.052, 0.031, 0.028], 10)
EQUILIBRIUM, BEFORE = 0.0025, 40


def series(plus: np.ndarray, began: np.ndarray) -> Series:
    """Of states (n_frames, n_walkers, n_torsions), and where walkers began (n_walkers, n_torsions)."""
    names = tuple((f"torsion {k}", state) for k in range(plus.shape[2]) for state in "+-")
    inside, starts = (np.stack([v, ~v], -1).reshape(*v.shape[:-1], -1) for v in (plus, began))
    return Series(names, inside.astype(np.float64), np.ones(plus.shape[:2]), starts)


def chains(rng: np.random.Generator, shares: np.ndarray, n_walkers: int, memory: float) -> Series:
    """Walkers that have forgotten where they began; shares are (n_frames, N_TORSIONS)."""
    shape = (n_walkers, N_TORSIONS)
    now = rng.random(shape) < shares[0]
    frames = []
    for before, share in zip([shares[0], *shares[:-1]], shares, strict=True):
        kept = now & (rng.random(shape) < np.minimum(1.0, share / before))
        now = np.where(rng.random(shape) < memory, kept, rng.random(shape) < share)
        frames.append(now)
    return series(np.stack(frames), rng.random(shape) < 0.5)


def relaxing(rng: np.random.Generator, n_frames: int, n_walkers: int, rate: float) -> Series:
    """Walkers that leave where they began."""
    began = rng.random((n_walkers, 1)) < 0.5
    now, frames = began, []
    for _ in range(BEFORE + n_frames):
        entering = rate * EQUILIBRIUM / (1 - EQUILIBRIUM)
        now = np.where(now, rng.random(now.shape) > rate, rng.random(now.shape) < entering)
        frames.append(now)
    return series(np.stack(frames[BEFORE:]), began)


def line(label: str, verdicts: list[Verdict]) -> None:
    """Print what was found."""
    p = np.array([v.whole.probability for v in verdicts if v.whole is not None])
    below = "  ".join(f"p < {level:g}: {(p < level).mean():.4f}" for level in (0.05, 0.01, 0.005))
    flagged = sum(v.stationary is False for v in verdicts)
    burn_in = np.mean([v.burn_in / len(v.series) for v in verdicts])
    print(
        f"{label}  {below}  flagged: {flagged} of {len(verdicts)}  burn-in: {100 * burn_in:.1f} %", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=400, help="of each stationary kind")
    n = parser.parse_args().simulations
    for n_walkers, share, memory in STATIONARY:
        flat = np.full((N_FRAMES, N_TORSIONS), share)
        found = [judge(chains(np.random.default_rng(k), flat, n_walkers, memory)) for k in range(n)]
        line(f"stationary: {n_walkers} walkers, share {share}, memory {memory}", found)
    for memory in (0.0, 0.5, 0.7, 0.8, 0.9):
        found = [judge(chains(np.random.default_rng(k), DRIFTING, 128, memory)) for k in range(n // 10)]
        line(f"drifting: 128 walkers, memory {memory}", found)
    for n_frames in (60, 240, 600):
        found = [judge(relaxing(np.random.default_rng(k), n_frames, 128, 0.03)) for k in range(n // 10)]
        line(f"remembering: 128 walkers, {n_frames} frames, rate 0.03", found)
        kept = [v.series.after(v.burn_in) for v in found]
        share, error = (
            np.mean([f(k.inside[..., 0].mean(0)) for k in kept])
            for f in (np.mean, lambda w: w.std() / 128**0.5)
        )
        print(f"  share kept: {100 * share:.2f} +- {100 * error:.2f} %, exact {100 * EQUILIBRIUM:.2f} %")


if __name__ == "__main__":
    main()
