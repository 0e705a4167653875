"""Transforms and distributions that do something."""

import math
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def disturbed(module: Module, size: float = 1.0, *, seed: int = 1) -> Module:
    """The module in float64 with parameters far from their start, where all terms of a derivative matter."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double()
    with torch.no_grad():
        for p in module.parameters():
            p += size * torch.randn(p.shape, generator=generator, dtype=p.dtype) / math.sqrt(p.shape[-1])
    return module
