"""The compiled triangular layer against torch's operations: float32 against float64, of values
and gradients.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from boltzgen.flow import triangular as flow_triangular
from boltzgen.flow.networks import Part
from boltzgen.flow.triangular import TriangularAffine
from boltzgen.kernels import runtime
from boltzgen.kernels.triangular import Entries, triangular

pytest.importorskip("numba")
N, CONTEXT = 7, 4
DIRECTIONS = ["forward", "inverse"]


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def layer(n: int = N, sparse: bool = False) -> TriangularAffine:
    """A layer whose matrices and means differ much from sample to sample; a sparse one has two networks, each
    for rows here and there.
    """
    options: dict[str, Any] = {}
    if sparse:
        options["columns"] = [[j for j in range(i) if (i + j) % 3 != 1] for i in range(n)]
        options["parts"] = [Part([0, 2], range(1, n, 2)), Part([1, 2, 3], range(0, n, 2))]
    affine = TriangularAffine(n, CONTEXT, hidden=(16,), **options)
    with torch.no_grad():
        for net in affine.net.nets:
            net.last.weight.mul_(60.0 / n**0.5)
            net.last.bias.normal_(0.0, 0.3 / n**0.5)
    return affine


def entries_of(affine: TriangularAffine) -> Entries:
    return Entries(affine.starts, affine.stops, affine.columns)


def values(batch: int = 333, n: int = N) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, n, generator=generator), torch.randn(batch, CONTEXT, generator=generator)


def differentiated(
    affine: TriangularAffine, direction: str, x: Tensor, context: Tensor
) -> tuple[Tensor, ...]:
    """Both results, and the gradients of a sum of both by x, context, and all parameters."""
    x, context = x.clone().requires_grad_(), context.clone().requires_grad_()
    results = getattr(affine, direction)(x, context)
    generator = torch.Generator().manual_seed(9)
    factors = [torch.randn(result.shape, generator=generator).to(result) for result in results]
    return *(result.detach() for result in results), *torch.autograd.grad(
        results, (x, context, *affine.parameters()), factors
    )


def by_operations(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> tuple[Tensor, ...]:
    with monkeypatch.context() as patch:
        patch.setattr(flow_triangular, "ready", lambda *_: False)
        return differentiated(*arguments)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("batch", "n", "sparse"),
    [(333, N, False), (64, 1, False), (3, 2, False), (200, 55, False), (333, N, True), (200, 30, True)],
)
def test_as_accurate_as_operations(
    direction: str, batch: int, n: int, sparse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    affine, (x, context) = layer(n, sparse), values(batch, n)
    assert runtime.ready(x, context)
    ours, theirs = (
        differentiated(affine, direction, x, context),
        by_operations(monkeypatch, affine, direction, x, context),
    )
    exact = differentiated(affine.double(), direction, x.double(), context.double())
    assert exact[1].abs().max() > 0.1
    for found, reference, truth in zip(ours, theirs, exact, strict=True):
        assert truth.abs().max() > 0
        assert (found - truth).abs().max() < 4 * (reference - truth).abs().max() + 2e-6 * truth.abs().max()


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("batch", [1, 63, 65, 127, 300])
def test_samples_do_not_depend_on_their_place(direction: str, batch: int) -> None:
    """From the packed matrices on: the network's products may round differently."""
    generator = torch.Generator().manual_seed(2)
    x, packed = (
        torch.randn(300, N, generator=generator),
        0.5 * torch.randn(N * (N + 3) // 2, 300, generator=generator),
    )
    entries = entries_of(layer())
    factors = torch.randn(300, N, generator=generator), torch.randn(300, generator=generator)
    order = torch.randperm(300, generator=generator)[:batch]

    def found(rows: Tensor) -> tuple[Tensor, ...]:
        a, b = x[rows].clone().requires_grad_(), packed[:, rows].clone().requires_grad_()
        results = triangular(a, b, entries, solve=direction == "forward")
        by_x, by_packed = torch.autograd.grad(results, (a, b), [f[rows] for f in factors])
        return *results, by_x, by_packed.T

    for part, whole in zip(found(order), found(torch.arange(300)), strict=True):
        assert torch.equal(part, whole[order])


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_threads_do_not_matter(
    direction: str, threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_CHUNK", 5000)
    generator = torch.Generator().manual_seed(2)
    x, packed = (
        torch.randn(1000, N, generator=generator),
        0.5 * torch.randn(N * (N + 3) // 2, 1000, generator=generator),
    )
    entries = entries_of(layer())
    found = []
    for n in (1, 2, 3):
        threads(n)
        a, b = x.clone().requires_grad_(), packed.clone().requires_grad_()
        results = triangular(a, b, entries, solve=direction == "forward")
        found.append((*results, *torch.autograd.grad(results, (a, b), [r.detach() for r in results])))
    for others in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], others, strict=True))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_what_is_not_finite_stays_in_its_sample(direction: str) -> None:
    affine, (x, context) = layer(), values(200)
    clean = differentiated(affine, direction, x, context)
    spoiled, spoiled_context = x.clone(), context.clone()
    spoiled[70, 2], spoiled_context[90, 1], spoiled[195, 0] = torch.nan, torch.nan, torch.inf
    found = differentiated(affine, direction, spoiled, spoiled_context)
    untouched = torch.ones(200, dtype=torch.bool)
    untouched[[70, 90, 195]] = False
    assert (
        found[0][70].isnan().any()
        and found[0][90].isnan().all()
        and found[1][90].isnan()
        and not found[0][195].isfinite().all()
    )
    for ours, expected in zip(found[:4], clean[:4], strict=True):
        assert torch.equal(ours[untouched], expected[untouched])


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_second_derivatives_raise(direction: str) -> None:
    affine, (x, context) = layer(), values(10)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(getattr(affine, direction)(x, context)[0].sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="first derivatives only"):
        gradient.sum().backward()


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_transformations_take_operations(direction: str) -> None:
    affine, (x, context) = layer(), values(10)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda a, c: getattr(affine, direction)(a, c)[0]))(
        x, context
    )
    log_det = getattr(affine, direction)(x, context)[1]
    torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], log_det, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_any_leading_shape(direction: str) -> None:
    affine, (x, context) = layer(), values(60)
    y, log_det = getattr(affine, direction)(x, context)
    folded = getattr(affine, direction)(x.reshape(3, 20, N), context.reshape(3, 20, CONTEXT))
    assert torch.equal(folded[0].reshape(y.shape), y) and torch.equal(folded[1].reshape(60), log_det)
    one = getattr(affine, direction)(x[0], context[0])
    torch.testing.assert_close(one[0], y[0], atol=1e-5, rtol=1e-5)
    assert one[1].shape == ()
    spread = getattr(affine, direction)(x, context[0])
    assert spread[0].shape == x.shape
    torch.testing.assert_close(spread[0][0], y[0], atol=1e-5, rtol=1e-5)
    assert getattr(affine, direction)(x[:0], context[:0])[0].shape == (0, N)
