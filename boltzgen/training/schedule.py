"""How learning rate and temperature change over the steps of a training."""

import math
from collections.abc import Callable


def cosine(n_steps: int) -> Callable[[int], float]:
    """A factor that falls from 1 to 0 over `n_steps` by half a cosine."""
    return lambda step: _falling(step / n_steps)


def warmup_hold_cosine(n_steps: int, warmup: int, hold: float) -> Callable[[int], float]:
    """A factor that rises over `warmup` steps, stays for the share `hold` of all and falls by a cosine."""

    def factor(step: int) -> float:
        done = step / n_steps
        falling = _falling((done - hold) / (1 - hold)) if done > hold else 1.0
        return min((step + 1) / warmup, 1.0) * falling

    return factor


def annealed_temperature(start: float, target: float, n_steps: float) -> Callable[[int], float]:
    """Temperature in K that goes from `start` to `target` by the same factor in each of `n_steps` steps."""

    def temperature(step: int) -> float:
        done = step / n_steps if n_steps > 0 else 1.0
        return start * (target / start) ** min(done, 1.0)

    return temperature


def _falling(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
