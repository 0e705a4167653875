"""Draws with their scores: those of `log_prob`, with the graph of `draw`, and no network evaluated twice."""

from collections.abc import Callable

import pytest
import torch

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.flow.coupling import PeriodicCoupling, SplineCoupling, real_nvp
from boltzgen.flow.distribution import Distribution, context_for
from boltzgen.flow.elementary import Product, StandardNormal, UniformTorus
from boltzgen.flow.flow import Flow
from boltzgen.flow.mixture import DefensiveMixture
from boltzgen.flow.networks import MLP
from boltzgen.flow.transform import Chain
from boltzgen.flow.triangular import ConstantTriangular, TriangularAffine
from boltzgen.generator.architecture import molecular_flow
from boltzgen.molecule.system import System
from tests.helpers.disturbed import disturbed
from tests.helpers.toys import learned_flow

CONTEXT = 3


def stiff() -> Flow:
    layers = [SplineCoupling(5, [k, k + 1], CONTEXT, hidden=(8,)) for k in range(3)]
    mixed = DefensiveMixture(Flow(StandardNormal(5), Chain(layers)), StandardNormal(5), 0.3)
    flow = Flow(mixed, Chain([TriangularAffine(5, CONTEXT, hidden=(8,)), ConstantTriangular(5)]))
    disturbed(flow.transform, 0.1)
    for layer in layers:
        disturbed(layer, 0.5)
    return flow.double()


def torsions() -> Flow:
    layers = [PeriodicCoupling(3, [k], bins=6, hidden=(8,)) for k in range(3)]
    return Flow(UniformTorus(3), disturbed(Chain(layers))).double()


FLOWS: dict[str, Callable[[], Distribution]] = {
    "stiff coordinates": stiff,
    "torsions": torsions,
    "RealNVP": lambda: Flow(StandardNormal(4), disturbed(real_nvp(4, 4, hidden=(8,)), 0.5)).double(),
    "a base with parameters": learned_flow,
    "no transforms": lambda: Flow(StandardNormal(2), Chain([])).double(),
    "a mixture": lambda: DefensiveMixture(Product([StandardNormal(3)]), torsions(), 0.4).double(),
}


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("shape", [(40,), (4, 10)])
def test_draws_and_scores(name: str, shape: tuple[int, ...]) -> None:
    """The draws and their graph are those of `draw`, the score is the gradient of `log_prob`."""
    flow = FLOWS[name]()
    context = torch.randn(*shape, CONTEXT, dtype=torch.float64) if name == "stiff coordinates" else None
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    plain = flow.draw(shape, generator=generators[0], **context_for(flow, context))
    z, log_prob, surrogate, score = flow.draw_with_score(shape, generator=generators[1], context=context)
    for found, expected in zip((z, log_prob, surrogate), plain, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    leaf = z.detach().requires_grad_()
    (exact,) = torch.autograd.grad(flow.log_prob(leaf, **context_for(flow, context)).sum(), leaf)
    assert score.shape == z.shape and not score.requires_grad
    torch.testing.assert_close(score, exact, rtol=1e-9, atol=1e-9)
    again, back = flow.log_prob_and_score(z, context)
    torch.testing.assert_close(again, log_prob, rtol=0, atol=1e-9)
    torch.testing.assert_close(back, exact, rtol=0, atol=0)
    parameters = list(flow.parameters())
    if parameters:
        gradients = [
            torch.autograd.grad(of[0].sin().sum() + of[1].sum(), parameters, allow_unused=True)
            for of in ((z, log_prob), plain)
        ]
        for found, expected in zip(*gradients, strict=True):
            assert (found is None) == (expected is None)
            if found is not None:
                torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_molecule_evaluates_each_network_once(alanine: System, dtype: torch.dtype) -> None:
    """The stiff coordinates' flow, in kernels and in torch's operations."""
    if dtype == torch.float32:
        pytest.importorskip("numba")
    torch.manual_seed(1)
    flow = molecular_flow(MolecularCoordinates(alanine), broad_stiff=0.1).to(dtype)
    with torch.no_grad():
        for parameter in flow.conditional.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    context = flow.features(flow.leading.sample((50,)))
    seen: list[int] = []
    networks = [part for part in flow.conditional.modules() if isinstance(part, MLP)]
    for network in networks:
        network.trunk.register_forward_hook(lambda trunk, inputs, outputs: seen.append(len(outputs)))
    r, log_prob, _, score = flow.conditional.draw_with_score((50,), context=context)
    # The five draws of the broad component are brought back through the couplings, once.
    assert sum(seen) == 50 * len(networks)
    leaf = r.detach().requires_grad_()
    expected = flow.conditional.log_prob(leaf, context)
    (exact,) = torch.autograd.grad(expected.sum(), leaf)
    precision = 1e-10 if dtype == torch.float64 else 1e-4
    torch.testing.assert_close(log_prob, expected, rtol=0, atol=precision)
    assert float((score - exact).abs().max() / exact.abs().max()) < precision
