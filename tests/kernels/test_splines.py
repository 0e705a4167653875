"""The compiled splines against torch's operations: float32 against float64, of values and
gradients.
"""

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from boltzgen.flow import spline
from boltzgen.kernels import runtime
from boltzgen.kernels.constants import MIN_DERIVATIVE, UNIT

pytest.importorskip("numba")
BOUND = 2.5
N_ACTIVE = 3
#: name -> (whether periodic, whether inverse, bins)
KINDS = {
    "line": (False, False, 8),
    "line, inverse": (False, True, 8),
    "line, two bins": (False, False, 2),
    "angle": (True, False, 16),
    "angle, inverse": (True, True, 16),
    "angle, one bin": (True, True, 1),
}
Kind = tuple[bool, bool, int]


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def move(kind: Kind, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
    periodic, inverse, _ = kind
    if periodic:
        return spline.periodic_spline(x, raw, inverse=inverse)
    return spline.spline_with_tails(x, raw, bound=BOUND, inverse=inverse)


def values(kind: Kind, batch: int = 333, scale: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """x and raw in float32; on the line some x are in the tails."""
    periodic, _, bins = kind
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N_ACTIVE, batch, generator=generator) * 1.5
    if periodic:
        x = torch.remainder(2 * x + math.pi, 2 * math.pi) - math.pi
    return x, scale * torch.randn(3 * bins + (1 if periodic else -1), N_ACTIVE, batch, generator=generator)


def differentiated(kind: Kind, x: Tensor, raw: Tensor) -> tuple[Tensor, ...]:
    """y, log-derivative, and the gradients of a sum of both by x and raw."""
    x, raw = x.clone().requires_grad_(), raw.clone().requires_grad_()
    y, log_derivative = move(kind, x, raw)
    generator = torch.Generator().manual_seed(9)
    factors = torch.randn(2, *x.shape, generator=generator).to(x)
    gradients = torch.autograd.grad((y, log_derivative), (x, raw), tuple(factors))
    return y.detach(), log_derivative.detach(), *gradients


def by_operations(monkeypatch: pytest.MonkeyPatch, kind: Kind, x: Tensor, raw: Tensor) -> tuple[Tensor, ...]:
    """The same in float32 without kernels."""
    with monkeypatch.context() as patch:
        patch.setattr(spline, "ready", lambda *_: False)
        return differentiated(kind, x, raw)


def errors(kind: Kind, ours: tuple[Tensor, ...], exact: tuple[Tensor, ...]) -> list[Tensor]:
    """Absolute errors of everything, of angles within one period."""
    found = [a.double() - b for a, b in zip(ours, exact, strict=True)]
    if kind[0]:
        found[0] = torch.remainder(found[0] + math.pi, 2 * math.pi) - math.pi
    return [error.abs() for error in found]


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_as_accurate_as_operations(kind: Kind, scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against float64, where float32 loses digits in steep bins: as much as torch's operations, ordinarily
    and at worst.
    """
    x, raw = values(kind, 3000, scale)
    assert runtime.ready(x, raw)
    exact = differentiated(kind, x.double(), raw.double())
    assert not runtime.ready(x.double(), raw.double())
    ours, theirs = (
        errors(kind, found, exact)
        for found in (differentiated(kind, x, raw), by_operations(monkeypatch, kind, x, raw))
    )
    for error, reference, truth in zip(ours, theirs, exact, strict=True):
        for share in (0.5, 0.9, 0.99):
            assert error.quantile(share) < 1.5 * reference.quantile(share) + 1e-7
        assert error.max() < 10 * reference.max() + 1e-6 * truth.abs().max()


def test_gentle_splines_to_rounding(kind: Kind) -> None:
    x, raw = values(kind, scale=0.1)
    # Away from knots, where second derivatives jump.
    for error in errors(kind, differentiated(kind, x, raw), differentiated(kind, x.double(), raw.double()))[
        :2
    ]:
        assert error.max() < 3e-6


def test_round_trip(kind: Kind) -> None:
    periodic, inverse, bins = kind
    x, raw = values(kind)
    y, log_derivative = move(kind, x, raw)
    back, log_derivative_back = move((periodic, not inverse, bins), y, raw)
    away = errors(kind, (back,), (x.double(),))[0]
    assert away.median() < 5e-7 and away.max() < 1e-3
    assert (log_derivative + log_derivative_back).abs().median() < 5e-6


def test_zeros_are_the_identity(kind: Kind) -> None:
    x, raw = values(kind)
    y, log_derivative = move(kind, x, torch.zeros_like(raw))
    torch.testing.assert_close(y, x, atol=1e-6, rtol=0)
    assert log_derivative.abs().max() < 2e-6


def test_extreme_parameters_stay_finite(kind: Kind) -> None:
    x, raw = values(kind, scale=30.0)
    for found in differentiated(kind, x, raw):
        assert torch.isfinite(found).all()


@pytest.mark.parametrize("inverse", [False, True])
def test_tails_and_bounds(inverse: bool) -> None:
    kind = (False, inverse, 8)
    below = BOUND * (1 - 2**-22)
    x = (
        torch.tensor([-math.inf, -1e30, -3.0, -BOUND, -below, below, BOUND, 3.0, math.inf])
        .expand(N_ACTIVE, -1)
        .contiguous()
    )
    _, raw = values(kind, x.shape[1])
    y, log_derivative, by_x, by_raw = differentiated(kind, x, raw)
    outside = x.abs() >= BOUND
    assert outside.sum() == 7 * N_ACTIVE
    assert torch.equal(y[outside], x[outside])
    assert (log_derivative[outside] == 0).all()
    assert (by_raw[:, outside] == 0).all()
    assert torch.equal(
        by_x[outside], torch.randn(2, *x.shape, generator=torch.Generator().manual_seed(9))[0][outside]
    )
    torch.testing.assert_close(y[~outside], x[~outside], atol=1e-5, rtol=0)
    # The derivative is one at the bounds.
    assert log_derivative.abs().max() < 1e-3
    assert (by_raw[:, ~outside] != 0).any()


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("periodic", [False, True])
def test_values_at_knots(periodic: bool, inverse: bool) -> None:
    """Knots of raw zeros are exact numbers; derivatives differ from one there, and continue from one bin to
    the next.
    """
    bound = math.pi if periodic else BOUND
    kind = (periodic, inverse, 8)
    x = torch.linspace(-bound, bound, 9)[:-1].expand(N_ACTIVE, -1).contiguous()
    _, raw = values(kind, x.shape[1])
    raw[:16] = 0.0
    if periodic:
        raw[-1] = 0.0
    y, log_derivative = move(kind, x, raw)
    if periodic:
        y = torch.where(y > 3.0, y - 2 * math.pi, y)
    torch.testing.assert_close(y, x, atol=1e-6, rtol=0)
    derivative = MIN_DERIVATIVE + torch.nn.functional.softplus(raw[16:24] + UNIT)
    first = 0 if periodic else 1
    at_knots = torch.stack([derivative[k - first, :, k] for k in range(first, 8)], dim=1).log()
    torch.testing.assert_close(
        log_derivative[:, first:], -at_knots if inverse else at_knots, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("inverse", [False, True])
def test_periods_close(inverse: bool) -> None:
    """Angles just below pi and at -pi are neighbours, and rotations by many turns are rotations."""
    kind = (True, inverse, 8)
    x = torch.tensor([-math.pi, 3.141592, 0.0, 1.0, -3.1415925, math.pi]).expand(N_ACTIVE, -1).contiguous()
    _, raw = values(kind, x.shape[1])
    raw = raw[:, :, :1].expand(-1, -1, x.shape[1]).contiguous()
    y, log_derivative = move(kind, x, raw)
    assert (y.abs() <= 3.15).all()
    for column in (1, 4, 5):
        distance = torch.remainder(y[:, column] - y[:, 0] + math.pi, 2 * math.pi) - math.pi
        assert distance.abs().max() < 1e-4
        assert (log_derivative[:, column] - log_derivative[:, 0]).abs().max() < 1e-3
    for turns in (-3, 1, 5):
        turned = raw.clone()
        turned[-1] += 2 * math.pi * turns
        again, log_again = move(kind, x, turned)
        assert errors(kind, (again,), (y.double(),))[0].max() < 1e-4
        torch.testing.assert_close(log_again, log_derivative, atol=1e-3, rtol=0)
        if inverse:
            assert (again >= -math.pi - 1e-6).all() and (again < math.pi).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e38, -1e38])
def test_what_is_not_finite_stays_in_its_element(kind: Kind, bad: float) -> None:
    x, raw = values(kind, 200)
    x.clamp_(-0.9 * BOUND, 0.9 * BOUND)
    clean = differentiated(kind, x, raw)
    spoiled, spoiled_raw = x.clone(), raw.clone()
    spoiled[0, 70] = bad
    for n in range(len(raw)):
        spoiled_raw[n, 1, 3 * n] = bad
    found = differentiated(kind, spoiled, spoiled_raw)
    untouched = torch.ones_like(x, dtype=torch.bool)
    untouched[0, 70] = False
    untouched[1, 0 : 3 * len(raw) : 3] = False
    for ours, expected in zip(found, clean, strict=True):
        assert torch.equal(ours[..., untouched], expected[..., untouched])
    if math.isnan(bad):
        assert found[0][0, 70].isnan()
        # Every size counts for every element.
        assert (
            found[0][1, 0 : 3 * 2 * kind[2] : 3].isnan().all()
            and found[1][1, 0 : 3 * 2 * kind[2] : 3].isnan().all()
        )


@pytest.mark.parametrize("batch", [1, 2, 63, 64, 65, 127, 128, 300])
def test_elements_do_not_depend_on_their_place(kind: Kind, batch: int) -> None:
    x, raw = values(kind, 300)
    whole = differentiated(kind, x, raw)
    generator = torch.Generator().manual_seed(9)
    factors = torch.randn(2, *x.shape, generator=generator)
    order = torch.randperm(300, generator=generator)[:batch]
    a, b = x[:, order].clone().requires_grad_(), raw[:, :, order].clone().requires_grad_()
    results = move(kind, a, b)
    part = (*results, *torch.autograd.grad(results, (a, b), tuple(factors[:, :, order])))
    for ours, expected in zip(part, whole, strict=True):
        assert torch.equal(ours, expected[..., order])


def test_threads_do_not_matter(
    kind: Kind, threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_CHUNK", 5000)
    x, raw = values(kind, 1000)
    found = []
    for n in (1, 2, 3):
        threads(n)
        found.append(differentiated(kind, x, raw))
    for others in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], others, strict=True))


def test_any_shape_and_stride(kind: Kind) -> None:
    x, raw = values(kind, 100)
    y, log_derivative = move(kind, x, raw)
    strided = move(kind, x.T.contiguous().T, raw.permute(2, 0, 1).contiguous().permute(1, 2, 0))
    assert torch.equal(strided[0], y) and torch.equal(strided[1], log_derivative)
    flat = move(kind, x[0], raw[:, 0])
    assert torch.equal(flat[0], y[0]) and torch.equal(flat[1], log_derivative[0])
    single = move(kind, x[0, 5], raw[:, 0, 5])
    assert single[0].shape == () and torch.equal(single[0], y[0, 5])
    deep = move(kind, x.reshape(N_ACTIVE, 4, 25), raw.reshape(-1, N_ACTIVE, 4, 25))
    assert torch.equal(deep[0].reshape(x.shape), y)
    empty = move(kind, x[:, :0], raw[:, :, :0])
    assert empty[0].shape == (N_ACTIVE, 0)


def test_one_result_alone(kind: Kind) -> None:
    """The gradient of one result when nobody asks for the other's."""
    x, raw = values(kind, 100)
    for n in (0, 1):
        a, b = x.clone().requires_grad_(), raw.double().requires_grad_()
        (ours,) = torch.autograd.grad(move(kind, a, raw)[n].sum(), a)
        c = x.double().requires_grad_()
        (exact,) = torch.autograd.grad(move(kind, c, b)[n].sum(), c)
        assert (ours - exact).abs().median() < 1e-5


def test_second_derivatives_raise(kind: Kind) -> None:
    x, raw = values(kind, 10)
    x.requires_grad_()
    y, log_derivative = move(kind, x, raw)
    (gradient,) = torch.autograd.grad((y + log_derivative).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="first derivatives only"):
        gradient.sum().backward()


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
def test_transformations_take_operations(kind: Kind) -> None:
    x, raw = values(kind, 10)
    jacobian = torch.func.vmap(
        torch.func.vmap(torch.func.jacrev(lambda a, b: move(kind, a, b)[0]), in_dims=(0, 1)), in_dims=(0, 1)
    )(x, raw)
    derivative = move(kind, x, raw)[1].exp()
    assert ((jacobian - derivative).abs() / derivative).median() < 1e-4
    _, tangent = torch.func.jvp(lambda a: move(kind, a, raw)[0], (x,), (torch.ones_like(x),))
    torch.testing.assert_close(tangent, jacobian, rtol=1e-3, atol=1e-3)
    with torch.autograd.forward_ad.dual_level():
        y, _ = move(kind, torch.autograd.forward_ad.make_dual(x, torch.ones_like(x)), raw)
        assert torch.equal(torch.autograd.forward_ad.unpack_dual(y).tangent, tangent)


def test_recasting_takes_operations(kind: Kind) -> None:
    x, raw = values(kind, 10)
    with torch.autocast("cpu"):
        assert not runtime.ready(x, raw)
    assert runtime.ready(x, raw)
