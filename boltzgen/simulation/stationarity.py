"""Whether a simulation goes on as it began: tests that hold whatever the correlation in time.

Walkers are independent of each other, and that is all that is assumed of them: errors come from walkers,
never from a model of how frames are correlated. Both tests are exact. They take the largest deviation among
all states, so that many states raise no more false alarms than one.
"""

from dataclasses import dataclass

import numpy as np

from boltzgen.simulation.states import Series

_CHUNK = 500


@dataclass(frozen=True, eq=False)
class Outcome:
    """A test of all states together.

    Attributes:
        z: deviation of each state in standard errors, (n_states,); 0 where nothing can be said.
        probability: that of a largest |z| like this one in a stationary simulation.
    """

    z: np.ndarray
    probability: float


def drift(series: Series, *, n_replicates: int = 9999, seed: int = 0) -> Outcome:
    """Whether the share of any state changes with time.

    For each walker, two contrasts of its weight in a state: the second half of the frames less the first, and
    the slope over all frames. In a stationary simulation that is reversible, frames in reverse order are as
    likely, and both contrasts change sign: every combination of signs of the walkers is as likely as the one
    that was found. The probability is the share of random signs with as large a |z|, with z the sum over
    walkers over the root of the sum of squares (Fisher's randomisation test; Efron, J. Am. Stat. Assoc. 64,
    1278, 1969, for this statistic).

    z of a state is that of its contrast with the larger |z|.
    """
    n = len(series)
    time = np.linspace(-1.0, 1.0, n) if n > 1 else np.zeros(1)
    contrasts = np.stack([np.sign(time), time])
    values = np.einsum("ct,tws->wcs", contrasts, series.residual)
    scale = np.sqrt(np.square(values).sum(0))
    # Rounding errors are no deviation.
    values = np.where(scale > 1e-9 * n, values / np.maximum(scale, 1e-300), 0.0)
    z = values.sum(0)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (n_replicates, series.n_walkers))
    flat = values.reshape(series.n_walkers, -1)
    largest = np.abs(signs @ flat).max(1)
    larger = np.abs(z).argmax(0)
    return Outcome(np.take_along_axis(z, larger[None], 0)[0], _probability(largest, np.abs(z).max()))


def memory(series: Series, *, n_replicates: int = 9999, seed: int = 0) -> Outcome:
    """Whether walkers that began in a state still have more of it than the others, or less.

    z is the correlation of where a walker began with its weight in the state, times sqrt(n_walkers - 1). Once
    walkers have forgotten their starts, any walker could have had any start: the probability is the share of
    random permutations of the walkers with as large a |z|.
    """
    began = _standardised(series.starts.astype(np.float64))
    values = _standardised(series.residual.sum(0))
    n = series.n_walkers
    scale = np.sqrt(max(n - 1, 1))
    z = scale * (began * values).sum(0)
    rng = np.random.default_rng(seed)
    largest = []
    for start in range(0, n_replicates, _CHUNK):
        orders = rng.permuted(np.tile(np.arange(n), (min(_CHUNK, n_replicates - start), 1)), axis=1)
        largest.append(scale * np.abs(np.einsum("ws,rws->rs", began, values[orders])).max(1))
    return Outcome(z, _probability(np.concatenate(largest), np.abs(z).max()))


def _standardised(values: np.ndarray) -> np.ndarray:
    """Columns of values (n, m) about their mean, of length one; zero where they do not vary."""
    centred = values - values.mean(0)
    length = np.sqrt(np.square(centred).sum(0))
    return np.where(length > 1e-9, centred / np.maximum(length, 1e-300), 0.0)


def _probability(replicates: np.ndarray, found: float) -> float:
    """Share of the replicates, and of what was found, that are as large; equal ones to rounding count."""
    return float((1 + (replicates >= found - 1e-9).sum()) / (1 + len(replicates)))


def split_r_hat(values: np.ndarray) -> np.ndarray:
    """Split R-hat of quantities (n_frames, n_walkers, m): (m,).

    Each walker is cut into halves, and R-hat^2 = (n - 1) / n + B / W, with W the mean variance within the
    halves of n frames and B the variance of their means (Vehtari, Gelman, Simpson, Carpenter and Buerkner,
    Bayesian Anal. 16, 667, 2021, arXiv:1903.08008, section 3.1; without their ranks, which change nothing
    where a quantity has two values). It is about 1 + 1 / (2 n_eff), with n_eff the independent frames of half
    a walker: near 1 it says that every walker by itself visits all states in proportion. It is 1 for a
    quantity that never varies, and inf for one that varies between walkers alone.
    """
    n = len(values) // 2
    halves = np.concatenate([values[:n], values[len(values) - n :]], axis=1)
    within = halves.var(0, ddof=1).mean(0)
    between = halves.mean(0).var(0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        r_hat = np.sqrt((n - 1) / n + between / within)
    return np.where(between + within < 1e-18, 1.0, r_hat)
