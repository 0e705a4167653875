"""Any function as an energy: units, temperatures, shapes, gradients, and where it can stand."""

import pytest
import torch
from torch import Tensor, nn

from boltzgen import units
from boltzgen.energy.base import check_energy_of
from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.energy.torch_energy import TorchEnergy
from boltzgen.molecule.system import System


def spring(x: Tensor) -> Tensor:
    return 50 * (x[:, 1] - x[:, 0]).square().sum(-1)


@pytest.mark.parametrize(("unit", "in_kj"), [("kT", units.kt(300.0)), ("kJ/mol", 1.0), ("kcal/mol", 4.184)])
def test_units_and_temperatures(unit: str, in_kj: float) -> None:
    energy = TorchEnergy(spring, 2, 300.0, unit=unit)
    x = torch.randn(3, 4, 2, 3, dtype=torch.float64)
    expected = in_kj * spring(x.reshape(-1, 2, 3)).reshape(3, 4)
    torch.testing.assert_close(energy.potential(x), expected)
    torch.testing.assert_close(energy(x), expected / units.kt(300.0))
    torch.testing.assert_close(energy.at(600.0)(x), energy(x) / 2)


def test_a_column_will_do_and_anything_else_is_refused() -> None:
    x = torch.randn(5, 2, 3)
    column = TorchEnergy(lambda x: spring(x).unsqueeze(-1), 2, 300.0)
    torch.testing.assert_close(column(x), TorchEnergy(spring, 2, 300.0)(x))
    assert column(x[0]).shape == ()
    with pytest.raises(ValueError, match=r"shape \(5,\) or \(5, 1\), got \(5, 5\)"):
        TorchEnergy(lambda x: spring(x)[:, None] - spring(x), 2, 300.0)(x)
    with pytest.raises(ValueError, match="expected a `temperature` in K"):
        TorchEnergy(spring, 2)
    with pytest.raises(ValueError, match="expected `unit` to be one of"):
        TorchEnergy(spring, 2, 300.0, unit="eV")


def test_gradients_and_a_networks_parameters() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stiffness = nn.Parameter(torch.tensor(3.0))

        def forward(self, x: Tensor) -> Tensor:
            return self.stiffness * (x[:, 1] - x[:, 0]).square().sum(-1)

    energy = TorchEnergy(Network(), 2, 300.0)
    x = torch.randn(4, 2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(energy(x).sum(), x)
    torch.testing.assert_close(gradient[:, 1], 6 * (x[:, 1] - x[:, 0]).detach())
    assert list(energy.state_dict()) == ["function.stiffness"]


def test_it_is_the_energy_of_a_system(alanine: System) -> None:
    ours = ForceFieldEnergy(alanine)
    energy = TorchEnergy(ours.potential, alanine, unit="kJ/mol")
    assert energy.temperature == alanine.temperature
    check_energy_of(alanine, energy)
    torch.testing.assert_close(energy(alanine.positions), ours(alanine.positions))
