"""The integrator of Hamiltonian Monte Carlo: kicks and free flight of atoms, bonds to hydrogens rigid."""

from collections.abc import Mapping, Sequence

import torch
from openmm import unit
from torch import Tensor

from boltzgen.molecule.labels import atom_names
from boltzgen.molecule.system import System


class Integrator:
    """What Hamiltonian Monte Carlo does beside evaluating forces: draw velocities, kick, and drift.

    A rigid bond of length b from a parent to a terminal atom makes that atom a point d, |d| = b, on a sphere
    about the parent. The configuration space is then a product of lines and spheres; on each sphere the drift
    goes along a great circle, which is exact, reversible and preserves volume (Byrne and Girolami, Scand. J.
    Stat. 40, 825, 2013). The distribution of positions is exp(-U/kT) delta(|d| - b) dx, that of the
    generators, with none of the metric factor of constrained dynamics.

    Rows of velocities (batch, n_atoms, 3) in nm/ps are those of the atoms, of a terminal atom the velocity of
    d, perpendicular to it.

    Args:
        masses: (n_atoms,) in dalton.
        constraints: lengths in nm by pairs of atoms (`System.constraints`).
        neighbours: bonded atoms of each atom (`MolecularGraph.neighbours`).
        names: of the atoms, for messages.

    Raises:
        ValueError: a constrained distance is not a bond of a terminal atom.
    """

    def __init__(
        self,
        masses: Tensor,
        constraints: Mapping[tuple[int, int], float] | None = None,
        neighbours: tuple[tuple[int, ...], ...] = (),
        names: Sequence[str] = (),
    ) -> None:
        self.inverse_mass = 1.0 / masses
        ends, parents = [], []
        for i, j in constraints or {}:
            end, parent = (i, j) if len(neighbours[i]) == 1 else (j, i)
            if neighbours[end] != (parent,) or end in ends or parent in ends:
                raise ValueError(
                    "replica exchange needs constraints on single bonds to hydrogens, got one between "
                    f"{names[i] if names else i + 1} and {names[j] if names else j + 1}; use `method='md'`"
                )
            ends.append(end)
            parents.append(parent)
        device = masses.device
        self.ends, self.parents = (
            torch.tensor(ends, dtype=torch.long, device=device),
            torch.tensor(parents, dtype=torch.long, device=device),
        )
        self.lengths = torch.tensor(list((constraints or {}).values()), dtype=torch.float64, device=device)

    def _rods(self, x: Tensor) -> Tensor:
        """d (batch, n_rigid, 3) at its exact length."""
        d = x[:, self.ends] - x[:, self.parents]
        return d * (self.lengths.to(x)[:, None] / d.norm(dim=-1, keepdim=True))

    def restore(self, x: Tensor) -> Tensor:
        """x (batch, n_atoms, 3) with rigid bonds at their lengths, directions kept."""
        if len(self.ends) == 0:
            return x
        return x.index_copy(1, self.ends, x[:, self.parents] + self._rods(x))

    def _tangent(self, x: Tensor, vectors: Tensor) -> Tensor:
        """Vectors (batch, n_atoms, 3), in place, without the part of terminal atoms along their bonds."""
        if len(self.ends):
            d, v = self._rods(x), vectors[:, self.ends]
            along = (v * d).sum(-1, keepdim=True) / self.lengths.to(x)[:, None].square()
            vectors[:, self.ends] = v - along * d
        return vectors

    def velocities(self, x: Tensor, kt: Tensor, generator: torch.Generator) -> Tensor:
        """Velocities at temperature kT, (batch,) in kJ/mol, of configurations x (batch, n_atoms, 3)."""
        drawn = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return self._tangent(
            x, drawn.mul_((kt.to(x)[:, None, None] * self.inverse_mass.to(x)[:, None]).sqrt())
        )

    def kinetic(self, v: Tensor) -> Tensor:
        """Kinetic energy in kJ/mol, float64 (batch,): dalton nm^2 / ps^2 is kJ/mol."""
        return 0.5 * (v.square() / self.inverse_mass.to(v)[:, None]).sum((-1, -2), dtype=torch.float64)

    def kick(self, x: Tensor, v: Tensor, gradient: Tensor, dt: Tensor) -> None:
        """v changed, in place, by forces -gradient [kJ/(mol nm)] over dt (batch, 1, 1) in ps."""
        if len(self.ends):
            # What pulls a terminal atom pulls its parent along.
            gradient = self._tangent(x, gradient.index_add(1, self.parents, gradient[:, self.ends]))
        v.addcmul_(dt * self.inverse_mass.to(x)[:, None], gradient, value=-1.0)

    def drift(self, x: Tensor, v: Tensor, dt: Tensor) -> Tensor:
        """Positions in nm after dt (batch, 1, 1) in ps without forces.

        The velocities of terminal atoms turn with their bonds, in place.
        """
        moved = torch.addcmul(x, dt, v)
        if len(self.ends) == 0:
            return moved
        d, w, b = self._rods(x), v[:, self.ends], self.lengths.to(x)[:, None]
        speed = w.norm(dim=-1, keepdim=True) / b
        turn = speed * dt
        still = speed == 0
        along = w / torch.where(still, 1.0, speed)
        v[:, self.ends] = w * torch.cos(turn) - d * speed * torch.sin(turn)
        return moved.index_copy(
            1, self.ends, moved[:, self.parents] + d * torch.cos(turn) + along * torch.sin(turn)
        )


def integrator_for(system: System, device: str = "cpu") -> Integrator:
    """The integrator with a system's rigid bonds and its `sampling_masses`."""
    masses = [
        system.openmm_system.getParticleMass(i).value_in_unit(unit.dalton) for i in range(system.n_atoms)
    ]
    return Integrator(
        sampling_masses(torch.tensor(masses, dtype=torch.float64)).to(device),
        system.constraints,
        system.graph.neighbours,
        atom_names(system.topology),
    )


def sampling_masses(masses: Tensor) -> Tensor:
    """Masses in dalton (n_atoms,), those of light atoms raised to 4.

    The time step can be longer, and the distribution of positions stays the same.
    """
    return masses.clamp_min(4.0)
