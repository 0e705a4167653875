"""OpenMMEnergy: what the laws do not cover."""

import pytest
import torch

from boltzgen.energy import OpenMMEnergy
from boltzgen.molecule.system import System


def test_context_is_made_once_and_shared_between_temperatures(alanine: System) -> None:
    energy = OpenMMEnergy(alanine)
    hot = energy.at(1200.0)
    assert hot.engine is energy.engine
    assert energy.engine.context is hot.engine.context


def test_temperature_defaults_to_the_systems(alanine: System) -> None:
    assert OpenMMEnergy(alanine).temperature == alanine.temperature == 300.0
    assert OpenMMEnergy(alanine, 450.0).temperature == 450.0


def test_unknown_platform_lists_those_there_are(alanine: System) -> None:
    with pytest.raises(ValueError, match="no platform 'reference' here; available: Reference"):
        OpenMMEnergy(alanine, platform="reference")


def test_unknown_property_lists_those_there_are(alanine: System) -> None:
    with pytest.raises(ValueError, match="platform CPU has no property 'threads'; it has: Threads"):
        OpenMMEnergy(alanine, platform="CPU", properties={"threads": "1"})


def test_properties_reach_the_platform(alanine: System) -> None:
    energy = OpenMMEnergy(alanine, platform="CPU", properties={"Threads": 1})
    context = energy.engine.context
    assert context.getPlatform().getPropertyValue(context, "Threads") == "1"


def test_other_platform_agrees(alanine: System) -> None:
    energy = OpenMMEnergy(alanine, platform="CPU")
    torch.testing.assert_close(
        energy(alanine.positions), OpenMMEnergy(alanine)(alanine.positions), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e200])
def test_configuration_that_openmm_refuses_is_infinite(alanine: System, platform: str, value: float) -> None:
    x = alanine.positions.repeat(3, 1, 1)
    x[1, 0, 0] = value
    x.requires_grad_()
    u = OpenMMEnergy(alanine, platform=platform)(x)
    (gradient,) = torch.autograd.grad(u.sum(), x)
    assert torch.isfinite(u[[0, 2]]).all()
    assert not torch.isfinite(u[1])
    assert torch.isfinite(gradient[[0, 2]]).all()
    assert not torch.isfinite(gradient[1]).any()
