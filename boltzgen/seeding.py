"""Random streams by key: the same key gives the same numbers, whatever else is drawn."""

import numpy as np
import torch


def random_stream(device: torch.device | str, *key: int) -> torch.Generator:
    """A random generator whose seed is derived from a key of non-negative integers."""
    state = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
    return torch.Generator(device=device).manual_seed(state & (2**63 - 1))
