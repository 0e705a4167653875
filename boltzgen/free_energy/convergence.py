"""Convergence: an estimate against the number of draws used, forwards and backwards.

If the first draws and the last ones, taken alone, give what all of them give, the estimate has settled
(Klimovich, Shirts and Mobley, J. Comput. Aided Mol. Des. 29, 397, 2015). Draws of a generator are
independent, so that here a drift means rare draws of large weight, or draws of several generators.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from boltzgen.free_energy.result import Result

#: Standard errors by which the two halves may differ: in 1 of 370 cases by chance.
_MOST_APART = 3.0


@dataclass(frozen=True)
class Convergence:
    """Estimates from parts of the draws.

    Attributes:
        n_draws: used in each, (m,), rising to all of them.
        forward: estimates from the first draws.
        backward: from as many of the last ones.
    """

    n_draws: tuple[int, ...]
    forward: tuple[Result, ...]
    backward: tuple[Result, ...]

    @property
    def halves_apart(self) -> float:
        """Difference of the first half of the draws from the second one, in its standard errors."""
        k = int(np.argmin(np.abs(np.array(self.n_draws) - self.n_draws[-1] / 2)))
        first, last = self.forward[k], self.backward[k]
        error = math.hypot(first.error, last.error)
        if not math.isfinite(first.value - last.value) or not error > 0:
            return math.nan
        return abs(first.value - last.value) / error

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why the estimate may not have settled."""
        if not self.halves_apart > _MOST_APART:
            return ()
        return (
            f"the two halves of the draws differ by {self.halves_apart:.1f} standard errors: the estimate "
            "has not settled; draw more, with several seeds",
        )

    def to(self, unit: str) -> "Convergence":
        """The same in another unit of energy, see `Result.to`."""
        forward, backward = (
            tuple(result.to(unit) for result in part) for part in (self.forward, self.backward)
        )
        return Convergence(self.n_draws, forward, backward)

    def to_dict(self) -> dict[str, Any]:
        """Numbers by name, for JSON."""
        return {
            "n_draws": list(self.n_draws),
            **{
                f"{name}_{field}": [getattr(result, field) for result in part]
                for name, part in (("forward", self.forward), ("backward", self.backward))
                for field in ("value", "error", "low", "high")
            },
            "halves_apart": self.halves_apart,
        }


def convergence(estimate: Callable[[slice], Result], n: int, *, points: int = 10) -> Convergence:
    """Estimates from the first and from the last 1/10, 2/10, ... of n draws.

    Args:
        estimate: from the draws of a slice.
        n: number of draws, in the order drawn.
        points: number of parts, an even one; fewer where there are fewer draws.

    Raises:
        ValueError: fewer than two draws, or `points` is not even.
    """
    if n < 2 or points < 2 or points % 2:
        raise ValueError(f"expected two draws or more and an even number of `points`, got {n} and {points}")
    sizes = sorted({max(1, round(n * k / points)) for k in range(1, points + 1)})
    return Convergence(
        tuple(sizes),
        tuple(estimate(slice(0, size)) for size in sizes),
        tuple(estimate(slice(n - size, n)) for size in sizes),
    )
