"""Muon: momentum with all singular values set to about one, for many matrices at once."""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

#: Coefficients of the iteration x <- (a + b x x^T + c (x x^T)^2) x, and how often.
_A, _B, _C, _STEPS = 3.4445, -4.775, 2.0315, 5


class Muon(Optimizer):
    """Muon (Jordan et al. 2024), as `torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`.

    A matrix moves by its Nesterov momentum with all singular values set to about one, scaled to the root mean
    square of Adam's steps (Liu et al. 2025, arXiv:2502.16982). torch's takes one matrix after the other, and
    in bfloat16, for which most laptops' processors have no instructions: there it takes longer than all the
    rest of a training step. Here matrices of one shape are stacked, in a type that the processor is fast with
    (`benchmarks/muon.py`).

    Args:
        parameters: matrices, or groups of them.
        lr: learning rate.
        momentum: decay of the momentum, per step.
        weight_decay: decoupled (Loshchilov and Hutter 2019, arXiv:1711.05101).

    Raises:
        ValueError: a parameter is no matrix.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        *,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for group in self.param_groups:
            for p in group["params"]:
                if p.dim() != 2:
                    raise ValueError(f"expected matrices, got a parameter of shape {tuple(p.shape)}")

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    @override
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Move the matrices that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_shape.setdefault(p.shape, []).append(p)
            for shape, matrices in by_shape.items():
                self._move(matrices, max(shape), group)
        return loss

    def _move(self, matrices: list[Tensor], longer: int, group: dict[str, Any]) -> None:
        gradients = [p.grad for p in matrices if p.grad is not None]
        for p in matrices:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        momenta = [self.state[p]["momentum_buffer"] for p in matrices]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        moves = orthogonalized(torch.stack(torch._foreach_lerp(gradients, momenta, group["momentum"])))
        if group["weight_decay"]:
            torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(matrices, list(moves.unbind()), alpha=-0.2 * longer**0.5 * group["lr"])


def orthogonalized(matrices: Tensor) -> Tensor:
    """Matrices (n, rows, columns) with singular values of about one, by five steps of Newton and Schulz.

    Values below a thousandth of a matrix's norm stay small.
    """
    x = matrices.to(_fast_dtype(matrices.device))
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return (x.mT if tall else x).to(matrices.dtype)


def _fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on GPUs and on processors with AVX-512.

    On others, those of most laptops, its matrix products take far longer than float32's.
    """
    if device.type == "cuda" or torch.backends.cpu.get_cpu_capability() == "AVX512":
        return torch.bfloat16
    return torch.float32
