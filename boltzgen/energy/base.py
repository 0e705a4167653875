"""The contract of an energy, and the counter of its evaluations."""

import copy
from abc import ABC, abstractmethod
from typing import Any, Self

from torch import Tensor, nn
from typing_extensions import override

from boltzgen import units


class Energy(nn.Module, ABC):
    """A reduced potential energy u(x) = U(x) / (k_B T), in kT.

    Subclasses implement `potential`, the unreduced U(x). Computation is in the dtype and on the device of x;
    parameters are float64 masters. Non-finite energies are values: they come back in their own rows and never
    raise.

    Attributes:
        n_atoms: number of atoms.
        temperature: T in K.
    """

    n_atoms: int
    temperature: float

    def __init__(self, n_atoms: int, temperature: Any) -> None:
        super().__init__()
        self.n_atoms = n_atoms
        self.temperature = units.kelvin(temperature)

    @abstractmethod
    def potential(self, x: Tensor) -> Tensor:
        """Potential energy U(x) in kJ/mol, shape ``(...)``, of positions x in nm, ``(..., n_atoms, 3)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Reduced energy u(x) in kT, shape ``(...)``, of positions x in nm, ``(..., n_atoms, 3)``."""
        if x.shape[-2:] != (self.n_atoms, 3):
            raise ValueError(
                f"expected positions of shape (..., {self.n_atoms}, 3) in nm, got {tuple(x.shape)}; check "
                "that they belong to this system"
            )
        return self.potential(x) / units.kt(self.temperature)

    def at(self, temperature: Any) -> Self:
        """The same energy at another temperature [K], sharing all parameters."""
        other = copy.copy(self)
        other.temperature = units.kelvin(temperature)
        return other


class CountedEnergy(Energy):
    """An energy that counts the configurations it has been asked for.

    `n_evaluations` is the number of configurations whose energy (with or without its gradient) was computed,
    over this object and every `at(T)` made from it.
    """

    def __init__(self, energy: Energy, n_evaluations: int = 0) -> None:
        super().__init__(energy.n_atoms, energy.temperature)
        self.energy = energy
        self._count = [n_evaluations]

    @property
    def n_evaluations(self) -> int:
        """Configurations whose energy was computed."""
        return self._count[0]

    @n_evaluations.setter
    def n_evaluations(self, value: int) -> None:
        self._count[0] = value

    @override
    def potential(self, x: Tensor) -> Tensor:
        self._count[0] += x.shape[:-2].numel()
        return self.energy.potential(x)
