"""Workers make the same draws as one process, whatever becomes of them."""

import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from boltzgen.cluster import connect, sampling
from boltzgen.cluster.connect import connected
from boltzgen.cluster.recipe import Recipe, begun
from boltzgen.cluster.sampler import ClusterSampler
from boltzgen.energy.choose import energy_for
from boltzgen.evaluation.evaluate import evaluate
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.samples.file import read_header, read_samples
from boltzgen.samples.shards import BLOCK, Shard
from boltzgen.samples.writer import SamplesWriter
from boltzgen.statistics.file import load_statistics
from boltzgen.statistics.writer import StatisticsWriter
from tests.helpers.statistics import assert_same

distributed = pytest.importorskip("distributed")
N = 5 * BLOCK + 100


@pytest.fixture(scope="module")
def generator() -> BoltzmannGenerator:
    return BoltzmannGenerator.load("alanine_dipeptide")


@pytest.fixture(scope="module")
def recipe(generator: BoltzmannGenerator) -> Recipe:
    return Recipe("alanine_dipeptide", generator.digest, 300.0, seed=7, n=N, along=("cos(phi)",))


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two workers in threads of this process."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "COUNTED", 1)
    monkeypatch.setattr(sampling, "SENT", 1)
    monkeypatch.setattr(sampling, "FAN_IN", 2)


def statistics_writer(path: Path, generator: BoltzmannGenerator, **options: Any) -> StatisticsWriter:
    return StatisticsWriter(
        path,
        generator.system,
        300.0,
        **{"n": N, "seed": 7, "generator": generator.digest, "along": ("cos(phi)",)} | options,
    )


def samples_writer(path: Path, generator: BoltzmannGenerator, **options: Any) -> SamplesWriter:
    return SamplesWriter(
        path, generator.system, 300.0, **{"n": N, "seed": 7, "generator": generator.digest} | options
    )


@pytest.fixture(scope="module")
def alone(generator: BoltzmannGenerator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes."""
    folder = tmp_path_factory.mktemp("alone")
    energy = energy_for(generator.system, 300.0)
    with (
        statistics_writer(folder / "statistics.h5", generator) as counted,
        samples_writer(folder / "samples.h5", generator) as kept,
    ):
        for chunk in generator.sample_chunks(N, energy, seed=7):
            counted.write(chunk)
            kept.write(chunk)
    return folder


def test_statistics_are_those_of_one_process(
    client: Any, recipe: Recipe, generator: BoltzmannGenerator, alone: Path, tmp_path: Path
) -> None:
    moved: list[int] = []
    with statistics_writer(tmp_path / "s.h5", generator) as writer:
        sampling.draw_statistics(client, recipe, generator, writer, moved.append)
        assert writer.n_energy_evaluations == 6 * BLOCK
    assert_same(load_statistics(tmp_path / "s.h5"), load_statistics(alone / "statistics.h5"), but=("draws",))
    assert sum(moved) == N


def test_samples_are_those_of_one_process(
    client: Any, recipe: Recipe, generator: BoltzmannGenerator, alone: Path, tmp_path: Path
) -> None:
    with samples_writer(tmp_path / "s.h5", generator, shard=Shard(2, 2)) as writer:
        sizes = [len(part) for part in sampling.draw_samples(client, recipe, generator, writer)]
    found, expected = read_samples(tmp_path / "s.h5"), read_samples(alone / "samples.h5")[3 * BLOCK :]
    assert sizes == [BLOCK, BLOCK, 100]
    assert torch.equal(found.x, expected.x) and torch.equal(found.log_w, expected.log_w)
    assert torch.equal(found.log_q, expected.log_q)
    assert read_header(tmp_path / "s.h5").n_energy_evaluations == 3 * BLOCK


def test_refined_draws_are_those_of_one_process(
    recipe: Recipe, generator: BoltzmannGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a worker makes them, to a temperature at which the moves matter."""
    monkeypatch.setattr("boltzgen.generator.annealed_importance._PILOT_MOVES", 3)
    refined = replace(recipe, n=100, temperature=400.0, refine=1)
    x, u, log_q, spent = refined.draws((0, 100))
    expected = generator.sample(100, energy_for(generator.system, 400.0), seed=7, refine=1)
    assert np.array_equal(x, expected.x.numpy())
    assert np.array_equal(-u - log_q, expected.log_w.numpy())
    assert spent > 8 * BLOCK
    assert begun(refined, generator).header.refined == 1
    assert begun(recipe, generator).header.refined == 0


def test_an_interruption_keeps_what_is_finished(
    client: Any,
    recipe: Recipe,
    generator: BoltzmannGenerator,
    alone: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sampling, "FAN_IN", 4)  # two groups, the first of which is taken
    take, taken = StatisticsWriter.merge, []

    def interrupted(self: StatisticsWriter, statistics: Any) -> None:
        take(self, statistics)
        taken.append(statistics.n)
        if len(taken) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(StatisticsWriter, "merge", interrupted)
    writer = statistics_writer(tmp_path / "s.h5", generator)
    with pytest.raises(KeyboardInterrupt), writer:
        sampling.draw_statistics(client, recipe, generator, writer, lambda n: None)
    left = load_statistics(tmp_path / "s.partial.h5")
    assert left.n == sum(taken) > 0
    with statistics_writer(tmp_path / "s.h5", generator, resume=True) as writer:
        for start, stop in writer.missing:
            for chunk in generator.sample_chunks(stop, seed=7, start=start):
                writer.write(chunk)
    assert_same(load_statistics(tmp_path / "s.h5"), load_statistics(alone / "statistics.h5"), but=("draws",))


def test_evaluations_are_those_of_one_process(
    client: Any, recipe: Recipe, generator: BoltzmannGenerator
) -> None:
    by_workers = evaluate(ClusterSampler(client, recipe, generator), n=3 * BLOCK, seed=2)
    assert by_workers == evaluate(generator, n=3 * BLOCK, seed=2)


def test_another_generator_on_a_worker_is_refused(
    client: Any, generator: BoltzmannGenerator, tmp_path: Path
) -> None:
    other = Recipe("alanine_dipeptide", "another", 300.0, seed=7, n=N)
    writer = samples_writer(tmp_path / "s.h5", generator)
    with pytest.raises(ValueError, match="holds another generator on this worker"), writer:
        list(sampling.draw_samples(client, other, generator, writer))


def test_a_cluster_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for options in ({}, {"workers": 2, "scheduler": "tcp://127.0.0.1:1"}):
        with pytest.raises(ValueError, match="give `workers`"), connected(**options):
            pass
    monkeypatch.setattr("boltzgen.cluster.connect.PATIENCE", 1)
    with (
        pytest.raises(ValueError, match="no Dask scheduler answers at 'tcp://127.0.0.1:1' within 1 s"),
        connected(scheduler="tcp://127.0.0.1:1"),
    ):
        pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ModuleNotFoundError, match=r"pip install 'boltzgen-toolkit\[cluster\]'"),
        connected(workers=1),
    ):
        pass


@pytest.mark.slow
def test_killed_workers_lose_nothing(generator: BoltzmannGenerator, tmp_path: Path) -> None:
    """Workers are killed at random moments; the result is the same."""
    n = 30 * BLOCK
    recipe = Recipe("alanine_dipeptide", generator.digest, 300.0, seed=7, n=n, along=("cos(phi)",))
    with statistics_writer(tmp_path / "alone.h5", generator, n=n) as writer:
        for chunk in generator.sample_chunks(n, seed=7):
            writer.write(chunk)
    killed, ended = [], threading.Event()
    with connected(workers=2) as client:

        def kill() -> None:
            chance = random.Random(0)
            while len(killed) < 5 and not ended.wait(chance.uniform(0.2, 4.0)):
                found = client.run(os.getpid, on_error="ignore").values()
                pids = [pid for pid in found if isinstance(pid, int)]
                if pids:
                    os.kill(chance.choice(pids), signal.SIGKILL)
                    killed.append(pids)

        thread = threading.Thread(target=kill, daemon=True)
        thread.start()
        with statistics_writer(tmp_path / "s.h5", generator, n=n) as writer:
            sampling.draw_statistics(client, recipe, generator, writer, lambda n: None)
        ended.set()
        thread.join()
    assert killed
    assert_same(load_statistics(tmp_path / "s.h5"), load_statistics(tmp_path / "alone.h5"), but=("draws",))


@pytest.mark.slow
def test_workers_that_do_not_come_back_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes longer to start than Dask waits for it."""
    monkeypatch.setattr(connect, "LOST", 0.2)
    monkeypatch.setattr(connect, "LOOK", 1.0)
    with connected(workers=1) as client:
        (trim,) = client.run(os.environ.get, "MALLOC_TRIM_THRESHOLD_").values()
        assert trim is None  # Dask's own value costs a third of the rate
        for _ in range(2):
            (process,) = client.run(os.getpid).values()
            os.kill(process, signal.SIGKILL)
            assert client.submit(os.getpid, pure=False).result(timeout=120) != process


#: The command line, which says each second how far it has come; small tasks, so that some are done soon.
TALKATIVE = """
import sys
from boltzgen.cli import main, progress
from boltzgen.cluster import sampling
progress.FIRST = progress.EVERY = 1.0
sampling.COUNTED = sampling.SENT = 1
if __name__ == "__main__":
    sys.exit(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--statistics-only",)])
def test_the_command_draws_by_workers_and_goes_on_after_ctrl_c(
    generator: BoltzmannGenerator, alone: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    n = 30 * BLOCK
    arguments = ["sample", "alanine_dipeptide", "--workers", "2", *options, "-n", str(n), "--seed", "7"]
    process = subprocess.Popen(
        [sys.executable, "-c", TALKATIVE, *arguments, "-o", "s.h5"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if (found := re.search(r"; (\d+) % done", line)) and int(found[1]) > 0:
            break
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, the workers included
    err = process.communicate(timeout=120)[1]
    assert process.returncode == 130, err
    assert "go on with: boltzgen sample alanine_dipeptide" in err and "--workers 2" in err
    assert "Traceback" not in err
    again = [sys.executable, "-m", "boltzgen", *arguments, "-o", "s.h5", "--resume"]
    subprocess.run(again, cwd=tmp_path, check=True, capture_output=True)
    energy = energy_for(generator.system, 300.0)
    if options:
        with StatisticsWriter(
            tmp_path / "alone.h5", generator.system, 300.0, n=n, seed=7, generator=generator.digest
        ) as writer:
            for chunk in generator.sample_chunks(n, energy, seed=7):
                writer.write(chunk)
        assert_same(
            load_statistics(tmp_path / "s.h5"), load_statistics(tmp_path / "alone.h5"), but=("draws",)
        )
    else:
        expected = torch.cat([part.x for part in generator.sample_chunks(n, energy, seed=7)])
        assert torch.equal(read_samples(tmp_path / "s.h5").x, expected)
