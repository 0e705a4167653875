"""The contract of an energy, and the counter of its evaluations."""

import copy
from abc import ABC, abstractmethod
from typing import Any, Self

from torch import Tensor, nn
from typing_extensions import override

from boltzgen import units
from boltzgen.molecule.system import System


class Energy(nn.Module, ABC):
    """A reduced potential energy u(x) = U(x) / (k_B T), in kT.

    Subclasses implement `potential`, the unreduced U(x). Computation is in the dtype and on the device of x;
    parameters are float64 masters. Non-finite energies are values: they come back in their own rows and never
    raise.

    Attributes:
        n_atoms: number of atoms.
        temperature: T in K.
        system: whose energy it is; None for an energy of your own that does not say, which is taken for that
            of any molecule of `n_atoms` atoms.
    """

    n_atoms: int
    temperature: float
    system: System | None = None

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
        self.energy, self.system = energy, energy.system
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


def check_energy_of(system: System, energy: Energy) -> None:
    """Raise ValueError unless an energy is that of a system, at any temperature.

    Atoms, bonds, force field and domain are compared, as `System.fingerprint` has them. An energy that has no
    `system` may be any of as many atoms.
    """
    other = energy.system
    if other is None and energy.n_atoms == system.n_atoms:
        return
    if other is not None and (other is system or other.fingerprint == system.fingerprint):
        return
    whose = f"the energy is of {'another system' if other is None else repr(other.name)}, the "
    raise ValueError(f"{whose}generator of {system.name!r}: {_difference(system, other, energy.n_atoms)}")


def _difference(system: System, other: System | None, n_atoms: int) -> str:
    """What differs, and what to do."""
    advice = "give the energy of `generator.system`"
    if other is None or n_atoms != system.n_atoms:
        return f"that has {n_atoms} atoms, this {system.n_atoms}; {advice}"
    ours, theirs = system.graph.elements, other.graph.elements
    if ours != theirs:
        k = next(k for k in range(n_atoms) if ours[k] != theirs[k])
        return (
            f"atom {k + 1} is {other.labels(k)} there and {system.labels(k)} here: molecule or order of the "
            f"atoms differ; {advice}"
        )
    if system.graph.neighbours != other.graph.neighbours:
        return f"the bonds differ, by the molecule or by the order of its atoms; {advice}"
    return (
        f"force field or domain differ; {advice}; to reweight to another force field, draw with that, and "
        "give the other's energies to `WeightedSamples.from_energies`"
    )
