"""The laws of every transform: round trip, log-determinant against the autograd Jacobian, batch = loop, any
leading shape.
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from boltzgen.flow.coupling import AffineCoupling, Neighbourhood, PeriodicCoupling, SplineCoupling, real_nvp
from boltzgen.flow.networks import Part
from boltzgen.flow.transform import Chain, Transform
from boltzgen.flow.triangular import ConstantTriangular, TriangularAffine
from tests.helpers.disturbed import disturbed

CONTEXT = 3
NEAR = [Neighbourhood([4], [0], [1]), Neighbourhood([1, 2], [0, 3], [0, 1])]
COLUMNS = [[], [0], [], [1, 2], [0]]
PARTS = [Part([0], [3, 0]), Part(range(CONTEXT), [1, 2, 4])]


#: name -> (transform of 5 coordinates, whether they are angles)
TRANSFORMS: dict[str, tuple[Callable[[], Transform], bool]] = {
    "periodic coupling": (lambda: disturbed(PeriodicCoupling(5, [0, 2], bins=6, hidden=(8,))), True),
    "spline coupling": (
        lambda: disturbed(SplineCoupling(5, [1, 2, 4], CONTEXT, bins=5, hidden=(8,), bound=2.0)),
        False,
    ),
    "spline coupling, no context": (
        lambda: disturbed(SplineCoupling(5, [0], bins=4, hidden=(8,), bound=1.5)),
        False,
    ),
    "affine coupling": (lambda: disturbed(AffineCoupling(5, [1, 2, 4], CONTEXT, hidden=(8,))), False),
    "RealNVP, no context": (lambda: disturbed(real_nvp(5, 4, hidden=(8,))), False),
    "triangular affine": (lambda: disturbed(TriangularAffine(5, CONTEXT, hidden=(8,)), 0.3), False),
    "local spline coupling": (
        lambda: disturbed(
            SplineCoupling(
                5,
                [1, 2, 4],
                CONTEXT,
                neighbourhoods=NEAR,
                hidden=(8,),
            )
        ),
        False,
    ),
    "sparse triangular affine": (
        lambda: disturbed(
            TriangularAffine(
                5,
                CONTEXT,
                columns=COLUMNS,
                parts=PARTS,
                hidden=(8,),
            ),
            0.3,
        ),
        False,
    ),
    "constant triangular, no context": (lambda: disturbed(ConstantTriangular(5), 0.3), False),
    "chain": (
        lambda: disturbed(
            Chain(
                [
                    SplineCoupling(5, [1, 3], CONTEXT, bins=3, hidden=(8,)),
                    TriangularAffine(5, CONTEXT, hidden=(8,)),
                ]
            ),
            0.3,
        ),
        False,
    ),
}


def draw(periodic: bool, n: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    z = torch.randn(n, 5, generator=generator, dtype=torch.float64)
    if periodic:
        z = torch.remainder(2 * z + math.pi, 2 * math.pi) - math.pi
    return z, torch.randn(n, CONTEXT, generator=generator, dtype=torch.float64)


def context_for(name: str, context: Tensor) -> Tensor | None:
    return None if "no context" in name or "periodic" in name else context


def apart(a: Tensor, b: Tensor, periodic: bool) -> float:
    difference = a - b
    if periodic:
        difference = torch.remainder(difference + math.pi, 2 * math.pi) - math.pi
    return float(difference.detach().abs().max())


@pytest.mark.parametrize("name", TRANSFORMS)
def test_round_trip(name: str) -> None:
    build, periodic = TRANSFORMS[name]
    transform = build()
    z, context = draw(periodic, 200)
    x, log_det = transform(z, context_for(name, context))
    back, log_det_back = transform.inverse(x, context_for(name, context))
    assert apart(back, z, periodic) < 1e-9
    assert apart(x, z, periodic) > 0.1
    torch.testing.assert_close(log_det_back, -log_det, atol=1e-9, rtol=0)
    if periodic:
        assert x.abs().max() <= math.pi


@pytest.mark.parametrize("name", TRANSFORMS)
def test_log_det_is_the_jacobians(name: str) -> None:
    build, periodic = TRANSFORMS[name]
    transform = build()
    z, context = draw(periodic, 20)
    for row in range(len(z)):
        c = None if context_for(name, context) is None else context[row]
        for direction in (transform.forward, transform.inverse):
            jacobian = torch.autograd.functional.jacobian(lambda v, d=direction, c=c: d(v, c)[0], z[row])
            torch.testing.assert_close(
                torch.linalg.slogdet(jacobian)[1], direction(z[row], c)[1], atol=1e-9, rtol=0
            )


@pytest.mark.parametrize("name", TRANSFORMS)
def test_any_leading_shape(name: str) -> None:
    build, periodic = TRANSFORMS[name]
    transform = build()
    z, context = draw(periodic, 6)
    x, log_det = transform(z, context_for(name, context))
    c = None if context_for(name, context) is None else context.reshape(2, 3, -1)
    folded, folded_log_det = transform(z.reshape(2, 3, 5), c)
    torch.testing.assert_close(folded.reshape(6, 5), x, atol=1e-12, rtol=0)
    torch.testing.assert_close(folded_log_det.reshape(6), log_det, atol=1e-12, rtol=0)
    assert folded_log_det.shape == (2, 3)


#: The same layers, untouched, in float32; those that are named in TRANSFORMS and no others.
FRESH: dict[str, Callable[[], Transform]] = {
    "periodic coupling": lambda: PeriodicCoupling(5, [0, 2]),
    "spline coupling": lambda: SplineCoupling(5, [1, 2, 4], CONTEXT),
    "spline coupling, no context": lambda: SplineCoupling(5, [0]),
    "affine coupling": lambda: AffineCoupling(5, [1, 2, 4], CONTEXT),
    "RealNVP, no context": lambda: real_nvp(5, 4),
    "triangular affine": lambda: TriangularAffine(5, CONTEXT),
    "local spline coupling": lambda: SplineCoupling(5, [1, 2, 4], CONTEXT, neighbourhoods=NEAR),
    "sparse triangular affine": lambda: TriangularAffine(5, CONTEXT, columns=COLUMNS, parts=PARTS),
    "constant triangular, no context": lambda: ConstantTriangular(5),
    "chain": lambda: Chain([SplineCoupling(5, [1, 3], CONTEXT), TriangularAffine(5, CONTEXT)]),
}


def kinds(transform: Transform) -> list[str]:
    """Names of the classes in a transform, without those of its networks' layers."""
    return [type(module).__name__ for module in transform.modules() if isinstance(module, Transform)]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_starts_near_the_identity_or_its_default(name: str) -> None:
    fresh = FRESH[name]()
    assert kinds(fresh) == kinds(TRANSFORMS[name][0]())
    z, context = draw("periodic" in name, 50)
    x, log_det = fresh(z.float(), None if context_for(name, context) is None else context.float())
    moved = apart(x.double(), z, "periodic" in name)
    assert moved < 0.1
    assert (moved < 1e-6) == ("constant" in name)
    assert log_det.abs().max() < 0.1


@pytest.mark.parametrize("constant", [False, True])
def test_triangular_layers_start_from_a_precision(constant: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    a = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    precision = a @ a.T + torch.eye(5, dtype=torch.float64)
    layer = (ConstantTriangular(5) if constant else TriangularAffine(5, CONTEXT)).double()
    layer.initialize(precision)
    if isinstance(layer, TriangularAffine):
        with torch.no_grad():
            layer.net.nets[0].last.weight.zero_()
    z, context = draw(False, 50)
    x, log_det = layer(z, context)
    torch.testing.assert_close(
        torch.einsum("bi,ij,bj->b", x, precision, x), z.square().sum(-1), atol=1e-9, rtol=1e-9
    )
    torch.testing.assert_close(log_det, (-0.5 * torch.logdet(precision)).expand(50), atol=1e-9, rtol=0)


def test_a_sparse_factor_is_the_closest_to_a_precision() -> None:
    """A chain's precision is tridiagonal, and so is its factor: nothing is lost; elsewhere each row's
    regression has the smallest variance.
    """
    chain = (
        2.5 * torch.eye(5, dtype=torch.float64)
        - torch.diag(torch.ones(4, dtype=torch.float64), 1)
        - torch.diag(torch.ones(4, dtype=torch.float64), -1)
    )
    near = [[], [0], [1], [2], [3]]
    for precision, exact in ((chain, True), (chain + 0.2, False)):
        affine = TriangularAffine(5, CONTEXT, columns=near).double()
        affine.initialize(precision)
        with torch.no_grad():
            affine.net.nets[0].last.weight.zero_()
        lower, log_d, _ = affine._parts(torch.zeros(CONTEXT, dtype=torch.float64))
        factor = torch.diag(log_d.exp()) @ (lower + torch.eye(5, dtype=torch.float64))
        # E|F x|^2 = n at the optimum, and KL = -log det F + (log det precision) / 2 then.
        torch.testing.assert_close(
            torch.trace(factor @ torch.linalg.inv(precision) @ factor.T),
            torch.tensor(5.0, dtype=torch.float64),
        )
        kl = 0.5 * torch.logdet(precision) - log_d.sum()
        assert abs(float(kl)) < 1e-9 if exact else float(kl) > 1e-3


@pytest.mark.parametrize("inverse", [False, True])
def test_gradients_are_finite_at_and_beyond_the_bounds(inverse: bool) -> None:
    coupling = disturbed(SplineCoupling(2, [0], bins=4, hidden=(8,), bound=1.5))
    z = torch.tensor(
        [[-1e8, 0.0], [-1.5, 0.0], [1.5, 0.0], [1.6, 0.3], [0.0, 1.0]],
        dtype=torch.float64,
        requires_grad=True,
    )
    x, log_det = (coupling.inverse if inverse else coupling.forward)(z)
    (x.sum() + log_det.sum()).backward()
    assert torch.isfinite(z.grad).all()
    assert torch.equal(x[[0, 3], 0], z[[0, 3], 0])


@pytest.mark.parametrize("active", [[], [0, 0], [0, 1, 2, 3, 4], [7]])
def test_a_coupling_needs_both_halves(active: list[int]) -> None:
    with pytest.raises(ValueError, match="distinct indices"):
        SplineCoupling(5, active)
