"""Conditioner networks and the features they see of angles."""

import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """A SiLU network, (..., n_in) -> (..., n_out): the hidden layers `trunk` and the linear layer `last`.

    The last layer starts with zero bias and weights scaled by `last_scale`, so that what it conditions starts
    at its default.
    """

    def __init__(self, n_in: int, hidden: Sequence[int], n_out: int, *, last_scale: float = 0.01) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        with warnings.catch_warnings():
            # Of a molecule without torsions that turn, a network sees nothing.
            warnings.filterwarnings("ignore", "Initializing zero-element tensors")
            for width in hidden:
                layers += [nn.Linear(n_in, width), nn.SiLU()]
                n_in = width
        self.trunk = nn.Sequential(*layers)
        self.last = nn.Linear(n_in, n_out)
        with torch.no_grad():
            self.last.weight.mul_(last_scale)
            self.last.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (..., n_out) of inputs x (..., n_in)."""
        return self.last(self.trunk(x))  # type: ignore[no-any-return]

    def outputs_first(self, x: Tensor) -> Tensor:
        """Outputs (n_out, batch) of inputs (batch, n_in): the order in which kernels read them.

        So they come straight from the last layer's product, without a transposition.
        """
        return torch.addmm(self.last.bias.unsqueeze(1), self.last.weight, self.trunk(x).T)


class Part(NamedTuple):
    """One network among several: which inputs it sees, and what its outputs are for."""

    inputs: Sequence[int]
    outputs: Sequence[int]


class LocalMLP(nn.Module):
    """Networks side by side, (..., n_in) -> (..., n_out): each sees some inputs; outputs follow each other.

    With one network for each piece of a molecule, which sees what is near, cost and parameters grow linearly
    with the number of pieces.

    Args:
        inputs: those that each network sees.
        hidden: widths of the hidden layers of each.
        sizes: number of outputs of each.
    """

    def __init__(self, inputs: Sequence[Sequence[int]], hidden: Sequence[int], sizes: Sequence[int]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(
            MLP(len(seen), hidden, size) for seen, size in zip(inputs, sizes, strict=True)
        )
        self.sizes = list(sizes)
        for k, seen in enumerate(inputs):
            self.register_buffer(
                f"inputs_{k}", torch.tensor(sorted(seen), dtype=torch.long), persistent=False
            )

    def _pairs(self, x: Tensor) -> Iterator[tuple[MLP, Tensor]]:
        for k, net in enumerate(self.nets):
            seen = self.get_buffer(f"inputs_{k}")
            yield net, x if len(seen) == x.shape[-1] else x.index_select(-1, seen)  # type: ignore[misc]

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (..., n_out) of inputs x (..., n_in)."""
        return torch.cat([net(part) for net, part in self._pairs(x)], dim=-1)

    def outputs_first(self, x: Tensor) -> list[Tensor]:
        """The outputs (n_out, batch) of each network, of inputs (batch, n_in)."""
        return [net.outputs_first(part) for net, part in self._pairs(x)]

    def set_default(self, outputs: Tensor) -> None:
        """Make `outputs` (n_out,) what comes out for zero weights: the last layers' biases."""
        with torch.no_grad():
            for net, bias in zip(self.nets, outputs.split(self.sizes), strict=True):
                net.last.bias.copy_(bias)  # type: ignore[union-attr, operator]


def periodic_features(angle: Tensor, harmonics: int = 2) -> Tensor:
    """cos(k a), sin(k a) for k = 1 ... harmonics of angles (..., n): shape (..., 2 n harmonics)."""
    multiples = torch.cat([k * angle for k in range(1, harmonics + 1)], dim=-1)
    return torch.cat((torch.cos(multiples), torch.sin(multiples)), dim=-1)
