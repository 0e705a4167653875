"""How likely held-out data are under a density."""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from boltzgen.flow.resampling import log_prob_error


@dataclass(frozen=True)
class Likelihood:
    """The mean log-density of independent held-out points, in nats, with what it may be wrong by.

    Attributes:
        mean: the mean log-density.
        standard_error: of the mean, over the points: what another test set of this size may say.
        rate_error: at most this comes from the model's acceptance rates, see `log_prob_error`: whether the
            density is normalised. It does not get smaller with more points.
        n: the number of points.
    """

    mean: float
    standard_error: float
    rate_error: float
    n: int

    @classmethod
    def of(cls, log_prob: Tensor, model: nn.Module) -> "Likelihood":
        """Of log-densities (n,) of held-out points under a model.

        Call `update_rates(model, 1_000_000)` before the log-densities are computed, so that its acceptance
        rates are those of its parameters as they are now.

        Raises:
            ValueError: there are fewer than two points.
        """
        if log_prob.dim() != 1 or len(log_prob) < 2:
            raise ValueError(
                f"expected `log_prob` of shape (n,) with n >= 2 points, got {tuple(log_prob.shape)}"
            )
        found = log_prob.detach().double()
        error = float(found.std()) / math.sqrt(len(found))
        return cls(float(found.mean()), error, log_prob_error(model), len(found))

    def __str__(self) -> str:
        return f"{self.mean:.4f} +- {self.standard_error:.4f} nats (log Z +- {self.rate_error:.4f})"
