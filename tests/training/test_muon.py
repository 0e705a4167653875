"""Muon: torch's moves, singular values of about one, and what is refused."""

import pytest
import torch
from torch import Tensor, nn

from boltzgen.training import muon
from boltzgen.training.muon import Muon, orthogonalized

#: Two of one shape, others tall and wide.
SHAPES = [(24, 24), (24, 24), (40, 8), (8, 40), (1, 5)]


def matrices(seed: int = 0) -> list[nn.Parameter]:
    stream = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=stream)) for shape in SHAPES]


def give_gradients(parameters: list[nn.Parameter], seed: int) -> None:
    stream = torch.Generator().manual_seed(seed)
    for p in parameters:
        p.grad = torch.randn(p.shape, generator=stream)


def iterated(values: Tensor) -> Tensor:
    """What the iteration makes of singular values."""
    for _ in range(5):
        values = values * (3.4445 - 4.775 * values**2 + 2.0315 * values**4)
    return values


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_moves_are_torchs(decay: float) -> None:
    """To the rounding of bfloat16, in which torch's are computed; the states take each other's place."""
    ours, theirs = matrices(), matrices()
    start = [p.detach().clone() for p in ours]
    own = Muon(ours, lr=0.02, weight_decay=decay)
    other = torch.optim.Muon(theirs, lr=0.02, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
    for step in range(3):
        for parameters, optimizer in ((ours, own), (theirs, other)):
            give_gradients(parameters, step)
            optimizer.step()
    for a, b, before in zip(ours, theirs, start, strict=True):
        a, b = a.detach(), b.detach()
        assert float((a - b).norm() / (b - before).norm()) < 0.02
    for mine, its in zip(
        own.state_dict()["state"].values(), other.state_dict()["state"].values(), strict=True
    ):
        assert mine.keys() == its.keys()
        torch.testing.assert_close(mine["momentum_buffer"], its["momentum_buffer"])


def test_singular_values_are_about_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muon, "_fast_dtype", lambda device: torch.float32)
    for shape in ((3, 24, 24), (2, 40, 8), (2, 8, 40)):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        left, values, right = torch.linalg.svd(x.double(), full_matrices=False)
        found = iterated(values / values.square().sum(-1, keepdim=True).sqrt())
        expected = left @ torch.diag_embed(found) @ right
        torch.testing.assert_close(orthogonalized(x).double(), expected, atol=1e-4, rtol=0)
        assert found[:, :-1].min() > 0.5 and found.max() < 1.3
    assert torch.equal(orthogonalized(torch.zeros(1, 3, 4)), torch.zeros(1, 3, 4))


@pytest.mark.parametrize(
    ("capability", "expected"),
    [("AVX512", torch.bfloat16), ("AVX2", torch.float32), ("DEFAULT", torch.float32)],
)
def test_the_type_is_one_that_is_fast(
    monkeypatch: pytest.MonkeyPatch, capability: str, expected: torch.dtype
) -> None:
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: capability)
    assert muon._fast_dtype(torch.device("cpu")) == expected
    assert muon._fast_dtype(torch.device("cuda", 0)) == torch.bfloat16
    assert orthogonalized(torch.ones(1, 2, 2)).dtype == torch.float32


def test_matrices_without_a_gradient_stay() -> None:
    parameters = matrices()
    give_gradients(parameters, 0)
    parameters[1].grad = None
    before = [p.detach().clone() for p in parameters]
    optimizer = Muon(parameters, lr=0.1, weight_decay=0.1)
    optimizer.step()
    moved = [not torch.equal(p, b) for p, b in zip(parameters, before, strict=True)]
    assert moved == [True, False, True, True, True]
    assert len(optimizer.state_dict()["state"]) == 4


def test_a_closure_is_called_with_gradients() -> None:
    (parameter,) = parameters = [nn.Parameter(torch.ones(2, 2))]
    optimizer = Muon(parameters, lr=0.1)

    def closure() -> float:
        loss = parameter.square().sum()
        loss.backward()
        return float(loss.detach())

    assert optimizer.step(closure) == 4.0
    assert (parameter < 1).all()


def test_what_is_no_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected matrices, got a parameter of shape \(3,\)"):
        Muon([nn.Parameter(torch.zeros(3))])
