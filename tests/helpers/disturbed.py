"""Transforms that do something."""

import math

import torch

from boltzgen.flow.transform import Transform


def disturbed(transform: Transform, size: float = 1.0) -> Transform:
    """The transform in float64 with parameters far from their start, where every term of its derivative
    matters.
    """
    generator = torch.Generator().manual_seed(1)
    transform = transform.double()
    with torch.no_grad():
        for p in transform.parameters():
            p += size * torch.randn(p.shape, generator=generator, dtype=p.dtype) / math.sqrt(p.shape[-1])
    return transform
