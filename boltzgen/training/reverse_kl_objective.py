"""Plain reverse KL on energies, with the gradient of the score or the path gradient."""

from torch import Tensor

from boltzgen.generator.target import PullbackEnergy
from boltzgen.training.annealed import AnnealedObjective
from boltzgen.training.losses import reverse_kl, reverse_kl_path

#: kT above a batch's median from where the advantage of a draw, a clash, enters by its logarithm.
CAP = 30.0


class ReverseKL(AnnealedObjective):
    """KL(q || p) from the flow's own draws, see `reverse_kl`: modes that the flow has lost stay lost."""

    def loss(self, target: PullbackEnergy) -> tuple[Tensor, Tensor]:
        """From fresh draws."""
        flow, ranks = self.task.generator.flow, self.task.ranks
        n = ranks.share(self.task.settings.batch)
        return reverse_kl(flow, target, n, cap=CAP, generator=self.stream, ranks=ranks)


class ReverseKLPath(AnnealedObjective):
    """KL(q || p) with the path gradient, see `reverse_kl_path`."""

    def loss(self, target: PullbackEnergy) -> tuple[Tensor, Tensor]:
        """From fresh draws; the gradients of clashes are shortened to two medians."""
        flow, ranks = self.task.generator.flow, self.task.ranks
        n = ranks.share(self.task.settings.batch)
        return reverse_kl_path(flow, target, n, longest=2.0, generator=self.stream, ranks=ranks)
