"""Where walkers start: conformations with torsions drawn at random, brought to a nearby minimum."""

import math

import torch
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import Energy
from boltzgen.simulation.hmc import Configurations
from boltzgen.simulation.integrator import Integrator

_ROUNDS = 20


def inside_domain(coordinates: MolecularCoordinates, x: Tensor) -> Tensor:
    """Whether positions (batch, n_atoms, 3) in nm lie in the domain, bool (batch,).

    Turns of symmetric rotors count as inside: they only rename equivalent atoms.
    """
    y = coordinates.inverse(x)[0]
    y[..., coordinates.n_full : coordinates.n_periodic] = 0.0
    return coordinates.in_domain(y)


@torch.no_grad()
def random_starts(
    coordinates: MolecularCoordinates,
    energy: Energy,
    integrator: Integrator,
    n: int,
    *,
    seed: int,
    n_steps: int = 300,
) -> Tensor:
    """n conformations in the domain, (n, n_atoms, 3) in nm, float32, from random torsions.

    Free torsions are drawn uniformly; then the energy descends.

    Args:
        coordinates: of the molecule, with its domain.
        energy: U and its gradient, batched.
        integrator: its rigid bonds are kept.
        n: conformations.
        seed: of the torsions.
        n_steps: steps of the descent.

    Raises:
        ValueError: too few of them came out with a finite energy, inside the domain.
    """
    stream = torch.Generator().manual_seed(seed)
    found: list[Tensor] = []
    for _ in range(_ROUNDS):
        y = coordinates.from_internal(coordinates.reference).repeat(n, 1)
        y[:, : coordinates.n_periodic] = math.pi * (
            2 * torch.rand(n, coordinates.n_periodic, generator=stream, dtype=y.dtype) - 1
        ).to(y.device)
        x, potential = descend(energy, integrator, coordinates(y)[0].float(), n_steps)
        good = potential.isfinite() & inside_domain(coordinates, x)
        # What remains clashed would fly apart.
        good &= potential < potential[good].median() + 20.0 * x.shape[1] if good.any() else good
        found.append(x[good])
        if sum(map(len, found)) >= n:
            return torch.cat(found)[:n]
    raise ValueError(
        f"only {sum(map(len, found))} of {n * _ROUNDS} random conformations relax to a place in the domain; "
        f"expected {n}: check the structure"
    )


def descend(energy: Energy, integrator: Integrator, x: Tensor, n_steps: int) -> tuple[Tensor, Tensor]:
    """Positions (batch, n_atoms, 3) in nm after steepest descent with rigid bonds, and U in kJ/mol."""
    here = Configurations.at(energy, x)
    # Largest displacement of an atom, in nm.
    length = torch.full((len(x),), 0.002, dtype=x.dtype, device=x.device)
    for _ in range(n_steps):
        steepest = here.gradient.nan_to_num(0.0, 0.0, 0.0).norm(dim=-1).amax(-1).clamp_min(1e-12)
        down = here.x - (length / steepest)[:, None, None] * here.gradient.nan_to_num(0.0, 0.0, 0.0)
        there = Configurations.at(energy, integrator.restore(down))
        better = ~(there.potential >= here.potential) & there.potential.isfinite()
        here = there.where(better, here)
        length = torch.where(better, 1.2 * length, 0.3 * length).clamp(1e-6, 0.02)
    return here.x, here.potential
