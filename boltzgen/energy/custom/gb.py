"""Custom Generalized Born forces: values computed for each particle, then energies of them.

v_i = f(particle i, earlier values of i),    or
v_i = sum_{j != i} f(r_ij, particles i and j, earlier values of both);
U = sum_i g(particle i, its values) + sum_{i<j} h(r_ij, particles i and j, their values).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import openmm
import torch
from torch import Tensor
from typing_extensions import override

from boltzgen.energy.custom.base import CustomTerm, PairRows, Parameters, cutoff_of, full, parameter_names
from boltzgen.energy.custom.expression import Expression, gate
from boltzgen.energy.geometry import Geometry, Masters, PairList
from boltzgen.energy.terms.obc import OBC
from boltzgen.energy.terms.term import Term, UnsupportedForceError, row_sum


@dataclass
class Stage:
    """One computed value or energy term.

    Attributes:
        name: that of a value; empty for an energy term.
        expression: its expression.
        pairs: "all", "included" (without the exclusions), or None for single particles.
    """

    name: str
    expression: Expression
    pairs: str | None


class CustomGB(CustomTerm):
    """Any `CustomGBForce`, in kJ/mol, without a cutoff or with one.

    An expression of a pair sees the parameters and values of the particle it is for with the suffix 1, and
    the other's with 2. A computed value sums over both orders of each pair; an energy counts each pair once,
    the lower atom first (OpenMM expects it to be symmetric).
    """

    def __init__(self, force: openmm.CustomGBForce, pairs: PairList) -> None:
        super().__init__(force)
        self.cutoff, _ = cutoff_of(force)
        self.n_atoms = pairs.n_atoms
        particles = [force.getParticleParameters(i) for i in range(force.getNumParticles())]
        self.parameters_of = Parameters(parameter_names(force, "Particle"), particles)
        excluded = {frozenset(force.getExclusionParticles(n)) for n in range(force.getNumExclusions())}
        self.pairs_of = torch.nn.ModuleDict({"all": _Pairs(pairs, pairs.atoms())})
        if excluded:
            self.pairs_of["included"] = _Pairs(
                pairs, [pair for pair in pairs.atoms() if frozenset(pair) not in excluded]
            )
        names = [*self.parameters_of.names]
        self.values = []
        for n in range(force.getNumComputedValues()):
            name, text, kind = force.getComputedValueParameters(n)
            self.values.append(self._stage(name, text, kind, names))
            names.append(name)
        terms = map(force.getEnergyTermParameters, range(force.getNumEnergyTerms()))
        self.energies = [self._stage("", text, kind, names) for text, kind in terms]

    def _stage(self, name: str, text: str, kind: int, names: list[str]) -> Stage:
        if kind == openmm.CustomGBForce.SingleParticle:
            return Stage(name, self.compile_expression(text, ["x", "y", "z", *names]), None)
        expression = self.compile_expression(
            text, ["r", *(other + suffix for other in names for suffix in "12")]
        )
        without = kind == openmm.CustomGBForce.ParticlePair and "included" in self.pairs_of
        return Stage(name, expression, "included" if without else "all")

    @override
    def forward(self, geometry: Geometry) -> Tensor:
        x = geometry.x
        known = dict(zip("xyz", x, strict=True)) | self.parameters_of.columns(x.dtype)
        for stage in self.values:
            known[stage.name] = (
                self._single(stage, known, x) if stage.pairs is None else self._summed(stage, known, geometry)
            )
        energy = x.new_zeros(x.shape[-1])
        for stage in self.energies:
            value = (
                self._single(stage, known, x)
                if stage.pairs is None
                else self._pairwise(stage, known, geometry)
            )
            energy = energy + row_sum(value)
        return energy

    def _single(self, stage: Stage, known: Mapping[str, Tensor], x: Tensor) -> Tensor:
        return full(stage.expression(known), self.n_atoms, x)

    def _summed(self, stage: Stage, known: Mapping[str, Tensor], geometry: Geometry) -> Tensor:
        """Sum over the other particle, (n_atoms, batch)."""
        pairs = self._pairs(stage)
        ends = torch.cat([pairs.first, pairs.second])
        others = torch.cat([pairs.second, pairs.first])
        value = self._evaluate(stage, known, geometry, ends, others, (2, len(pairs.first)))
        return value.new_zeros(self.n_atoms, value.shape[-1]).index_add(0, ends, value.flatten(0, 1))

    def _pairwise(self, stage: Stage, known: Mapping[str, Tensor], geometry: Geometry) -> Tensor:
        """The energy of each pair, (n_pairs, batch)."""
        pairs = self._pairs(stage)
        return self._evaluate(stage, known, geometry, pairs.first, pairs.second, (len(pairs.first),))

    def _evaluate(
        self,
        stage: Stage,
        known: Mapping[str, Tensor],
        geometry: Geometry,
        ends: Tensor,
        others: Tensor,
        shape: tuple[int, ...],
    ) -> Tensor:
        r = self._pairs(stage).distances(geometry)
        within = None if self.cutoff is None else ~(r >= self.cutoff)
        values = {}
        for name in stage.expression.variables:
            value = (
                r if name == "r" else known[name[:-1]].index_select(0, ends if name[-1] == "1" else others)
            )
            value = value if name == "r" else value.unflatten(0, shape)
            values[name] = value if within is None else gate(value, within)
        result = torch.as_tensor(stage.expression(values), dtype=r.dtype, device=r.device).expand(
            *shape, r.shape[-1]
        )
        return result if within is None else torch.where(within, result, 0.0)

    def _pairs(self, stage: Stage) -> "_Pairs":
        pairs: Any = self.pairs_of[stage.pairs or "all"]
        return pairs


class _Pairs(Masters):
    """The given pairs of atoms, first < second, with their distances."""

    first: Tensor
    second: Tensor

    def __init__(self, pairs: PairList, atoms: list[tuple[int, int]]) -> None:
        super().__init__()
        first, second = torch.tensor(atoms, dtype=torch.long).reshape(-1, 2).unbind(1)
        self.register_buffer("first", first.contiguous())
        self.register_buffer("second", second.contiguous())
        self.distances = PairRows(pairs.rows(atoms))


def born_term(force: openmm.CustomGBForce, pairs: PairList) -> Term:
    """Read an OpenMM `CustomGBForce`: as the faster `OBC` where it is one of those models."""
    try:
        return OBC.from_openmm(force, pairs)
    except UnsupportedForceError:
        return CustomGB(force, pairs)
