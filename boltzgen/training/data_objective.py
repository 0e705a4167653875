"""Training on data: maximum likelihood, or where its energies are known mostly their log-variance loss."""

import torch
from torch import Tensor

from boltzgen.training.data import held_out_nll
from boltzgen.training.losses import forward_kl, log_variance_loss
from boltzgen.training.objective import Metrics
from boltzgen.training.run_objective import RunObjective, Task


class DataObjective(RunObjective):
    """Maximum likelihood on frames, until the likelihood of those held out has not risen for some rounds.

    Where the energies of the frames are known, the log-variance loss with `Settings.data_weight` of the
    likelihood. The parameters of the best round are kept.
    """

    stage = "data"

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        if task.data is None or task.held_out is None:
            raise ValueError("training on data needs data; give a `Task` with `data` and `held_out`")
        self.data, self.held_out = task.data, task.held_out
        self.temperature = task.temperature
        self.best: dict[str, Tensor] = {}
        self._nll: list[float] = []
        self._likelihoods: list[float] = []

    @property
    def finished(self) -> bool:
        """Whether the last rounds, as many as the patience says, were no better than one before."""
        if not self._nll:
            return False
        return len(self._nll) - 1 - self._nll.index(min(self._nll)) >= self.task.settings.data_patience

    def start_round(self, stream: torch.Generator, shared: torch.Generator | None = None) -> None:
        """Shuffle the data."""
        super().start_round(stream, shared)
        s = self.task.settings
        self._batches = self.data.batches(
            s.data_steps,
            s.data_batch,
            shared or stream,
            self.temperature,
            part=self.task.ranks.part(s.data_batch),
        )
        self._likelihoods.clear()

    def step(self) -> tuple[Tensor, Metrics]:
        """The loss of the next batch."""
        y, u, weight = next(self._batches)
        ranks = self.task.ranks
        log_q = self.task.generator.flow.log_prob(y)
        loss = likelihood = forward_kl(log_q, weight, ranks=ranks)
        self._likelihoods.append(float(ranks.total(likelihood)))
        if self.data.potential is not None:
            loss = self.task.settings.data_weight * likelihood + log_variance_loss(log_q, u, ranks=ranks)
        return loss - loss.detach() + ranks.total(loss), {}

    def end_round(self, average: dict[str, Tensor]) -> Metrics:
        """Negative log-likelihoods, of the data over the round and of the frames held out after it."""
        mean_log_det = float((self.data.log_det * self.data.weight).sum() / self.data.weight.sum())
        found = held_out_nll(self.task.generator.flow, average, self.held_out, ranks=self.task.ranks)
        if not self._nll or found < min(self._nll):
            self.best = {k: v.clone() for k, v in average.items()}
        self._nll.append(found)
        nll = sum(self._likelihoods) / len(self._likelihoods) + mean_log_det
        return {"nll": nll, "held_out_nll": found}

    def chosen(self, average: dict[str, Tensor]) -> dict[str, Tensor]:
        """The best round's."""
        return self.best

    def state_dict(self) -> dict[str, Tensor]:
        """The best round's parameters, and the likelihoods so far."""
        return {f"best.{k}": v for k, v in self.best.items()} | {
            "held_out_nll": torch.tensor(self._nll, dtype=torch.float64)
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on after the rounds of a state."""
        self.best = {k.removeprefix("best."): v for k, v in state.items() if k.startswith("best.")}
        self._nll = state["held_out_nll"].tolist()
