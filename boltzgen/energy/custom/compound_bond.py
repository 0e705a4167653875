"""Custom compound bonds: U = f of the geometry of several particles."""

from typing import Any

import openmm
import torch
from torch import Tensor
from typing_extensions import override

from boltzgen.energy import measures
from boltzgen.energy.custom.base import CustomTerm, Parameters, parameter_names, total
from boltzgen.energy.geometry import Geometry, PairList
from boltzgen.energy.terms.term import UnsupportedForceError

#: Functions of particles p1, p2, ...; those of points take three coordinates each instead.
_MEASURES = {
    "distance": (2, measures.distance),
    "angle": (3, measures.angle),
    "dihedral": (4, measures.dihedral),
}


class CustomCompoundBonds(CustomTerm):
    """An expression of the positions of groups of atoms (n, k), in kJ/mol.

    It may use their coordinates x1, y1, z1, x2, ... [nm], ``distance(p1,p2)`` [nm], ``angle(p1,p2,p3)``,
    ``dihedral(p1,p2,p3,p4)`` [rad], and ``pointdistance``, ``pointangle`` and ``pointdihedral`` of computed
    coordinates.
    """

    particles: Tensor

    def __init__(self, force: openmm.CustomCompoundBondForce) -> None:
        super().__init__(force)
        bonds = [force.getBondParameters(n) for n in range(force.getNumBonds())]
        self.size = force.getNumParticlesPerBond()
        self.parameters_of = Parameters(
            parameter_names(force, "Bond"), [parameters for _, parameters in bonds]
        )
        self.register_buffer(
            "particles",
            torch.tensor([atoms for atoms, _ in bonds], dtype=torch.long)
            .reshape(-1, self.size)
            .T.contiguous(),
        )
        self.functions |= _MEASURES | {
            f"point{name}": (3 * n, _of_points(function)) for name, (n, function) in _MEASURES.items()
        }
        points = {f"p{k + 1}" for k in range(self.size)}
        coordinates = {f"{axis}{k + 1}" for k in range(self.size) for axis in "xyz"}
        self.expression = self.compile_expression(
            force.getEnergyFunction(), {*points, *coordinates, *self.parameters_of.names}
        )
        for node in [*self.expression.nodes()]:
            for argument in node.arguments:
                if (argument.name in points) != (node.op in _MEASURES):
                    raise UnsupportedForceError(
                        self.kind, f"{', '.join(_MEASURES)} take particles p1, p2, ... and nothing else does"
                    )

    @classmethod
    def from_openmm(cls, force: openmm.CustomCompoundBondForce, pairs: PairList) -> "CustomCompoundBonds":
        """Read an OpenMM `CustomCompoundBondForce`."""
        return cls(force)

    @override
    def forward(self, geometry: Geometry) -> Tensor:
        x = geometry.x
        values = self.parameters_of.columns(x.dtype)
        for k, atoms in enumerate(self.particles):
            point = x.index_select(1, atoms)
            values[f"p{k + 1}"] = point
            values |= {f"{axis}{k + 1}": coordinate for axis, coordinate in zip("xyz", point, strict=True)}
        return total(self.expression, values, self.particles.shape[1], x)


def _of_points(function: Any) -> Any:
    def measure(*coordinates: Any) -> Tensor:
        like = next(c for c in coordinates if isinstance(c, Tensor))
        flat = torch.broadcast_tensors(
            *(torch.as_tensor(c, dtype=like.dtype, device=like.device) for c in coordinates)
        )
        return function(*(torch.stack(flat[k : k + 3]) for k in range(0, len(flat), 3)))

    return measure
