"""Made-up samples of any molecule: its atoms moved at random."""

import torch

from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples


def rattled_samples(system: System, n: int, *, width: float = 0.03, seed: int = 0) -> WeightedSamples:
    """n conformations whose atoms are `width` nm from the molecule's own positions, with made-up energies."""
    stream = torch.Generator().manual_seed(seed)
    moved = width * torch.randn(n, system.n_atoms, 3, generator=stream, dtype=torch.float64)
    x = (system.positions + moved).float()
    u = -50.0 + 2.0 * torch.randn(n, generator=stream, dtype=torch.float64)
    log_q = -u + 0.3 * torch.randn(n, generator=stream, dtype=torch.float64)
    return WeightedSamples.from_energies(x, u, log_q, system, temperature=300.0)
