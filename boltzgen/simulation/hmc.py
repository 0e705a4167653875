"""Hamiltonian Monte Carlo for many configurations at once, each at its own temperature."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from boltzgen.energy.base import Energy
from boltzgen.simulation.integrator import Integrator


@dataclass
class Configurations:
    """Positions with their potential energy and its gradient.

    Attributes:
        x: positions, (batch, n_atoms, 3) in nm.
        potential: U(x), (batch,) in kJ/mol.
        gradient: dU/dx, (batch, n_atoms, 3) in kJ/(mol nm).
    """

    x: Tensor
    potential: Tensor
    gradient: Tensor

    @classmethod
    def at(cls, energy: Energy, x: Tensor) -> "Configurations":
        """Evaluate `energy` at positions x."""
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            potential = energy.potential(leaf)
            (gradient,) = torch.autograd.grad(potential.sum(), leaf)
        return cls(x.detach(), potential.detach(), gradient)

    def take(self, rows: Tensor) -> "Configurations":
        """Those of the given rows, int64 (m,)."""
        return Configurations(self.x[rows], self.potential[rows], self.gradient[rows])

    def where(self, chosen: Tensor, other: "Configurations") -> "Configurations":
        """These where `chosen`, bool (batch,), is true and the other's elsewhere."""
        wide = chosen[:, None, None]
        return Configurations(
            torch.where(wide, self.x, other.x),
            torch.where(chosen, self.potential, other.potential),
            torch.where(wide, self.gradient, other.gradient),
        )


@dataclass(frozen=True)
class Move:
    """What one move did.

    Attributes:
        accepted: whether each trajectory was, bool (batch,).
        probability: of its acceptance, float64 (batch,).
        left: whether its end lay outside the domain, bool (batch,).
    """

    accepted: Tensor
    probability: Tensor
    left: Tensor


class HamiltonianMonteCarlo:
    """Leaves exp(-U(x)/kT) on a domain exactly invariant, with any time step.

    Duane, Kennedy, Pendleton & Roweth, Phys. Lett. B 195, 216, 1987; Neal, arXiv:1206.1901.

    A move draws momenta, follows the dynamics for `n_steps` of velocity Verlet, and accepts its end with
    probability min(1, exp(-dH/kT)), H = U + sum m v^2 / 2; an end outside the domain is rejected. The time
    step of a move is drawn within a tenth of its mean, which keeps trajectories from returning to where they
    began. Masses do not enter the distribution of x: heavy hydrogens allow a longer step. Nor do rigid bonds,
    whose lengths stay as they are, see `Integrator`.

    Args:
        energy: computes U and its gradient.
        integrator: masses and rigid bonds.
        inside: whether positions (batch, n_atoms, 3) lie in the domain, bool (batch,); by default all do.
        n_steps: of each trajectory.
    """

    def __init__(
        self,
        energy: Energy,
        integrator: Integrator,
        *,
        inside: Callable[[Tensor], Tensor] | None = None,
        n_steps: int = 50,
    ) -> None:
        self.energy, self.integrator, self.inside, self.n_steps = energy, integrator, inside, n_steps

    def move(
        self, start: Configurations, kt: Tensor, step: Tensor, generator: torch.Generator
    ) -> tuple[Configurations, Move]:
        """One trajectory from each configuration.

        Args:
            start: the present configurations.
            kt: thermal energy of each, (batch,) in kJ/mol.
            step: mean time step of each, (batch,) in ps.
            generator: source of randomness.

        Returns:
            The configurations after the move, and what the move did.
        """
        x, dtype, device = start.x, start.x.dtype, start.x.device
        v = self.integrator.velocities(x, kt, generator)
        jitter = 0.9 + 0.2 * torch.rand(len(x), generator=generator, dtype=torch.float64, device=device)
        chance = torch.rand(len(x), generator=generator, dtype=torch.float64, device=device)
        dt = (step * jitter).to(dtype)[:, None, None]
        before = self.integrator.kinetic(v)
        here = start
        self.integrator.kick(here.x, v, here.gradient, 0.5 * dt)
        for n in range(self.n_steps):
            here = Configurations.at(self.energy, self.integrator.drift(here.x, v, dt))
            self.integrator.kick(here.x, v, here.gradient, dt if n < self.n_steps - 1 else 0.5 * dt)
        rise = here.potential.double() - start.potential.double() + self.integrator.kinetic(v) - before
        # An energy that is not a number is never accepted.
        probability = torch.exp(-rise / kt).clamp(max=1.0).nan_to_num(nan=0.0)
        left = torch.zeros(len(x), dtype=torch.bool, device=device)
        if self.inside is not None:
            left = ~self.inside(here.x)
            probability = torch.where(left, 0.0, probability)
        accepted = chance < probability
        return here.where(accepted, start), Move(accepted, probability, left)
