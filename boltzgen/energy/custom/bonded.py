"""Custom bonds, angles and torsions: U = f(r) or U = f(theta)."""

from collections.abc import Callable
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from typing_extensions import override

from boltzgen.energy.custom.base import CustomTerm, Parameters, parameter_names, total
from boltzgen.energy.geometry import Geometry, PairList, differences
from boltzgen.energy.measures import angle_between, norm, torsion_between


class _CustomBonded(CustomTerm):
    """An expression of one number of the same few atoms, in kJ/mol.

    Attributes:
        of: what OpenMM calls these atoms.
        vectors: the vectors that the number is computed from, each from one atom to another.
        measure: the number, (n, batch), of these vectors (3, n, batch).
        variable: the number's name in the expression.
    """

    of: ClassVar[str]
    vectors: ClassVar[tuple[tuple[int, int], ...]]
    measure: ClassVar[Callable[..., Tensor]]
    variable: ClassVar[str]
    arms: Tensor

    def __init__(self, force: Any, n_atoms: int) -> None:
        super().__init__(force)
        get, count = getattr(force, f"get{self.of}Parameters"), getattr(force, f"getNum{self.of}s")()
        rows = [get(n) for n in range(count)]
        self.parameters_of = Parameters(parameter_names(force, self.of), [row[-1] for row in rows])
        size = 1 + max(max(ends) for ends in self.vectors)
        atoms = torch.tensor([row[:size] for row in rows], dtype=torch.long).reshape(-1, size).T
        start, end = (atoms[list(side)].flatten() for side in zip(*self.vectors, strict=True))
        self.register_buffer("arms", differences(end, start, n_atoms))
        self.expression = self.compile_expression(
            force.getEnergyFunction(), [self.variable, *self.parameters_of.names]
        )

    @classmethod
    def from_openmm(cls, force: Any, pairs: PairList) -> Self:
        """Read the OpenMM force."""
        return cls(force, pairs.n_atoms)

    @override
    def forward(self, geometry: Geometry) -> Tensor:
        x = geometry.x
        value = type(self).measure(*(self.arms.to(x.dtype) @ x).chunk(len(self.vectors), dim=1))
        return total(
            self.expression, {self.variable: value} | self.parameters_of.columns(x.dtype), len(value), x
        )


class CustomBonds(_CustomBonded):
    """An expression of the distance r [nm] of pairs of atoms, in kJ/mol.

    At r = 0, where it has no direction, the gradient is zero.
    """

    of = "Bond"
    vectors = ((1, 0),)
    measure = staticmethod(norm)
    variable = "r"


class CustomAngles(_CustomBonded):
    """An expression of the angle theta [rad] of triples of atoms, the vertex in the middle, in kJ/mol.

    Exactly straight angles have no gradient.
    """

    of = "Angle"
    vectors = ((1, 0), (1, 2))
    measure = staticmethod(angle_between)
    variable = "theta"


class CustomTorsions(_CustomBonded):
    """An expression of the torsion theta [rad] in (-pi, pi] of quadruples of atoms, in kJ/mol.

    Where three atoms in a row are exactly collinear the torsion is undefined: it counts as zero there,
    without gradient.
    """

    of = "Torsion"
    vectors = ((0, 1), (1, 2), (2, 3))
    measure = staticmethod(torsion_between)
    variable = "theta"
