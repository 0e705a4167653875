"""Annealed importance sampling: exact weights whatever the moves do, and moves that keep a density."""

import math
from collections.abc import Sequence

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor, nn

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.flow.distribution import Distribution
from boltzgen.generator.annealed_importance import N_STEPS, AnnealedImportance, Refinement, refined_digest
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.target import value_and_gradient
from boltzgen.molecule.system import System
from boltzgen.seeding import random_stream
from boltzgen.weights import log_z, sampling_efficiency

N = 40_000


class Plain(Distribution):
    """A uniform angle, and two normals of standard deviation 1.2 about 0.3."""

    def __init__(self) -> None:
        super().__init__()
        self.event_shape, self.has_rsample = torch.Size((3,)), False
        self.mean = nn.Parameter(torch.tensor(0.3))

    def log_prob(self, z: Tensor) -> Tensor:
        normal = torch.distributions.Normal(self.mean, 1.2)
        return normal.log_prob(z[..., 1:]).sum(-1) - math.log(2 * math.pi)

    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        angle = 2 * math.pi * torch.rand(*shape, 1, generator=generator) - math.pi
        rest = self.mean + 1.2 * torch.randn(*shape, 2, generator=generator)
        z = torch.cat((angle, rest), dim=-1).detach()
        return z, self.log_prob(z), torch.zeros(shape)


class Turned:
    """exp(2 cos(t - 3)) of the angle, whose maximum is by its cut; half normals of variance 0.25 above 0."""

    #: log of 2 pi I0(2) times the normals' integral.
    LOG_Z = math.log(2 * math.pi * float(torch.special.i0(torch.tensor(2.0)))) + 2 * math.log(
        0.5 * 0.5 * math.sqrt(2 * math.pi)
    )

    def __init__(self, *, halved: bool = True) -> None:
        self.halved = halved

    def __call__(self, y: Tensor) -> Tensor:
        u = -2 * torch.cos(y[:, 0] - 3.0) + 2 * y[:, 1:].square().sum(-1)
        return torch.where((y[:, 1:] > 0).all(-1), u, math.inf) if self.halved else u

    def value_and_gradient(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return value_and_gradient(self, y)


class Same:
    """The density that draws come from, in kT and up to a constant."""

    def __init__(self, flow: Distribution) -> None:
        self.flow = flow

    def value_and_gradient(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return value_and_gradient(lambda z: 5.0 - self.flow.log_prob(z), y)


def drawn(flow: Distribution, seed: int = 0) -> Tensor:
    return flow.sample((N,), generator=random_stream("cpu", seed))


@pytest.mark.parametrize("steps", [1, 4])
def test_weights_are_exact(steps: int) -> None:
    flow = Plain()
    chain = AnnealedImportance(flow, Turned(), 1, Refinement(steps))
    y = drawn(flow)
    moved, log_w = chain(y, random_stream("cpu", 0, 1))
    value, error = log_z(log_w)
    assert error < 0.03
    assert value == pytest.approx(Turned.LOG_Z, abs=4 * error)
    weights = torch.softmax(log_w, 0)
    # <cos(t - 3)> = I1(2) / I0(2), and half a normal's mean is sqrt(2 / pi) standard deviations.
    cosine = float((weights * torch.cos(moved[:, 0] - 3.0)).sum())
    assert cosine == pytest.approx(0.6978, abs=0.02)
    mean = float((weights[:, None] * moved[:, 1:]).sum(0).mean())
    assert mean == pytest.approx(0.5 * math.sqrt(2 / math.pi), abs=0.01)


def test_more_moves_make_weights_more_equal() -> None:
    flow, target = Plain(), Turned(halved=False)
    y = drawn(flow)
    found = [sampling_efficiency(-target(y) - flow.log_prob(y).detach())]
    for steps in (1, 4):
        log_w = AnnealedImportance(flow, target, 1, Refinement(steps))(y, random_stream("cpu", 0, 1))[1]
        found.append(sampling_efficiency(log_w))
    # Independent draws of q^(1/2) p^(1/2) would give no more than some 0.2 after a single move.
    assert found[0] + 0.02 < found[1] < found[2] - 0.1


def test_moves_keep_a_density_that_is_right_already() -> None:
    flow = Plain()
    chain = AnnealedImportance(flow, Same(flow), 1, Refinement(3))
    y = drawn(flow)
    moved, log_w = chain(y, random_stream("cpu", 0, 1))
    torch.testing.assert_close(log_w, torch.full_like(log_w, -5.0), atol=1e-5, rtol=0)
    assert ((moved - y).abs() > 1e-3).any(-1).double().mean() > 0.9
    rest = (moved[:, 1:].double() - 0.3) / 1.2
    assert min(kstest(column.numpy(), "norm").pvalue for column in rest.T) > 1e-3
    assert kstest((moved[:, 0].double() / (2 * math.pi) + 0.5).numpy(), "uniform").pvalue > 1e-3
    assert moved[:, 0].abs().max() <= math.pi + 1e-6


def test_a_wrong_step_costs_acceptances_and_no_exactness() -> None:
    flow = Plain()
    chain = AnnealedImportance(flow, Turned(), 1, Refinement(2))
    chain.step = 2.5
    _, log_w = chain(drawn(flow), random_stream("cpu", 0, 1))
    value, error = log_z(log_w)
    assert value == pytest.approx(Turned.LOG_Z, abs=4 * error)


def test_draws_without_weight_stay() -> None:
    flow = Plain()
    y = drawn(flow)
    moved, log_w = AnnealedImportance(flow, Turned(), 1, Refinement(2))(y, random_stream("cpu", 0, 1))
    outside = ~(y[:, 1:] > 0).all(-1)
    assert outside.double().mean() > 0.3
    assert torch.equal(log_w == -math.inf, outside)
    assert torch.equal(moved[outside], y[outside])
    assert (moved[~outside, 1:] > 0).all()


def test_a_target_that_no_draw_reaches() -> None:
    flow = Plain()

    class Nowhere:
        def value_and_gradient(self, y: Tensor) -> tuple[Tensor, Tensor]:
            return torch.full((len(y),), math.inf), torch.zeros_like(y)

    moved, log_w = AnnealedImportance(flow, Nowhere(), 1, Refinement(1))(
        y := drawn(flow), random_stream("cpu", 0, 1)
    )
    assert torch.equal(moved, y)
    assert (log_w == -math.inf).all()


@pytest.mark.parametrize("steps", [0, -1, 1001, True, 2.0])
def test_numbers_of_steps_that_are_none(steps: object) -> None:
    with pytest.raises(ValueError, match="expected 1 to 1000 steps to `refine` draws by, got"):
        Refinement(steps)  # type: ignore[arg-type]


def test_digests_tell_steps_apart() -> None:
    assert len({refined_digest("ab", k) for k in (0, 1, 2)}) == 3
    assert refined_digest("ab", 0) == "ab"


@pytest.fixture(scope="module")
def generator() -> BoltzmannGenerator:
    return BoltzmannGenerator.load("alanine_dipeptide")


@pytest.fixture(scope="module")
def hot(generator: BoltzmannGenerator) -> ForceFieldEnergy:
    return ForceFieldEnergy(generator.system, temperature=400.0)


def test_a_molecule(generator: BoltzmannGenerator, hot: ForceFieldEnergy) -> None:
    """Draws at 300 K on their way to 400 K."""
    refinement, energy = Refinement(2), CountedEnergy(hot)
    plain = generator.sample(4000, hot, seed=5)
    samples = generator.sample(4000, energy, seed=5, refine=refinement)
    assert samples.sampling_efficiency > plain.sampling_efficiency + 0.03
    one, other = samples.log_z, plain.log_z
    assert one.error is not None and other.error is not None
    assert one.value == pytest.approx(other.value, abs=4 * math.hypot(one.error, other.error))
    good = samples.log_w.isfinite()
    assert good.double().mean() > 0.98
    assert torch.equal(samples.log_w[good], (-samples.u - samples.log_q)[good])
    torch.testing.assert_close(hot(samples.x[good]).double(), samples.u[good], atol=2e-3, rtol=0)
    y, _, inside = generator.coordinates.inverse_in_domain(samples.x[good].double())
    assert inside.all() and y.isfinite().all()
    found = refinement.summary(samples.effective_sample_size, energy.n_evaluations)
    assert found is not None
    assert refinement.n_draws == 4096
    assert found["plain_sampling_efficiency"] == pytest.approx(plain.sampling_efficiency, rel=0.03)
    assert found["plain_per_energy"] == found["plain_sampling_efficiency"]
    assert energy.n_evaluations > 4096 * (3 + 2 * N_STEPS)
    assert found["per_energy"] == samples.effective_sample_size / energy.n_evaluations
    assert 0 < found["per_second"] < found["plain_per_second"]


def test_refined_draws_do_not_depend_on_chunks(
    generator: BoltzmannGenerator, hot: ForceFieldEnergy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks of 256, of which one is begun in the middle."""
    monkeypatch.setattr("boltzgen.generator.sampler.BLOCK", 256)
    monkeypatch.setattr("boltzgen.generator.annealed_importance._PILOT_MOVES", 3)
    whole = generator.sample(700, hot, seed=6, refine=1)
    parts = list(generator.sample_chunks(700, hot, seed=6, start=300, chunk_size=256, refine=1))
    assert len(parts) == 2
    assert torch.equal(torch.cat([part.x for part in parts]), whole.x[300:])
    assert torch.equal(torch.cat([part.log_w for part in parts]), whole.log_w[300:])
    assert not torch.equal(whole.x[:10], generator.sample(10, hot, seed=6).x)


def test_a_negative_number_is_refused(generator: BoltzmannGenerator, alanine: System) -> None:
    with pytest.raises(ValueError, match="expected 1 to 1000 steps to `refine` draws by, got -1"):
        generator.sample(10, seed=0, refine=-1)
