"""Custom pair interactions: U = sum of f(r) over pairs of particles."""

from typing import Any

import openmm
import torch
from torch import Tensor
from typing_extensions import override

from boltzgen.energy.custom.base import CustomTerm, PairRows, Parameters, cutoff_of, full, parameter_names
from boltzgen.energy.custom.expression import gate
from boltzgen.energy.geometry import Geometry, PairList
from boltzgen.energy.terms.term import row_sum


class CustomNonbonded(CustomTerm):
    """An expression of the distance r [nm] of pairs of atoms and the parameters of both, in kJ/mol.

    The parameters have the suffixes 1 and 2. All pairs but the exclusions, or those of the interaction
    groups, without a cutoff or with one: zero beyond it, and times S(t) = 1 - 10 t^3 + 15 t^4 - 6 t^5, t = (r
    - switch)/(cutoff - switch), where there is a switching distance. A long-range correction exists for
    periodic systems only.
    """

    first: Tensor
    second: Tensor

    def __init__(self, force: openmm.CustomNonbondedForce, pairs: PairList) -> None:
        super().__init__(force)
        self.cutoff, self.switch = cutoff_of(force)
        names = parameter_names(force, "Particle")
        particles = Parameters(
            names, [force.getParticleParameters(i) for i in range(force.getNumParticles())]
        )
        self.parameters_of = self._with_computed_values(force, particles)
        atoms = _interacting(force, pairs)
        first, second = torch.tensor(atoms, dtype=torch.long).reshape(-1, 2).unbind(1)
        self.register_buffer("first", first.contiguous())
        self.register_buffer("second", second.contiguous())
        self.distances = PairRows(pairs.rows(atoms))
        names = self.parameters_of.names
        self.expression = self.compile_expression(
            force.getEnergyFunction(), ["r", *(name + suffix for name in names for suffix in "12")]
        )

    @classmethod
    def from_openmm(cls, force: openmm.CustomNonbondedForce, pairs: PairList) -> "CustomNonbonded":
        """Read an OpenMM `CustomNonbondedForce`."""
        return cls(force, pairs)

    def _with_computed_values(self, force: Any, particles: Parameters) -> Parameters:
        """The parameters, and the values computed from them, which never change."""
        names, columns = list(particles.names), list(particles.table)
        for n in range(force.getNumComputedValues()):
            name, text = force.getComputedValueParameters(n)
            value = self.compile_expression(text, particles.names)(particles.columns(torch.float64))
            names.append(name)
            columns.append(torch.as_tensor(value, dtype=torch.float64).expand(particles.table.shape[1], 1))
        return Parameters(
            names, torch.cat(columns, 1).tolist() if columns else [[]] * force.getNumParticles()
        )

    @override
    def forward(self, geometry: Geometry) -> Tensor:
        r = self.distances(geometry)
        within = None if self.cutoff is None else ~(r >= self.cutoff)
        values = {"r": r if within is None else gate(r, within)}
        for suffix, atoms in (("1", self.first), ("2", self.second)):
            values |= self.parameters_of.columns(r.dtype, suffix, atoms)
        energy = full(self.expression(values), len(r), r)
        if self.cutoff is not None and self.switch is not None:
            t = ((r - self.switch) / (self.cutoff - self.switch)).clamp(0.0, 1.0)
            energy = energy * (1.0 + t * t * t * (-10.0 + t * (15.0 - 6.0 * t)))
        return row_sum(energy if within is None else torch.where(within, energy, 0.0))


def _interacting(force: Any, pairs: PairList) -> list[tuple[int, int]]:
    """The pairs of atoms that interact, in OpenMM's order.

    A pair of several interaction groups comes several times.
    """
    excluded = {frozenset(force.getExclusionParticles(n)) for n in range(force.getNumExclusions())}
    if not force.getNumInteractionGroups():
        return [pair for pair in pairs.atoms() if frozenset(pair) not in excluded]
    found = []
    for n in range(force.getNumInteractionGroups()):
        one, other = (set(group) for group in force.getInteractionGroupParameters(n))
        for i in sorted(one):
            for j in sorted(other):
                twice = i > j and j in one and i in other
                if i != j and not twice and frozenset((i, j)) not in excluded:
                    found.append((i, j))
    return found
