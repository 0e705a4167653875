"""Whether samples are what they say: weights of their energies and densities, and molecules in nm."""

import torch
from torch import Tensor

from boltzgen.samples.draws import Draws

#: A molecule is never longer than its atoms in a row, this far apart in nm.
_LONGEST_STEP = 1.0
#: Rounding of a sum of two float64.
_ROUNDING = 1e-14


def check_samples(samples: Draws, first: int = 0) -> None:
    """Raise unless each log-weight is -u - log_q, and each molecule with weight is one in nm.

    Args:
        samples: consecutive ones.
        first: number of the first of them, for the message.

    Raises:
        ValueError: which sample is wrong, and how.
    """
    check_weights(samples.u, samples.log_q, samples.log_w, first)
    x, has_weight = samples.x, samples.log_w > -torch.inf
    span = (x.amax(1) - x.amin(1)).amax(1) if len(x) else x.new_empty(0)
    # A comparison with NaN is false.
    wrong = has_weight & ~(span <= _LONGEST_STEP * max(2, x.shape[1]))
    if wrong.any():
        k = int(wrong.nonzero()[0])
        raise ValueError(
            f"sample {first + k} has a weight, but its positions are not those of a molecule in nm: they are "
            f"{'not finite' if not x[k].isfinite().all() else f'{float(span[k]):.3g} nm apart'}"
        )


def check_weights(u: Tensor, log_q: Tensor, log_w: Tensor, first: int = 0) -> None:
    """Raise unless log_w (n,) is -u - log_q, and -inf where u is not finite; see `check_samples`."""
    finite = u.isfinite()
    difference = (log_w + u + log_q).abs()
    right = torch.where(
        finite & log_q.isfinite(),
        difference <= _ROUNDING * (u.abs() + log_q.abs()),
        (log_w == -torch.inf) & ~(finite & (log_q.isnan() | (log_q == -torch.inf))),
    )
    if not right.all():
        k = int((~right).nonzero()[0])
        found, energy, density = (float(values[k]) for values in (log_w, u, log_q))
        expected = -energy - density if finite[k] else -torch.inf
        raise ValueError(
            f"sample {first + k} has log_w = {found:.12g}, but its u = {energy:.12g} and log_q = "
            f"{density:.12g} give {expected:.12g}"
        )
