"""The bootstrap of independent draws, each replicate with its own error."""

import numpy as np

#: Replicates. The ends of a 95 % interval are then the 25th from either side.
N_REPLICATES = 1000
#: Draws that are counted together, which bounds the memory.
_BLOCK = 2**18


def resampled_sums(columns: np.ndarray, n: int, seed: int, n_replicates: int = N_REPLICATES) -> np.ndarray:
    """Sums of columns (m, k) over draws made with replacement, float64 (n_replicates, k).

    Every replicate has n draws out of n; of these the columns have m, and the rest, n - m draws without
    weight, add nothing. The numbers of times that each is drawn are multinomial (Efron, Ann. Statist. 7, 1,
    1979).
    """
    rng = np.random.default_rng(seed)
    m = len(columns)
    sums = np.empty((n_replicates, columns.shape[1]))
    block = max(1, _BLOCK // max(m, 1))
    for start in range(0, n_replicates, block):
        size = min(block, n_replicates - start)
        drawn = np.full(size, m) if m == n else rng.binomial(n, m / n, size)
        # Number `draw + m * replicate` counts one draw of one replicate.
        index = rng.integers(m, size=int(drawn.sum()), dtype=np.int32)
        index += np.repeat(np.arange(size, dtype=np.int32) * np.int32(m), drawn)
        counts = np.bincount(index, minlength=size * m).reshape(size, m)
        sums[start : start + size] = counts @ columns
    return sums


def bootstrap_t(value: float, error: float, values: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """Limits of the 95 % studentised bootstrap interval (Efron, 1982; Hall, Ann. Statist. 16, 927, 1988).

    value - error t at the quantiles t of (value* - value) / error* over the replicates (n_replicates,). It
    is right to second order where the percentile interval is to first, and knows the skewness of the
    estimate.
    """
    good = errors > 0
    if error == 0 or not good.any():
        return value, value
    low, high = np.quantile((values[good] - value) / errors[good], (0.025, 0.975))
    return value - float(high) * error, value - float(low) * error
