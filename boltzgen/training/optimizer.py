"""The optimizer: orthogonalised momentum for matrices, Adam for the rest."""

from typing import Any

from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from boltzgen.training.muon import Muon


class MatrixOptimizer:
    """`Muon` on networks' weight matrices, Adam on everything else, with one learning rate.

    Muon moves every matrix by its momentum with all singular values
    set to about one: directions of small gradient, in which a flow that is already close to its target still
    has to move, advance as fast as the others. Its step is scaled to have the root mean square of Adam's (Liu
    et al. 2025, arXiv:2502.16982), so that one learning rate serves both. Adam: Kingma and Ba 2014,
    arXiv:1412.6980.

    Args:
        *modules: whose parameters are trained.
        learning_rate: of both.
        weight_decay: decoupled, of the weight matrices alone (Loshchilov and Hutter 2019, arXiv:1711.05101):
            biases hold the harmonic approximation. `restart` can give each module another one.
    """

    def __init__(self, *modules: nn.Module, learning_rate: float, weight_decay: float = 0.0) -> None:
        matrices: list[dict[str, Any]] = []
        others: list[nn.Parameter] = []
        for module in modules:
            group: list[nn.Parameter] = []
            for name, parameter in module.named_parameters():
                (group if name.endswith("weight") and parameter.dim() == 2 else others).append(parameter)
            matrices.append({"params": group})
        self._parts: dict[str, Optimizer] = {}
        if any(group["params"] for group in matrices):
            self._parts["muon"] = Muon(matrices, lr=learning_rate, weight_decay=weight_decay)
        if others:
            self._parts["adam"] = Adam(others, lr=learning_rate, fused=True)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of both optimizers, with their learning rates `lr`."""
        return [group for part in self._parts.values() for group in part.param_groups]

    def restart(self, learning_rate: float, *weight_decay: float) -> None:
        """Other rates from here on, and a weight decay for each module; momenta are kept."""
        for group in self.param_groups:
            group["lr"] = group["initial_lr"] = learning_rate
        if "muon" in self._parts:
            for group, decay in zip(self._parts["muon"].param_groups, weight_decay, strict=True):
                group["weight_decay"] = decay

    def forget(self) -> None:
        """Begin with no momenta."""
        for part in self._parts.values():
            part.state.clear()

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for part in self._parts.values():
            part.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Move the parameters by their gradients."""
        for part in self._parts.values():
            part.step()

    def state_dict(self) -> dict[str, Tensor]:
        """Momenta by name, for `load_state_dict`."""
        return {
            f"{kind}.{index}.{name}": value
            for kind, part in self._parts.items()
            for index, moments in part.state_dict()["state"].items()
            for name, value in moments.items()
        }

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Take over the momenta of an optimizer of the same modules.

        Raises:
            ValueError: they are of other parameters.
        """
        states = {kind: part.state_dict() for kind, part in self._parts.items()}
        for key, value in tensors.items():
            kind, index, name = key.split(".")
            parameters = [p for group in self._parts[kind].param_groups for p in group["params"]]
            if value.dim() and value.shape != parameters[int(index)].shape:
                raise ValueError(f"expected momenta of the parameters' shapes, got {tuple(value.shape)}")
            states[kind]["state"].setdefault(int(index), {})[name] = value
        for kind, part in self._parts.items():
            part.load_state_dict(states[kind])
