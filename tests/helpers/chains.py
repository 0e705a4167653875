"""Made-up simulations: walkers whose torsions jump between states, with a memory of any length."""

import numpy as np

from boltzgen.simulation.states import Series

#: Shares of a state in six blocks of ten frames, of a simulation that is not done.
DRIFTING = np.repeat([0.095, 0.076, 0.066, 0.052, 0.031, 0.028], 10)


def states(rng: np.random.Generator, shares: np.ndarray, stay: float, shape: tuple[int, ...]) -> np.ndarray:
    """Chains of two states, bool (n_frames, *shape), with share shares[t] of the first one in frame t.

    A chain keeps its state with probability `stay` and else draws a new one; where the share falls or rises,
    some of the chains that kept theirs are moved.
    """
    found = np.empty((len(shares), *shape), dtype=bool)
    found[0] = rng.random(shape) < shares[0]
    for t in range(1, len(shares)):
        before, now = shares[t - 1], shares[t]
        kept = np.where(
            found[t - 1],
            rng.random(shape) < min(1.0, now / before),
            rng.random(shape) < max(0.0, (now - before) / (1 - before)),
        )
        found[t] = np.where(rng.random(shape) < stay, kept, rng.random(shape) < now)
    return found


def series(
    rng: np.random.Generator,
    shares: np.ndarray,
    *,
    n_walkers: int,
    stay: float = 0.8,
    n_torsions: int = 1,
    starts: np.ndarray | None = None,
) -> Series:
    """One frame of each walker at a time, of equal weight, with torsions of two states, "+" and "-"."""
    plus = states(rng, shares, stay, (n_walkers, n_torsions))
    began = rng.random((n_walkers, n_torsions)) < 0.5 if starts is None else starts
    names = tuple((f"torsion {k}", state) for k in range(n_torsions) for state in "+-")

    def both(of: np.ndarray) -> np.ndarray:
        return np.stack([of, ~of], -1).reshape(*of.shape[:-1], 2 * n_torsions)

    return Series(names, both(plus).astype(np.float64), np.ones(plus.shape[:2]), both(began))
