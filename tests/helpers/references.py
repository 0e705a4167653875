"""Frames of alanine dipeptide whose distribution is known."""

import math

import numpy as np
import torch
from torch import Tensor

from boltzgen.molecule.system import System
from tests.helpers.posing import pose

N_WALKERS = 12
#: The weight of the rarer frames, of the whole.
ALPHA_R = math.e / (3 + math.e)


def frames(system: System, n: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Frames at (-80, 110) and, one in four, at (-70, -40) degrees; the latter have weight e times 1, so e /
    (3 + e) of the whole.
    """
    rng = np.random.default_rng(seed)
    other = rng.random(n) < 0.25
    centre = np.radians(np.where(other[:, None], (-70, -40), (-80, 110)))
    phi, psi = (centre + np.radians(12) * rng.standard_normal((n, 2))).T
    u = torch.from_numpy(rng.normal(np.where(other, -48.0, -50.0), 2.0))
    return pose(system, phi, psi), u, torch.from_numpy(other.astype(float)), torch.arange(n) % N_WALKERS
