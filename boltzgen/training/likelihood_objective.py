"""Maximum likelihood of any model on any data."""

from collections.abc import Callable

from torch import Tensor, nn
from typing_extensions import override

from boltzgen.flow.resampling import log_unforced_draws, update_rates
from boltzgen.training.losses import forward_kl
from boltzgen.training.objective import Metrics, Objective


class LikelihoodObjective(Objective):
    """Forward KL of a batch of data; every resampled distribution in the model is taken care of.

    Before each step their acceptance rates are updated. The log of the chance of an unforced draw is
    subtracted from the loss, see `Resampling.log_unforced`.

    Args:
        model: the density, or a module that contains it.
        log_prob: log-densities (n,) of the next batch of data, with a graph.
    """

    def __init__(self, model: nn.Module, log_prob: Callable[[], Tensor]) -> None:
        self.model, self.log_prob = model, log_prob

    @override
    def step(self) -> tuple[Tensor, Metrics]:
        update_rates(self.model)
        likelihood = forward_kl(self.log_prob())
        forced = log_unforced_draws(self.model).to(likelihood)
        return likelihood - forced, {"nll": float(likelihood.detach())}
