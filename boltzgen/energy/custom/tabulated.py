"""OpenMM's tabulated functions of a Custom force: Discrete1D, Discrete2D and Continuous1D."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import openmm
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor
from typing_extensions import override

from boltzgen.energy.geometry import Masters
from boltzgen.energy.terms.term import UnsupportedForceError


class Tabulated(Masters, ABC):
    """A function of tensors given by a table. `n_arguments` is their number."""

    n_arguments: int = 1

    @abstractmethod
    def forward(self, *arguments: Any) -> Tensor:
        """The value, in the broadcast shape of the arguments."""


class Discrete(Tabulated):
    """Entries of a table (n,) or (n, m) at whole-numbered arguments, rounded to the nearest; no gradient.

    Outside the table, where OpenMM raises, the value is NaN.
    """

    table: Tensor

    def __init__(self, table: Any) -> None:
        super().__init__()
        self.register_buffer("table", torch.as_tensor(table, dtype=torch.float64))
        self.n_arguments = self.table.ndim

    @override
    def forward(self, *arguments: Any) -> Tensor:
        like = next(a for a in arguments if isinstance(a, Tensor))
        indices = [
            torch.as_tensor(a, dtype=like.dtype, device=like.device).detach().round() for a in arguments
        ]
        inside = torch.ones((), dtype=torch.bool, device=like.device)
        for index, size in zip(indices, self.table.shape, strict=True):
            inside = inside & (index >= 0) & (index < size)
        rows = [torch.where(inside, index, 0.0).long() for index in indices]
        return torch.where(inside, self.table.to(like.dtype)[tuple(rows)], torch.nan)


class Continuous1D(Tabulated):
    """A cubic spline through evenly spaced values, natural or periodic.

    A natural one is zero, without gradient, outside [start, stop]; a periodic one repeats.

    Args:
        values: f at evenly spaced points from start to stop, (n,).
        start: first point.
        stop: last point.
        periodic: whether f repeats with the period stop - start.
    """

    coefficients: Tensor

    def __init__(self, values: Any, start: float, stop: float, *, periodic: bool) -> None:
        super().__init__()
        values = np.asarray(values, dtype=float)
        spline = CubicSpline(
            np.linspace(start, stop, len(values)), values, bc_type="periodic" if periodic else "natural"
        )
        self.register_buffer("coefficients", torch.from_numpy(np.ascontiguousarray(spline.c)))
        self.start, self.stop, self.periodic = start, stop, periodic

    @override
    def forward(self, argument: Any) -> Tensor:
        x = torch.as_tensor(argument)
        c = self.coefficients.to(x)
        n = c.shape[1]
        if self.periodic:
            x = x - (self.stop - self.start) * ((x.detach() - self.start) / (self.stop - self.start)).floor()
        inside = (x >= self.start) & (x <= self.stop)
        x = torch.where(inside, x, self.start)
        width = (self.stop - self.start) / n
        interval = ((x.detach() - self.start) / width).long().clamp(0, n - 1)
        t = x - (self.start + width * interval.to(x.dtype))
        value = c[3][interval] + t * (c[2][interval] + t * (c[1][interval] + t * c[0][interval]))
        return torch.where(inside, value, 0.0)


def read(force: Any) -> dict[str, Tabulated]:
    """The tabulated functions of a Custom force by name.

    Raises:
        UnsupportedForceError: one is of another kind.
    """
    functions: dict[str, Tabulated] = {}
    # Forces of bonds, angles, torsions and single particles have none.
    for n in range(force.getNumTabulatedFunctions() if hasattr(force, "getNumTabulatedFunctions") else 0):
        name, function = force.getTabulatedFunctionName(n), force.getTabulatedFunction(n)
        if isinstance(function, openmm.Discrete1DFunction):
            functions[name] = Discrete(function.getFunctionParameters())
        elif isinstance(function, openmm.Discrete2DFunction):
            columns, rows, values = function.getFunctionParameters()
            functions[name] = Discrete(np.reshape(values, (rows, columns)).T.copy())
        elif isinstance(function, openmm.Continuous1DFunction):
            values, start, stop = function.getFunctionParameters()
            functions[name] = Continuous1D(values, start, stop, periodic=function.getPeriodic())
        else:
            known = "Discrete1DFunction, Discrete2DFunction and Continuous1DFunction"
            raise UnsupportedForceError(
                type(force).__name__,
                f"its tabulated function {name!r} is a {type(function).__name__}, known are {known}",
            )
    return functions
