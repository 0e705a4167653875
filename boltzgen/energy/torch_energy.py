"""Any function of positions as an energy."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from boltzgen import units
from boltzgen.energy.base import Energy
from boltzgen.molecule.system import System


class TorchEnergy(Energy):
    """The energy of a function that torch can differentiate: a formula, a network, another package's energy.

    >>> spring = TorchEnergy(lambda x: 50 * (x[:, 1] - x[:, 0]).square().sum(-1), 2, 300.0, unit="kJ/mol")
    >>> spring.potential(torch.tensor([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0]]))
    tensor(0.5000)

    Args:
        function: of positions (n, n_atoms, 3) in nm, whatever the batch shape; returns (n,) or (n, 1). A
            module is one, and its parameters move and are saved with the energy.
        molecule: the `System` whose energy it is, or the number of atoms.
        temperature: T in K, where the energy is in kT the one that they are of; by default the system's.
        unit: of what the function returns, one of kT, kJ/mol, kcal/mol.

    Raises:
        ValueError: another unit; or a number of atoms without a `temperature`.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        molecule: System | int,
        temperature: Any = None,
        *,
        unit: str = "kT",
    ) -> None:
        if temperature is None:
            if isinstance(molecule, int):
                raise ValueError("expected a `temperature` in K, as the energy is not that of a `System`")
            temperature = molecule.temperature
        super().__init__(molecule if isinstance(molecule, int) else molecule.n_atoms, temperature)
        self.system = None if isinstance(molecule, int) else molecule
        self.function = function
        self._in_kj = units.kt(self.temperature) / units.one_kt(unit, self.temperature)

    @override
    def potential(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, self.n_atoms, 3)
        found = self.function(flat)
        if found.shape not in (torch.Size((len(flat),)), torch.Size((len(flat), 1))):
            raise ValueError(
                f"expected a function that returns an energy for each of {len(flat)} configurations, shape "
                f"({len(flat)},) or ({len(flat)}, 1), got {tuple(found.shape)}"
            )
        return found.reshape(x.shape[:-2]) * self._in_kj
