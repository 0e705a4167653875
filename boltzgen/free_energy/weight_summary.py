"""What log-weights say of themselves: counts, efficiencies, PSIS k-hat and log Z, in one pass over chunks."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import logsumexp
from torch import Tensor

from boltzgen.free_energy.result import errors_are_known
from boltzgen.weights import CLIPPED, k_hat_of_tail, log_z_error, tail_size, usable, weightless

_MIN_DRAWS_OF_BLOCKS, N_BLOCKS = 100, 10
#: Log-weights that are looked at together, which bounds what is copied.
_CHUNK = 2**16


def weight_summary(log_w: Tensor) -> dict[str, Any]:
    """What log-weights (n,) say of themselves, under the names that the command line prints.

    Counts, efficiencies, PSIS k-hat and log Z. The efficiency's lowest and highest value over ten blocks of
    draws is None for fewer than 100 draws, k-hat where there are too few weights or the largest are equal,
    and the error of log Z where `result.warnings_of` warns.
    """
    tally = WeightTally(log_w.numel())
    for part in log_w.split(_CHUNK) if log_w.numel() else (log_w,):
        tally.add(part)
    return tally.summary()


class WeightTally:
    """`weight_summary` of log-weights that come in chunks, of which only the largest are kept.

    Args:
        n: number of log-weights in all.
    """

    def __init__(self, n: int) -> None:
        self.n_expected, self.n = n, 0
        self._n_finite = 0
        self._block = max(1, n // N_BLOCKS)
        # Logarithms of sum w and sum w^2: of each block and of the draws after the last, and of all but the
        # largest.
        self._sums = np.full((N_BLOCKS + 1, 2), -math.inf)
        self._rest = np.full(2, -math.inf)
        self._n_clipped = math.floor(n * CLIPPED + 1e-9)
        self._n_largest = max(tail_size(n) + 1, self._n_clipped)
        self._largest = np.empty(0)

    def add(self, log_w: Tensor) -> None:
        """Count more log-weights (m,).

        Raises:
            ValueError: a log-weight is NaN or +inf, or there are more than expected.
        """
        values = usable(log_w).numpy(force=True)
        if self.n + len(values) > self.n_expected:
            raise ValueError(f"expected {self.n_expected} log-weights, got {self.n + len(values)} or more")
        done = 0
        while done < len(values):
            block = min((self.n + done) // self._block, N_BLOCKS)
            stop = len(values) if block == N_BLOCKS else (block + 1) * self._block - self.n
            part = values[done:stop]
            self._sums[block] = np.logaddexp(self._sums[block], _log_sums(part))
            done += len(part)
        self.n += len(values)
        finite = values[np.isfinite(values)]
        self._n_finite += len(finite)
        largest = np.concatenate((self._largest, finite))
        if len(largest) > (k := self._n_largest):
            largest = np.partition(largest, len(largest) - k)
            self._rest = np.logaddexp(self._rest, _log_sums(largest[:-k]))
            largest = largest[-k:]
        self._largest = largest

    def summary(self) -> dict[str, Any]:
        """What `weight_summary` says.

        Raises:
            ValueError: fewer log-weights than expected, or all are -inf.
        """
        n = self.n
        if n != self.n_expected or n == 0:
            raise ValueError(f"expected {self.n_expected} log-weights, at least one, got {n}")
        if self._n_finite == 0:
            raise ValueError(weightless(n))
        largest = np.sort(self._largest)
        blocks = [math.exp(2 * w - w2) / self._block if w > -math.inf else 0.0 for w, w2 in self._sums[:-1]]
        total, square = np.logaddexp.reduce(self._sums).tolist()
        clipped = self._clipped_size(largest)
        return summary_of(n, self._n_finite, total, square, blocks, largest, clipped)

    def _clipped_size(self, largest: np.ndarray) -> float:
        """The effective size with the largest weights as large as the smallest of those that are clipped."""
        if n_clipped := min(self._n_clipped, len(largest)):
            largest = largest.clip(max=largest[-n_clipped])
        total, square = np.logaddexp(self._rest, _log_sums(largest))
        return math.exp(2 * total - square)


def summary_of(
    n: int,
    n_finite: int,
    total: float,
    square: float,
    blocks: Sequence[float],
    largest: np.ndarray,
    clipped: float,
) -> dict[str, Any]:
    """What `weight_summary` says, from sums.

    Args:
        n: log-weights, at least one of them finite.
        n_finite: those that are finite.
        total: log sum w.
        square: log sum w^2.
        blocks: efficiencies of tenths of the draws.
        largest: log-weights in ascending order, `weights.tail_size` and one more if there are so many.
        clipped: the effective size with the largest weights clipped.
    """
    size, n_tail = min(math.exp(2 * total - square), float(n)), tail_size(n)
    k_hat = k_hat_of_tail(largest[-n_tail - 1 :]) if n_finite > n_tail else math.nan
    return {
        "n_samples": n,
        "effective_sample_size": size,
        "sampling_efficiency": size / n,
        "sampling_efficiency_blocks_low": min(blocks) if n >= _MIN_DRAWS_OF_BLOCKS else None,
        "sampling_efficiency_blocks_high": max(blocks) if n >= _MIN_DRAWS_OF_BLOCKS else None,
        "sampling_efficiency_clipped": clipped / n,
        "largest_weight_share": math.exp(largest[-1] - total),
        "psis_k_hat": k_hat if math.isfinite(k_hat) else None,
        "log_z": float(total) - math.log(n),
        "log_z_error": log_z_error(n, size) if errors_are_known(size, k_hat) else None,
        "fraction_outside_domain": 1 - n_finite / n,
    }


def _log_sums(log_w: np.ndarray) -> np.ndarray:
    """Logarithms of sum w and sum w^2."""
    return np.array([logsumexp(log_w), logsumexp(2 * log_w)]) if len(log_w) else np.full(2, -math.inf)
