"""What the terms of Custom forces share: parameters by name, tabulated functions and compiled expressions."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from openmm import unit
from torch import Tensor, nn

from boltzgen.energy.custom import tabulated
from boltzgen.energy.custom.expression import Expression
from boltzgen.energy.custom.parser import ExpressionError
from boltzgen.energy.geometry import Geometry, Masters
from boltzgen.energy.terms.term import Term, UnsupportedForceError, row_sum


class CustomTerm(Term):
    """A term whose energy is an expression.

    Global parameters have their default values; derivatives with respect to them are not computed.

    Args:
        force: the OpenMM force, for its name, global parameters and tabulated functions.
    """

    def __init__(self, force: Any) -> None:
        super().__init__()
        self.kind = type(force).__name__
        self.constants = {
            force.getGlobalParameterName(i): force.getGlobalParameterDefaultValue(i)
            for i in range(force.getNumGlobalParameters())
        }
        functions = tabulated.read(force)
        self.tables = nn.ModuleList(functions.values())
        self.functions: dict[str, tuple[int, Any]] = {
            name: (function.n_arguments, function) for name, function in functions.items()
        }

    def compile_expression(self, text: str, variables: Iterable[str]) -> Expression:
        """The expression as a function of `variables`; an unknown name raises `UnsupportedForceError`."""
        try:
            return Expression(text, variables, self.constants, self.functions)
        except ExpressionError as error:
            raise UnsupportedForceError(self.kind, str(error)) from error


class Parameters(Masters):
    """Named parameters of particles, bonds or the like.

    Args:
        names: their names.
        rows: their values, (n, len(names)).
    """

    table: Tensor

    def __init__(self, names: list[str], rows: list[Any]) -> None:
        super().__init__()
        self.names = names
        table = torch.tensor([list(row) for row in rows], dtype=torch.float64).reshape(len(rows), len(names))
        self.register_buffer("table", table.T.contiguous()[..., None])

    def columns(self, dtype: torch.dtype, suffix: str = "", rows: Tensor | None = None) -> dict[str, Tensor]:
        """Each parameter, shape (n, 1), or that of the given rows, under its name with a suffix."""
        table = self.table.to(dtype) if rows is None else self.table.to(dtype)[:, rows]
        return {name + suffix: column for name, column in zip(self.names, table, strict=True)}


class PairRows(Masters):
    """Distances of some rows of the pair list: a view where they are its leading ones."""

    rows: Tensor

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", rows)
        self.leading = torch.equal(rows, torch.arange(len(rows)))

    def forward(self, geometry: Geometry) -> Tensor:
        """Distances in nm, (n_rows, batch)."""
        return (
            geometry.distances[: len(self.rows)]
            if self.leading
            else geometry.distances.index_select(0, self.rows)
        )


def cutoff_of(force: Any) -> tuple[float | None, float | None]:
    """Cutoff and switching distance of a force in nm, None where it has none."""
    if force.getNonbondedMethod() == force.NoCutoff:
        return None, None
    if force.getNonbondedMethod() != force.CutoffNonPeriodic:
        raise UnsupportedForceError(
            type(force).__name__, "its cutoff is periodic, expected the method NoCutoff or CutoffNonPeriodic"
        )
    switched = hasattr(force, "getUseSwitchingFunction") and force.getUseSwitchingFunction()
    switch = force.getSwitchingDistance().value_in_unit(unit.nanometer) if switched else None
    return force.getCutoffDistance().value_in_unit(unit.nanometer), switch


def parameter_names(force: Any, of: str) -> list[str]:
    """Names of the parameters that a force has per bond, particle, ...: `of` is "Bond", "Particle", ..."""
    get = getattr(force, f"getPer{of}ParameterName")
    return [get(i) for i in range(getattr(force, f"getNumPer{of}Parameters")())]


def total(expression: Expression, values: Mapping[str, Tensor], rows: int, like: Tensor) -> Tensor:
    """Sum over `rows` of an expression, shape (batch,) as the last of `like`."""
    return row_sum(full(expression(values), rows, like))


def full(value: Tensor | float, rows: int, like: Tensor) -> Tensor:
    """A value that may not depend on everything, in the shape (rows, batch)."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device).expand(rows, like.shape[-1])
