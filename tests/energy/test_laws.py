"""What every energy must satisfy."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from boltzgen import units
from boltzgen.energy import CountedEnergy, Energy, ForceFieldEnergy, OpenMMEnergy
from boltzgen.molecule.system import System

ENERGIES: dict[str, Callable[[System], Energy]] = {
    "OpenMMEnergy": OpenMMEnergy,
    "OpenMMEnergy, 500 K": lambda system: OpenMMEnergy(system, 500.0),
    "OpenMMEnergy, worker": lambda system: OpenMMEnergy(system, workers=1),
    "ForceFieldEnergy": ForceFieldEnergy,
    "ForceFieldEnergy, 1200 K": lambda system: ForceFieldEnergy(system, 1200.0),
    "CountedEnergy": lambda system: CountedEnergy(ForceFieldEnergy(system)),
}


@pytest.fixture(scope="module", params=ENERGIES.values(), ids=ENERGIES.keys())
def energy(request: pytest.FixtureRequest, alanine: System) -> Energy:
    made: Energy = request.param(alanine)
    return made


@pytest.fixture(scope="module")
def x(alanine: System) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return alanine.positions + 0.01 * torch.randn(
        6, alanine.n_atoms, 3, generator=generator, dtype=torch.float64
    )


def test_gradient_is_the_finite_difference(energy: Energy, x: Tensor) -> None:
    x = x[:2].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(x).sum(), x)
    generator = torch.Generator().manual_seed(2)
    for _ in range(5):
        direction = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        step = 1e-6
        with torch.no_grad():
            difference = (energy(x + step * direction) - energy(x - step * direction)) / (2 * step)
        torch.testing.assert_close((gradient * direction).sum((1, 2)), difference, rtol=1e-6, atol=1e-4)


def test_gradient_scales_each_row_by_its_own_factor(energy: Energy, x: Tensor) -> None:
    x = x.clone().requires_grad_()
    factors = torch.arange(1.0, 7.0, dtype=x.dtype)
    (weighted,) = torch.autograd.grad((factors * energy(x)).sum(), x)
    (plain,) = torch.autograd.grad(energy(x).sum(), x)
    torch.testing.assert_close(weighted, factors[:, None, None] * plain)


def test_batch_equals_loop_for_any_leading_shape(energy: Energy, x: Tensor) -> None:
    loop = torch.stack([energy(row) for row in x])
    assert loop.shape == (6,)
    for shape in ((6,), (2, 3), (1, 3, 2)):
        torch.testing.assert_close(
            energy(x.reshape(*shape, *x.shape[1:])), loop.reshape(shape), rtol=1e-12, atol=0
        )
    assert energy(x[:0]).shape == (0,)
    assert energy(x[0]).shape == ()


def test_layout_of_the_input_does_not_matter(energy: Energy, x: Tensor) -> None:
    strided = x.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert not strided.is_contiguous()
    torch.testing.assert_close(energy(strided), energy(x), rtol=1e-12, atol=0)


def test_reduced_energy_is_potential_over_kt(energy: Energy, x: Tensor) -> None:
    torch.testing.assert_close(
        energy(x) * units.MOLAR_GAS_CONSTANT * energy.temperature, energy.potential(x), rtol=1e-14, atol=0
    )
    hot = energy.at(2 * energy.temperature)
    torch.testing.assert_close(hot(x), 0.5 * energy(x), rtol=1e-14, atol=0)
    assert type(hot) is type(energy)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_keeps_dtype(energy: Energy, x: Tensor, dtype: torch.dtype) -> None:
    cast = x.clone().to(dtype).requires_grad_()
    u = energy(cast)
    (gradient,) = torch.autograd.grad(u.sum(), cast)
    assert u.dtype == gradient.dtype == dtype
    torch.testing.assert_close(u.double(), energy(cast.detach().double()), rtol=0, atol=1e-3)


def test_is_invariant_under_rigid_motion(energy: Energy, x: Tensor) -> None:
    rotation, _ = torch.linalg.qr(
        torch.randn(3, 3, generator=torch.Generator().manual_seed(3), dtype=x.dtype)
    )
    rotation = rotation * torch.linalg.det(rotation).sign()
    torch.testing.assert_close(energy(x @ rotation.T + 1.5), energy(x), rtol=0, atol=1e-8)


def test_gradient_free_evaluation_builds_no_graph(energy: Energy, x: Tensor) -> None:
    assert energy(x).grad_fn is None
    with torch.no_grad():
        assert not energy(x.clone().requires_grad_()).requires_grad


def test_second_derivatives_raise_and_are_never_silently_zero(energy: Energy, x: Tensor) -> None:
    x = x[:1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="first derivatives only"):
        torch.autograd.grad(gradient.square().sum() + x.square().sum(), x)


@pytest.mark.parametrize("shape", [(22,), (21, 3), (5, 22, 2), (5, 66), (3, 22)])
def test_wrong_shape_says_what_was_expected(energy: Energy, shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"expected positions of shape \(\.\.\., 22, 3\) in nm, got \(.*check"
    ) as error:
        energy(torch.zeros(shape))
    assert str(shape) in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e200])
def test_non_finite_configurations_stay_in_their_rows(energy: Energy, x: Tensor, value: float) -> None:
    bad = x.clone()
    bad[2, 5, 1] = value
    bad.requires_grad_()
    u = energy(bad)
    (gradient,) = torch.autograd.grad(u.sum(), bad)
    good = torch.tensor([0, 1, 3, 4, 5])
    clean = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(energy(clean).sum(), clean)
    assert not torch.isfinite(u[2]) or u[2] > 1e10
    torch.testing.assert_close(u[good], energy(x)[good], rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient[good], expected[good], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_temperature_must_be_positive(energy: Energy, temperature: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        energy.at(temperature)


def test_counted_energy_counts_configurations(alanine: System, x: Tensor) -> None:
    counted = CountedEnergy(ForceFieldEnergy(alanine), n_evaluations=10)
    counted(x)
    assert counted.n_evaluations == 16
    counted.at(500.0)(x.reshape(2, 3, 22, 3).requires_grad_()).sum().backward()
    assert counted.n_evaluations == 22
    counted.potential(x[0])
    assert counted.n_evaluations == 23
    torch.testing.assert_close(counted(x), ForceFieldEnergy(alanine)(x))
