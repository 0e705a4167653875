"""Training on data: the known likelihood of a toy, the guard against overfitting, and whole runs with and
without energies.
"""

import copy
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import mdtraj
import pytest
import torch
from torch import Tensor, nn

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.flow.coupling import PeriodicCoupling
from boltzgen.flow.elementary import StandardNormal, UniformTorus
from boltzgen.flow.flow import Flow, HierarchicalFlow
from boltzgen.flow.transform import Transform
from boltzgen.generator.checkpoint import CHECKPOINT
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.locate import RUN, SUMMARY
from boltzgen.molecule.system import System
from boltzgen.training.checkpoint import METRICS, STATE
from boltzgen.training.data import Data
from boltzgen.training.losses import clipped_log_z, importance_kl, log_variance_loss
from boltzgen.training.picture import PICTURE
from boltzgen.training.ranks import Ranks
from boltzgen.training.run import train
from boltzgen.training.settings import Settings
from boltzgen.training.training_run import TrainingRun
from tests.helpers.runs import StopAt, timeless

TINY = Settings(
    data_rounds=3, data_steps=3, data_batch=64, rounds=2, steps=3, batch=64, data_learning_rate=1e-4
)


@pytest.fixture(autouse=True)
def small_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boltzgen.training.run_summary.MOST_DRAWS", 3000)


@pytest.fixture(scope="module")
def frames(system: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 draws of the trained generator, and 20 of their mirror images."""
    generator = BoltzmannGenerator.load(system.folder, system)
    with torch.no_grad():
        x = generator.coordinates(generator.flow.sample((300,), generator=torch.Generator().manual_seed(0)))[
            0
        ]
    x = torch.cat((x[:40], x[20:40] * torch.tensor([1.0, 1.0, -1.0]), x[40:]))
    path = tmp_path_factory.mktemp("md") / "md.xtc"
    mdtraj.Trajectory(x.numpy(), mdtraj.Topology.from_openmm(system.topology)).save(str(path))
    return path


class Affine(Transform):
    """x = m + s z, whatever the context."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.m, self.log_s = nn.Parameter(torch.zeros(n)), nn.Parameter(torch.zeros(n))

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.m + self.log_s.exp() * z, self.log_s.sum().expand(z.shape[:-1])

    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return (x - self.m) * torch.exp(-self.log_s), -self.log_s.sum().expand(x.shape[:-1])


@pytest.fixture(scope="module")
def toy(system: System) -> BoltzmannGenerator:
    """A generator with one coupling for the torsions, and independent normals for the rest."""
    coordinates = MolecularCoordinates(system)
    n_periodic, n_stiff = coordinates.n_periodic, coordinates.n_stiff
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        leading = Flow(UniformTorus(n_periodic), PeriodicCoupling(n_periodic, [0, 2, 4], hidden=(16,)))
    flow = HierarchicalFlow(leading, Flow(StandardNormal(n_stiff), Affine(n_stiff)), torch.cos)
    return BoltzmannGenerator(system, coordinates, flow, temperature=system.temperature, seed=0, options={})


def started(generator: BoltzmannGenerator, data: Data, settings: Settings) -> TrainingRun:
    system = generator.system
    energy = CountedEnergy(energy_for(system))
    return TrainingRun(generator, energy, system.temperature, settings, seed=1, data=data)


def drawn(generator: BoltzmannGenerator, n: int) -> Data:
    with torch.no_grad():
        y = generator.flow.sample((n,), generator=torch.Generator().manual_seed(2))
        return Data(y, generator.coordinates.log_det(y.double()), torch.ones(n, dtype=torch.float64))


def finished(run: TrainingRun) -> list[dict[str, Any]]:
    while not run.done:
        run.run_round()
    return run.metrics


def test_maximum_likelihood_reaches_the_entropy(system: System, toy: BoltzmannGenerator) -> None:
    """Data from a moved copy of the flow: the likelihood of held-out frames reaches the entropy that the
    moved flow has on them.
    """
    true, generator = copy.deepcopy(toy), copy.deepcopy(toy)
    with torch.no_grad():
        for k, parameter in enumerate(
            (*true.flow.conditional.transform.parameters(), true.flow.leading.transform.net.last.bias)
        ):
            parameter += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(k))
    data = drawn(true, 4000)
    settings = Settings(
        data_rounds=4, data_steps=30, data_batch=256, data_learning_rate=2e-2, average_decay=0.9
    )
    held = data.split()[1]
    with torch.no_grad():
        entropy, before = (float((held.log_det - g.flow.log_prob(held.y)).mean()) for g in (true, generator))
    metrics = finished(started(generator, data, settings))
    assert before - entropy > 2
    assert metrics[-1]["held_out_nll"] - entropy < 0.1 * (before - entropy)
    assert metrics[-1]["held_out_nll"] - entropy > -0.05


def test_few_frames_keep_the_best_round(system: System, toy: BoltzmannGenerator) -> None:
    """With 100 frames and a high rate the held-out likelihood soon gets worse: training ends, with the best
    round's parameters.
    """
    generator = copy.deepcopy(toy)
    data = drawn(BoltzmannGenerator.load(system.folder, system), 100)
    settings = Settings(
        data_rounds=40,
        data_steps=10,
        data_batch=90,
        data_learning_rate=1e-2,
        data_weight_decay=0.0,
        data_patience=2,
        average_decay=0.5,
    )
    metrics = finished(started(generator, data, settings))
    nll = [m["held_out_nll"] for m in metrics]
    best = nll.index(min(nll))
    assert len(nll) == best + 3 < 40
    assert (
        metrics[-1]["nll"] < metrics[best]["nll"]
    )  # while the likelihood of the training frames went on rising
    held = data.split()[1]
    with torch.no_grad():
        assert float((held.log_det - generator.flow.log_prob(held.y)).mean()) == pytest.approx(
            nll[best], abs=1e-3
        )


def test_weights_enter_the_likelihood(system: System, toy: BoltzmannGenerator) -> None:
    """Frames of almost no weight leave no trace: held-out likelihood and training are those of the others."""
    generator = copy.deepcopy(toy)
    data = drawn(generator, 1000)
    odd = torch.arange(1000) % 2 == 1
    data.y[odd, generator.coordinates.n_periodic :] *= 3
    data.weight[odd] = 1e-12
    settings = Settings(data_rounds=1, data_steps=1, data_batch=900, data_learning_rate=0.0)
    metrics = finished(started(generator, data, settings))
    held = data.split()[1]
    held = held[held.weight > 0.5]
    with torch.no_grad():
        expected = float((held.log_det - generator.flow.log_prob(held.y)).mean())
    assert metrics[0]["held_out_nll"] == pytest.approx(expected, abs=1e-4)
    assert abs(metrics[0]["nll"] - expected) < 5


@pytest.fixture(scope="module", params=[False, True], ids=["data", "mixed"])
def whole(
    request: pytest.FixtureRequest, system: System, frames: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bool, Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("boltzgen.training.run_summary.MOST_DRAWS", 3000)
        return (
            request.param,
            folder,
            train(system, folder, seed=5, settings=TINY, data=frames, mixed=request.param),
        )


def test_a_run_says_what_it_did(
    system: System, frames: Path, whole: tuple[bool, Path, dict[str, Any]]
) -> None:
    mixed, folder, summary = whole
    assert json.loads((folder / SUMMARY).read_text()) == summary
    rounds = timeless(folder)
    assert [r["stage"] for r in rounds] == ["data"] * 3 + ["energies"] * (2 * mixed)
    assert all(r["temperature"] == system.temperature and math.isfinite(r["held_out_nll"]) for r in rounds)
    assert (summary["data"], summary["n_frames"], summary["n_frames_used"]) == (str(frames), 320, 300)
    assert summary["frames_dropped"] == {"other enantiomer": 20}
    data = Data.load(folder)
    first = rounds[0]["n_energy_evaluations"]
    assert rounds[2]["n_energy_evaluations"] == first  # none in maximum likelihood
    of_test = summary["forward"]["n_energy_evaluations"]
    assert summary["n_energy_evaluations"] == first + 4096 + of_test + 2 * 3 * 32 * mixed
    assert (data.potential is not None) == mixed
    generator = BoltzmannGenerator.load(folder, system)
    assert generator.temperature == system.temperature
    held = data.split()[1]
    with torch.no_grad():
        nll = float((held.log_det - generator.flow.log_prob(held.y)).mean())
    assert summary["held_out_nll"] == pytest.approx(nll, abs=1e-4)
    assert 0 < summary["sampling_efficiency"] < 1


def test_energies_of_the_data_are_counted(system: System, frames: Path, tmp_path: Path) -> None:
    counts = []
    for mixed in (False, True):
        stop = StopAt(1)
        with pytest.raises(KeyboardInterrupt):
            train(system, tmp_path / str(mixed), settings=TINY, data=frames, mixed=mixed, progress=stop)
        counts.append(stop.seen[0].n_energy_evaluations)
    assert counts[1] - counts[0] == 300


@pytest.mark.parametrize("interrupted_at", [5, pytest.param(14, marks=pytest.mark.slow)])
def test_interrupted_and_resumed_is_the_same_run(
    system: System,
    frames: Path,
    whole: tuple[bool, Path, dict[str, Any]],
    tmp_path: Path,
    interrupted_at: int,
) -> None:
    """The resumed run needs the trajectory no more."""
    mixed, reference, expected = whole
    folder = tmp_path / "run"
    stop = StopAt(interrupted_at if mixed else min(interrupted_at, 8))
    with pytest.raises(KeyboardInterrupt):
        train(system, folder, seed=5, settings=TINY, data=frames, mixed=mixed, progress=stop)
    fractions = [p.fraction for p in stop.seen]
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] < fractions[-1] <= 1
    with pytest.raises(ValueError, match="leave out `data`"):
        train(system, folder, resume=True, data=frames)
    summary = train(system, folder, resume=True)
    assert timeless(folder) == timeless(reference)
    assert {k: v for k, v in summary.items() if k != "seconds"} == {
        k: v for k, v in expected.items() if k != "seconds"
    }


def test_draws_and_frames_have_one_log_z(
    system: System, frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of the draws; frames alone have a centre of their own."""
    centres: list[Tensor | None] = []
    estimates: list[tuple[int, Tensor]] = []

    def log_variance(log_q: Tensor, u: Tensor, centre: Tensor | None = None, *, ranks: Ranks) -> Tensor:
        centres.append(centre)
        return log_variance_loss(log_q, u, centre, ranks=ranks)

    def kl(log_q: Tensor, u: Tensor, log_z: Tensor, *, ranks: Ranks) -> Tensor:
        assert float(log_z) == pytest.approx(float(clipped_log_z(-(log_q.detach() + u))))
        estimates.append((len(u), log_z))
        return importance_kl(log_q, u, log_z, ranks=ranks)

    monkeypatch.setattr("boltzgen.training.energy_objective.log_variance_loss", log_variance)
    monkeypatch.setattr("boltzgen.training.energy_objective.importance_kl", kl)
    with pytest.raises(KeyboardInterrupt):  # in the last step, before the summary
        train(
            system,
            tmp_path / "mixed",
            seed=5,
            settings=replace(TINY, replays=0),
            data=frames,
            mixed=True,
            progress=StopAt(15),
        )
    assert [n for n, _ in estimates] == [32] * 6
    assert [float(-log_z) for _, log_z in estimates] == [float(c) for c in centres if c is not None]


@pytest.mark.slow
def test_energies_follow_data_only_where_there_are_energies(
    system: System, frames: Path, tmp_path: Path
) -> None:
    """The checkpoint, and the likelihood in the summary, are then those after training on both."""
    for mixed in (False, True):
        folder, stop = tmp_path / str(mixed), StopAt(10**6)
        summary = train(system, folder, seed=5, settings=TINY, data=frames, mixed=mixed, progress=stop)
        rounds = timeless(folder)
        assert [r["stage"] for r in rounds] == ["data"] * 3 + ["energies"] * 2 * mixed
        fractions = [p.fraction for p in stop.told]
        assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1)
        assert [p.stage for p in stop.told][:2] == [
            "finding the energy minimum and its Hessian",
            "reading the data",
        ]
        kept = rounds[-1]["held_out_nll"] if mixed else min(r["held_out_nll"] for r in rounds)
        assert summary["held_out_nll"] == kept
        held = Data.load(folder).split()[1]
        with torch.no_grad():
            nll = float((held.log_det - BoltzmannGenerator.load(folder, system).flow.log_prob(held.y)).mean())
        assert kept == pytest.approx(nll, abs=1e-4)


def test_options_that_need_data(system: System, tmp_path: Path) -> None:
    for options in ({"mixed": True}, {"topology": "top.pdb"}):
        with pytest.raises(ValueError, match="needs `data`"):
            train(system, tmp_path / "run", **options)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="no trajectory"):
        train(system, tmp_path / "run", data="none.xtc")
    assert not (tmp_path / "run").exists()


def test_a_run_that_ended_before_its_first_round_leaves_no_data(
    system: System, frames: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(system, tmp_path / "run", settings=TINY, data=frames, progress=StopAt(1))
    assert not (tmp_path / "run").exists()


def test_a_run_without_data_may_replace_one_with(
    system: System, whole: tuple[bool, Path, dict[str, Any]], tmp_path: Path
) -> None:
    shutil.copytree(whole[1], tmp_path, dirs_exist_ok=True)
    settings = Settings(rounds=2, steps=1, batch=16)
    with pytest.raises(KeyboardInterrupt):
        train(system, tmp_path, settings=settings, force=True, progress=StopAt(2))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted((CHECKPOINT, METRICS, PICTURE, RUN, STATE))


@pytest.mark.parametrize(("mixed", "width"), [(False, 128), (True, 256)], ids=["data", "mixed"])
def test_wide_networks_are_for_long_trainings_on_energies(
    system: System, frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mixed: bool, width: int
) -> None:
    """Data alone has few rounds, whatever the settings say of those on energies."""
    seen = []

    def begun(generator: BoltzmannGenerator, *_: Any, **__: Any) -> None:
        seen.append(generator.options["stiff_width"])
        raise KeyboardInterrupt

    monkeypatch.setattr("boltzgen.training.run.TrainingRun", begun)
    with pytest.raises(KeyboardInterrupt):
        train(system, tmp_path, data=frames, mixed=mixed)
    assert seen == [width]
