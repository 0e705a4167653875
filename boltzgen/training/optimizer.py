"""The optimizer: orthogonalised momentum for matrices, Adam for the rest."""

from torch import Tensor, nn
from torch.optim import Adam, Muon


class MatrixOptimizer:
    """Muon (Jordan et al. 2024; torch.optim.Muon) on networks' weight matrices, Adam (Kingma and Ba 2014,
    arXiv:1412.6980) on everything else.

    Muon moves every matrix by its momentum with all singular values set to about one: directions of small
    gradient, in which a flow that is already close to its target still has to move, advance as fast as the
    others. Its step is scaled to have the root mean square of Adam's (Liu et al. 2025, arXiv:2502.16982), so
    that one learning rate serves both.
    """

    def __init__(self, module: nn.Module, rate: float) -> None:
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in module.named_parameters():
            (matrices if name.endswith("weight") and parameter.dim() == 2 else others).append(parameter)
        self._parts = (
            Muon(matrices, lr=rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
            Adam(others, lr=rate),
        )

    def set_rate(self, rate: float) -> None:
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = rate

    def zero_grad(self) -> None:
        for part in self._parts:
            part.zero_grad(set_to_none=True)

    def step(self) -> None:
        for part in self._parts:
            part.step()

    def tensors(self) -> dict[str, Tensor]:
        """Momenta by name, for `restore`."""
        found: dict[str, Tensor] = {}
        for k, part in enumerate(self._parts):
            for index, moments in part.state_dict()["state"].items():
                found |= {f"{k}.{index}.{name}": value for name, value in moments.items()}
        return found

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over momenta from `tensors` of an optimizer of the same module."""
        states = [part.state_dict() for part in self._parts]
        for key, value in tensors.items():
            k, index, name = key.split(".")
            states[int(k)]["state"].setdefault(int(index), {})[name] = value
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)
