"""Several ranks learn from their shares of draws what one learns from all of them."""

import signal
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.flow.elementary import Product, StandardNormal, UniformTorus
from boltzgen.flow.flow import Flow, HierarchicalFlow
from boltzgen.flow.resampled import Resampled
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.target import PullbackEnergy
from boltzgen.molecule.system import System
from boltzgen.seeding import random_stream
from boltzgen.training import energy_objective
from boltzgen.training.energy_objective import EnergyObjective, torsion_loss
from boltzgen.training.losses import (
    forward_kl,
    hierarchical_kl,
    log_variance_loss,
    reverse_kl,
    reverse_kl_path,
    shortfall_loss,
)
from boltzgen.training.ranks import ALONE, OtherRankError, Ranks
from boltzgen.training.run_objective import Task
from boltzgen.training.settings import Settings
from boltzgen.training.training_run import check_shares
from tests.helpers.ranks import Given, ThreadRanks, flat_gradients, on_ranks
from tests.helpers.toys import Bump, Lean, Shear, ToyTarget

N = 41
SIZES = (2, 3, 4)


def rows(n: int = N) -> tuple[Tensor, Tensor]:
    """Draws on a circle and on the line, some of them far out."""
    stream = torch.Generator().manual_seed(4)
    t = 6.2 * torch.rand(n, 1, generator=stream, dtype=torch.float64) - 3.1
    return t, 2.0 * torch.randn(n, 1, generator=stream, dtype=torch.float64)


class Gentle(ToyTarget):
    """With a fifth of the energy."""

    def value_and_gradient(self, y: Tensor) -> tuple[Tensor, Tensor]:
        u, gradient = super().value_and_gradient(y)
        return u / 5, gradient / 5


def plain(part: slice, spread: float = 1.0) -> Flow:
    t, z = (r[part] for r in rows())
    z = spread * z
    circle = Given(Resampled(UniformTorus(1), Bump(), truncation=4).double(), t)
    return Flow(Product([circle, Given(StandardNormal(1).double(), z)]), Shear())


def of_reverse_kl(ranks: Ranks) -> tuple[nn.Module, Tensor, Tensor]:
    flow = plain(ranks.part(N))
    return flow, *reverse_kl(flow, ToyTarget(limit=4.0), ranks.share(N), cap=0.5, ranks=ranks)


def of_path_gradient(ranks: Ranks) -> tuple[nn.Module, Tensor, Tensor]:
    flow = plain(ranks.part(N), spread=0.4)  # most gradients are short: their median decides
    return flow, *reverse_kl_path(flow, Gentle(limit=1.5), ranks.share(N), longest=0.7, ranks=ranks)


def of_hierarchy(ranks: Ranks) -> tuple[nn.Module, Tensor, Tensor]:
    """Draws of the flow and, after them, others, all of which are where it is thin."""
    own, others = ranks.part(30), ranks.part(N - 30)
    t, z = (torch.cat((r[:30][own], r[30:][others])) for r in rows())
    leading = Resampled(UniformTorus(1), Bump(), truncation=4).double()
    flow = HierarchicalFlow(leading, Flow(Given(StandardNormal(1).double(), z), Lean()), lambda t: t)  # type: ignore[arg-type]
    loss, log_q, rest, _ = hierarchical_kl(flow, ToyTarget(limit=3.0), t, longest=0.7, ranks=ranks)
    of_torsions, log_z = torsion_loss(log_q, rest, len(z) - ranks.share(N - 30), ranks=ranks)
    ratio = log_q - 5.0
    return flow, loss + of_torsions / N + shortfall_loss(ratio, ranks=ranks), log_z.reshape(1)


def of_data(ranks: Ranks) -> tuple[nn.Module, Tensor, Tensor]:
    flow = plain(slice(0))
    y = torch.cat(rows(), -1)[ranks.part(N)]
    log_q, u = flow.log_prob(y), ToyTarget()(y)
    loss = forward_kl(log_q, u.exp(), ranks=ranks) + log_variance_loss(log_q, u, ranks=ranks)
    return flow, loss + forward_kl(log_q, ranks=ranks), u[:0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [of_reverse_kl, of_path_gradient, of_hierarchy, of_data])
def test_gradients_of_ranks_are_those_of_one(
    make: Callable[[Ranks], tuple[nn.Module, Tensor, Tensor]], size: int
) -> None:
    """Of the same draws: to rounding in float64, with clashes, caps, medians and clipped weights."""

    def step(ranks: Ranks) -> tuple[Tensor, Tensor, Tensor]:
        flow, loss, found = make(ranks)
        loss.backward()
        ranks.sum_gradients(flow.parameters())
        return flat_gradients(flow), ranks.total(loss), found

    gradient, value, found = step(ALONE)
    assert gradient.abs().max() > 0.01
    for others in on_ranks(size, step):
        torch.testing.assert_close(others[0], gradient, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(others[1], value, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(others[2], found, rtol=1e-10, atol=1e-12)


def objective_of(system: System, ranks: Ranks) -> EnergyObjective:
    generator = BoltzmannGenerator.load(system.folder, system)
    settings = Settings(
        batch=50, walkers=13, walker_share=0.25, annealing=0.0, start_temperature=300.0, replays=1
    )
    energy = CountedEnergy(energy_for(system))
    return EnergyObjective(Task(generator, energy, system.temperature, settings, seed=1, ranks=ranks))


def test_a_step_of_ranks_is_that_of_one(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """A molecule's objective in float32, walkers' torsions among the draws: gradients, weights, priorities,
    and the gradients of a replay, here of everything.
    """
    monkeypatch.setattr(energy_objective, "_REPLAYED_SHARE", 0.5)  # of two full torsions
    monkeypatch.setattr(energy_objective._Torsions, "some", lambda torsions, n, generator: torsions)
    first = objective_of(system, ALONE)
    first.start_round(random_stream("cpu", 1, 0))
    state = first.state_dict()
    walkers = first.walkers
    assert walkers is not None
    flow = first.task.generator.flow
    n_visited, n_own = 12, 38
    with torch.no_grad():
        own = flow.leading.sample((n_own,), generator=random_stream("cpu", 2))
    target = PullbackEnergy(first.task.energy.at(300.0), first.task.generator.coordinates)
    _, y, u = walkers.draw(n_visited, 300.0, random_stream("cpu", 3))
    which = torch.arange(n_visited)
    noise = torch.randn(50, flow.event_shape[0] - flow.n_leading, generator=random_stream("cpu", 4))

    def step(ranks: Ranks) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        objective = objective_of(system, ranks)
        objective.load_state_dict(state)
        objective.start_round(random_stream("cpu", 5))
        flow, walkers = objective.task.generator.flow, objective.walkers
        assert walkers is not None and len(walkers.x) == ranks.share(13)
        ours, theirs = ranks.part(n_own), ranks.part(n_visited)
        z = torch.cat((noise[:n_own][ours], noise[n_own:][theirs]))
        flow.conditional.base = Given(flow.conditional.base, z)
        flow.leading.sample = lambda shape, generator: own[ours]  # type: ignore[method-assign]
        walkers.draw = lambda n, temperature, stream: (  # type: ignore[method-assign]
            which[theirs] - theirs.start,
            y[theirs],
            u[theirs],
        )
        loss, log_w = objective.loss(target)
        loss.backward()
        ranks.sum_gradients(flow.parameters())
        of_step = flat_gradients(flow)
        flow.zero_grad()
        (loss,) = objective.replays()
        loss.backward()
        ranks.sum_gradients([p for p in flow.parameters() if p.grad is not None])
        # In order: with thirteen walkers a draw may belong to another one than in one rank.
        priority = objective.state_dict()["walkers.priority"].sort().values
        return of_step, log_w, priority, flat_gradients(flow.leading)

    gradient, log_w, priority, replayed = step(ALONE)
    assert gradient.isfinite().all() and gradient.abs().max() > 0
    assert replayed.isfinite().all() and replayed.abs().max() > 0
    for size in SIZES:
        for found in on_ranks(size, step):
            assert (found[0] - gradient).norm() < 1e-4 * gradient.norm()
            assert torch.allclose(found[1], log_w, atol=1e-3)
            assert torch.allclose(found[2], priority, rtol=1e-2)
            assert (found[3] - replayed).norm() < 1e-4 * replayed.norm()


@pytest.mark.parametrize("size", [1, *SIZES, 7])
def test_shares_are_all_of_it(size: int) -> None:
    for n in (0, 1, 5, 64):
        ranks = [ThreadRanks(k, type("Of", (), {"left": [None] * size})()) for k in range(size)]
        parts = [list(range(n))[r.part(n)] for r in ranks]
        assert [k for part in parts for k in part] == list(range(n))
        assert [len(p) for p in parts] == [r.share(n) for r in ranks]
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_streams_of_ranks_differ() -> None:
    ranks = [ThreadRanks(k, type("Of", (), {"left": [None] * 4})()) for k in range(4)]
    numbers = {float(torch.rand((), generator=random_stream("cpu", *r.key(3, 0)))) for r in ranks}
    assert len(numbers) == 4
    assert float(torch.rand((), generator=random_stream("cpu", 3, 0))) in numbers
    assert len({r.seed(3) for r in ranks}) == 4 and ranks[0].seed(3) == 3


def test_what_ranks_tell_each_other() -> None:
    """Rows of any number, none among them; what only some of them know; modules made alike."""

    def work(ranks: Ranks) -> None:
        found = ranks.gather(torch.full((2 * ranks.rank, 3), float(ranks.rank)))
        assert found[:, 1].tolist() == [1.0] * 2 + [2.0] * 4
        assert float(ranks.mean(torch.ones(ranks.rank)) * 3) == ranks.rank
        assert float(ranks.mean(torch.ones(0))) == 0.0
        assert ranks.any(ranks.rank == 2) and not ranks.any(False)
        assert ranks.agree(ranks.rank == 0) and not ranks.agree(ranks.rank > 0)
        assert ranks.told({"a": [1.5, None]} if ranks.is_writer else None) == {"a": [1.5, None]}
        module = nn.BatchNorm1d(2)  # parameters, buffers and a count
        nn.init.constant_(module.weight, float(ranks.rank + 5))
        module.num_batches_tracked += ranks.rank + 1
        ranks.synchronize(module)
        assert module.weight.tolist() == [5.0, 5.0] and int(module.num_batches_tracked) == 1

    on_ranks(3, work)


def test_a_gradient_that_some_ranks_have() -> None:
    def work(ranks: Ranks) -> None:
        some, none = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
        if ranks.rank == 1:
            some.grad = torch.full((2,), 3.0)
        ranks.sum_gradients([some, none])
        assert some.grad is not None and some.grad.tolist() == [3.0, 3.0]
        assert none.grad is None

    on_ranks(3, work)


@pytest.mark.parametrize("failing", [0, 1])
def test_one_that_fails_ends_all(failing: int) -> None:
    """The first of those that fail says why; who has nothing to say of its own says so."""

    def work(ranks: Ranks) -> str:
        try:
            with ranks.together():
                if ranks.rank >= failing:
                    raise ValueError(f"of {ranks.rank}")
        except (ValueError, OtherRankError) as error:
            return f"{type(error).__name__} {error}"
        return "fine"

    found = on_ranks(3, work)
    own = [k for k, text in enumerate(found) if text == f"ValueError of {k}"]
    assert own == ([0] if failing == 0 else [1, 2])
    assert all(text.startswith("OtherRankError process") for k, text in enumerate(found) if k not in own)


def test_an_interrupt_of_one_ends_all_in_the_same_step() -> None:
    def work(ranks: ThreadRanks) -> int:
        parameter = nn.Parameter(torch.ones(2))
        for step in range(5):
            if ranks.rank == 1 and step == 3:
                ranks._received.append((signal.SIGINT, lambda number, frame: None))
            try:
                ranks.sum_gradients([parameter])
            except KeyboardInterrupt:
                return step
        return -1

    assert on_ranks(2, work) == [3, 3]


def test_an_interrupt_after_the_last_step_ends_all() -> None:
    def work(ranks: ThreadRanks) -> bool:
        try:
            with ranks.interruptible():
                if ranks.rank == 2:
                    ranks._received.append((signal.SIGTERM, lambda number, frame: None))
        except KeyboardInterrupt:
            return True
        return False

    assert on_ranks(3, work) == [True] * 3


def test_a_signal_waits_for_the_next_step() -> None:
    """And a second one does what it does otherwise."""
    ranks = ThreadRanks(0, type("Of", (), {"left": [None]})())
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with pytest.raises(RuntimeError, match="over"), ranks.interruptible():
            signal.raise_signal(signal.SIGTERM)
            assert not heard and [number for number, _ in ranks._received] == [signal.SIGTERM]
            signal.raise_signal(signal.SIGTERM)
            assert heard == [signal.SIGTERM]
            raise RuntimeError("over")
        signal.raise_signal(signal.SIGTERM)
        assert len(heard) == 2
    finally:
        signal.signal(signal.SIGTERM, before)


def test_too_many_ranks_for_a_step(system: System) -> None:
    ranks = ThreadRanks(0, type("Of", (), {"left": [None] * 9})())
    check_shares(Settings(batch=72), None, ranks)
    with pytest.raises(ValueError, match="expected at most 8 processes, as few as .* got 9; start fewer"):
        check_shares(Settings(batch=64), None, ranks)
    with pytest.raises(ValueError, match="at most 4 processes"):
        check_shares(Settings(walkers=4), None, ranks)
    check_shares(Settings(batch=1, walkers=1), None, ALONE)
