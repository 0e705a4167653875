"""Energies, priors and flows between bgflow and us: values, shapes, signs, and training on both sides."""

from typing import Any

import pytest
import torch
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.evaluation.evaluate import evaluate
from boltzgen.flow.coupling import real_nvp
from boltzgen.flow.elementary import StandardNormal
from boltzgen.flow.flow import Flow
from boltzgen.flow.toy import TwoMoons
from boltzgen.generator.sampler import FlowSampler
from boltzgen.generator.target import PullbackEnergy
from boltzgen.interop.bgflow import (
    distribution_from_bgflow,
    distribution_to_bgflow,
    energy_from_bgflow,
    energy_to_bgflow,
    flow_from_bgflow,
    flow_to_bgflow,
    generator_from_bgflow,
    target_from_bgflow,
)
from boltzgen.molecule.system import System
from boltzgen.training.fit import fit
from boltzgen.training.losses import forward_kl, reverse_kl, reverse_kl_path
from boltzgen.training.objective import FunctionObjective
from boltzgen.training.optimizer import MatrixOptimizer


def coupling_flow(bg: Any, n: int) -> Any:
    """Two couplings as the README of bgflow builds one, each on one half given the other."""
    half = n // 2

    def net(last: Any) -> Any:
        return bg.DenseNet([half, 16, n - half], activation=last)

    layers = [bg.SplitFlow(half)]
    for _ in range(2):
        layers.append(bg.CouplingFlow(bg.AffineTransformer(net(torch.nn.ReLU()), net(torch.nn.Tanh()))))
        layers.append(bg.SwapFlow())
    layers.append(bg.InverseFlow(bg.SplitFlow(half)))
    return bg.SequentialFlow(layers)


def readme_generator(bg: Any, n: int, target: Any) -> Any:
    return bg.BoltzmannGenerator(bg.NormalDistribution(n), coupling_flow(bg, n), target)


@pytest.fixture(scope="module")
def energy(alanine: System) -> ForceFieldEnergy:
    return ForceFieldEnergy(alanine)


def test_our_energy_is_a_bgflow_energy(
    bg: Any, energy: ForceFieldEnergy, thermal_frames: dict[float, Tensor]
) -> None:
    x = thermal_frames[300.0][:32]
    theirs = energy_to_bgflow(energy)
    flat = x.flatten(1)
    assert isinstance(theirs, bg.Energy) and theirs.dim == 66
    assert theirs.energy(flat).shape == (32, 1)
    torch.testing.assert_close(theirs.energy(flat).squeeze(-1), energy(x))
    # Their temperature is relative and divides; ours is in K.
    torch.testing.assert_close(theirs.energy(flat, temperature=2.0).squeeze(-1), energy.at(600.0)(x))
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(leaf).sum(), leaf)
    torch.testing.assert_close(theirs.force(flat.clone(), no_grad=True), -gradient.flatten(1))


def test_their_bridge_is_an_energy_of_ours(
    bg: Any, alanine: System, energy: ForceFieldEnergy, thermal_frames: dict[float, Tensor]
) -> None:
    """Energies against their OpenMM bridge, on the Reference platform; values and forces."""
    import openmm
    from bgflow.distribution.energy.openmm import OpenMMBridge, OpenMMEnergy

    integrator = openmm.LangevinMiddleIntegrator(300.0, 1.0, 0.001)
    bridge = OpenMMBridge(alanine.openmm_system, integrator, platform_name="Reference", n_workers=1)
    ours = energy_from_bgflow(OpenMMEnergy(bridge=bridge), 300.0, system=alanine)
    x = thermal_frames[300.0][:40].clone().requires_grad_()
    theirs, expected = ours(x), energy(x)
    torch.testing.assert_close(theirs, expected, rtol=1e-9, atol=1e-6)
    (gradient,) = torch.autograd.grad(theirs.sum(), x)
    (expected_gradient,) = torch.autograd.grad(expected.sum(), x)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-6, atol=1e-4)
    # At another temperature, and a batch whose text torch abbreviates to the same.
    torch.testing.assert_close(ours.at(600.0)(x), energy.at(600.0)(x), rtol=1e-9, atol=1e-6)
    moved = x.detach().clone()
    moved[20] += 0.01 * torch.randn_like(moved[20])
    assert str(moved.flatten(1)) == str(x.detach().flatten(1))
    torch.testing.assert_close(ours(moved), energy(moved), rtol=1e-9, atol=1e-6)


def test_their_own_cache_is_wrong_where_ours_is_not(
    bg: Any, alanine: System, energy: ForceFieldEnergy, thermal_frames: dict[float, Tensor]
) -> None:
    """What `uncached` is for; if this fails, bgflow has been repaired."""
    import openmm
    from bgflow.distribution.energy.openmm import OpenMMBridge, OpenMMEnergy

    integrator = openmm.LangevinMiddleIntegrator(300.0, 1.0, 0.001)
    theirs = OpenMMEnergy(bridge=OpenMMBridge(alanine.openmm_system, integrator, "Reference", n_workers=1))
    x = thermal_frames[300.0][:40].flatten(1)
    moved = x.clone()
    moved[20] += 0.01
    moved[20, 30] += 0.05
    first, second = theirs.energy(x), theirs.energy(moved)
    assert torch.equal(first, second)
    assert not torch.isclose(energy(moved.unflatten(1, (-1, 3)))[20], second[20, 0])


def test_priors_both_ways(bg: Any) -> None:
    mean = torch.tensor([1.0, -2.0])
    ours = distribution_from_bgflow(bg.NormalDistribution(2, mean=mean))
    z = torch.randn(3, 4, 2)
    expected = torch.distributions.Normal(mean, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(ours.log_prob(z), expected)
    drawn, log_prob = ours.sample_and_log_prob((5000,), generator=torch.Generator().manual_seed(1))
    again, _ = ours.sample_and_log_prob((5000,), generator=torch.Generator().manual_seed(1))
    assert torch.equal(drawn, again)
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.1, rtol=0)
    torch.testing.assert_close(log_prob, ours.log_prob(drawn))

    theirs = distribution_to_bgflow(StandardNormal(3))
    assert theirs.sample(7).shape == (7, 3)
    z = torch.randn(7, 3)
    torch.testing.assert_close(theirs.energy(z), bg.NormalDistribution(3).energy(z))
    with pytest.raises(NotImplementedError, match="expected `temperature` 1, got 2.0"):
        theirs.sample(3, temperature=2.0)


def test_their_uniform_has_no_end(bg: Any) -> None:
    """Outside its interval bgflow's uniform density is what it is inside; ours is a torch one's, zero."""
    uniform = bg.UniformDistribution(torch.zeros(2), torch.ones(2))
    assert torch.equal(uniform.energy(torch.full((1, 2), 5.0)), uniform.energy(torch.full((1, 2), 0.5)))


def test_their_normal_is_normalised_at_each_temperature(bg: Any) -> None:
    """Unlike their other energies, which are divided by the temperature."""
    x, normal = torch.randn(4, 2), bg.NormalDistribution(2)
    wider = -torch.distributions.Normal(0.0, 2.0**0.5).log_prob(x).sum(-1, keepdim=True)
    torch.testing.assert_close(normal.energy(x, temperature=2.0), wider)


@pytest.mark.parametrize("batch", [(5,), (2, 3), ()])
def test_their_flow_is_a_transform_of_ours(bg: Any, batch: tuple[int, ...]) -> None:
    theirs = coupling_flow(bg, 4).double()
    ours = flow_from_bgflow(theirs)
    z = torch.randn(*batch, 4, dtype=torch.float64)
    x, log_det = ours(z)
    assert x.shape == z.shape and log_det.shape == batch
    back, back_log_det = ours.inverse(x)
    torch.testing.assert_close(back, z)
    torch.testing.assert_close(back_log_det, -log_det)
    rows = z.reshape(-1, 4)
    jacobian = torch.stack(
        [torch.autograd.functional.jacobian(lambda v: theirs(v[None])[0][0], row) for row in rows]
    )
    torch.testing.assert_close(jacobian.slogdet()[1].reshape(batch), log_det)


def test_our_flow_is_one_of_theirs(bg: Any) -> None:
    ours = real_nvp(4).double()
    theirs = flow_to_bgflow(ours)
    assert isinstance(theirs, bg.Flow)
    z = torch.randn(6, 4, dtype=torch.float64)
    x, dlogp = theirs(z, temperature=1.0)
    assert dlogp.shape == (6, 1)
    torch.testing.assert_close(x, ours(z)[0])
    torch.testing.assert_close(dlogp.squeeze(-1), ours(z)[1])
    back, negative = theirs(x, inverse=True)
    torch.testing.assert_close(back, z)
    torch.testing.assert_close(negative, -dlogp)
    # Inside a flow of theirs, and inverted by their class.
    mixed = bg.SequentialFlow([theirs, bg.InverseFlow(theirs)])
    torch.testing.assert_close(mixed(z)[0], z)


def test_our_coordinates_are_a_flow_of_theirs(bg: Any, coordinates: MolecularCoordinates) -> None:
    theirs = flow_to_bgflow(coordinates, positions=True)
    y = 0.1 * torch.randn(5, 60, dtype=torch.float64)
    x, dlogp = theirs(y)
    assert x.shape == (5, 66) and dlogp.shape == (5, 1)
    torch.testing.assert_close(theirs(x, inverse=True)[0], y)


def test_a_flow_of_several_arrays_is_refused(bg: Any) -> None:
    with pytest.raises(ValueError, match=r"returns 2; end it with `bgflow.MergeFlow`"):
        flow_from_bgflow(bg.SplitFlow(1))(torch.zeros(3, 2))


def test_a_bgflow_generator_trains_on_our_batched_energy(
    bg: Any, alanine: System, energy: ForceFieldEnergy, coordinates: MolecularCoordinates
) -> None:
    """Their BoltzmannGenerator, their KLTrainer, our target in flow coordinates."""
    target = energy_to_bgflow(PullbackEnergy(energy.at(1200.0), coordinates), 60)
    bounded = bg.LinLogCutEnergy(target, high_energy=1e3, max_energy=1e9)
    generator = readme_generator(bg, 60, bounded)
    optimizer = torch.optim.Adam(generator.parameters(), lr=2e-3)
    trainer = bg.KLTrainer(generator, optim=optimizer, train_likelihood=False)
    trainer.train(n_iter=40, batchsize=64)
    losses = trainer.losses()[2][0]
    assert losses[-10:].mean() < losses[:10].mean() - 20


def test_our_losses_train_a_bgflow_generator(bg: Any) -> None:
    """Maximum likelihood, reverse KL and its path gradient; the loss falls below that of the start."""
    target = TwoMoons()
    for loss in (
        lambda flow: forward_kl(flow.log_prob(target.sample(256))),
        lambda flow: reverse_kl(flow, target, 256)[0],
        lambda flow: reverse_kl_path(flow, target, 256)[0],
    ):
        torch.manual_seed(1)
        flow = generator_from_bgflow(readme_generator(bg, 2, bg.DoubleWellEnergy(2)))
        before = float(loss(flow).detach())
        optimizer = MatrixOptimizer(flow, learning_rate=1e-2)
        fit(
            FunctionObjective(lambda step, flow=flow, loss=loss: loss(flow)),
            optimizer,
            lambda step: 1.0,
            range(60),
        )
        assert float(loss(flow).detach()) < before - 0.3


def test_their_target_with_our_losses(bg: Any) -> None:
    target = target_from_bgflow(bg.DoubleWellEnergy(2))
    y = torch.randn(6, 2)
    u, gradient = target.value_and_gradient(y)
    torch.testing.assert_close(u, bg.DoubleWellEnergy(2).energy(y).squeeze(-1))
    torch.testing.assert_close(gradient, -bg.DoubleWellEnergy(2).force(y.clone(), no_grad=True))
    loss, log_w = reverse_kl(Flow(StandardNormal(2), real_nvp(2)), target, 64)
    assert loss.isfinite() and log_w.shape == (64,)


def test_a_generator_of_theirs_is_sampled_reweighted_and_evaluated(
    bg: Any, alanine: System, energy: ForceFieldEnergy, coordinates: MolecularCoordinates
) -> None:
    theirs = readme_generator(bg, 60, energy_to_bgflow(PullbackEnergy(energy, coordinates), 60))
    flow = generator_from_bgflow(theirs)
    sampler = FlowSampler(alanine, coordinates, flow, temperature=300.0)
    samples = sampler.sample(2048, energy, seed=5)
    # Their own weights, at the same conformations.
    inside = samples.log_w.isfinite() & (samples.u < 1e4)
    y = coordinates.inverse(samples.x[inside].double())[0]
    expected = theirs.float().log_weights(y.float(), normalize=False)
    torch.testing.assert_close(samples.log_w[inside].float(), expected, rtol=1e-3, atol=0.5)
    result = evaluate(sampler, n=2048)
    assert result["sampling_efficiency"] > 0
