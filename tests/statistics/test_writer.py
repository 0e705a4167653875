"""Statistics that were interrupted go on, and end as if they had not been."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from boltzgen.analysis.subject import of_statistics
from boltzgen.molecule.system import System
from boltzgen.samples.shards import BLOCK, Shard
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.statistics import writer as writer_module
from boltzgen.statistics.cells import Moments
from boltzgen.statistics.file import load_statistics
from boltzgen.statistics.merge import merge
from boltzgen.statistics.statistics import Statistics
from boltzgen.statistics.writer import StatisticsWriter
from tests.helpers.statistics import ALONG, N, assert_same

OPTIONS = {"n": N, "seed": 3, "generator": "a generator", "along": ALONG, "pairs": [("psi", "phi")]}


def fill(writer: StatisticsWriter, drawn: WeightedSamples, stop: int = N, step: int = 5_000) -> None:
    for start, end in writer.missing:
        for first in range(start, min(end, stop), step):
            writer.write(drawn[first : min(first + step, end, stop)])


@pytest.mark.parametrize("step", [700, BLOCK, 5_000, N])
def test_how_draws_come_in_does_not_matter(
    system: System, drawn: WeightedSamples, whole: Statistics, tmp_path: Path, step: int
) -> None:
    with StatisticsWriter(tmp_path / "s.h5", system, 300.0, **OPTIONS) as writer:
        fill(writer, drawn, step=step)
        assert writer.missing == []
    assert_same(load_statistics(tmp_path / "s.h5"), whole, but=("draws",))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_shard_goes_on(
    system: System, drawn: WeightedSamples, tmp_path: Path, error: type[BaseException]
) -> None:
    options, path, partial = OPTIONS | {"shard": Shard(2, 3)}, tmp_path / "p.h5", tmp_path / "p.partial.h5"
    with StatisticsWriter(tmp_path / "whole.h5", system, 300.0, **options) as writer:
        fill(writer, drawn)
    writer = StatisticsWriter(path, system, 300.0, **options)
    with pytest.raises(error), writer:
        fill(writer, drawn, writer.whole[0] + 5_000)
        raise error
    assert writer.kept == partial
    assert not path.exists()
    left = load_statistics(partial)
    assert left.ranges == [(writer.whole[0], writer.whole[0] + 2 * BLOCK)]  # whole blocks alone
    with (
        pytest.raises(FileExistsError, match="go on with `resume=True`"),
        StatisticsWriter(path, system, 300.0, **options),
    ):
        pass
    with (
        pytest.raises(ValueError, match="is of shard 2/3, not of this one"),
        StatisticsWriter(path, system, 300.0, **options | {"shard": Shard(1, 3)}, resume=True),
    ):
        pass
    with (
        pytest.raises(ValueError, match="another seed"),
        StatisticsWriter(path, system, 300.0, **options | {"seed": 4}, resume=True),
    ):
        pass
    with StatisticsWriter(path, system, 300.0, **options, resume=True) as writer:
        assert writer.n_samples == 2 * BLOCK
        fill(writer, drawn)
    assert not partial.exists()
    assert_same(load_statistics(path), load_statistics(tmp_path / "whole.h5"))
    with StatisticsWriter(path, system, 300.0, **options, resume=True) as writer:
        assert writer.missing == []


def test_forced_statistics_begin_anew(system: System, drawn: WeightedSamples, tmp_path: Path) -> None:
    writer = StatisticsWriter(tmp_path / "p.h5", system, 300.0, **OPTIONS)
    with pytest.raises(KeyboardInterrupt), writer:
        fill(writer, drawn, 5_000)
        raise KeyboardInterrupt
    with StatisticsWriter(tmp_path / "p.h5", system, 300.0, **OPTIONS, force=True) as writer:
        assert writer.n_samples == 0
        fill(writer, drawn)
    assert {path.name for path in tmp_path.iterdir()} == {"p.h5"}


def test_parts_from_elsewhere_fill_the_gaps(
    system: System, drawn: WeightedSamples, whole: Statistics, tmp_path: Path
) -> None:
    """A part in the middle first, as workers may deliver them; what is between is drawn later."""
    part = Statistics.begin(
        system, 300.0, n=N, seed=3, generator="a generator", along=ALONG, pairs=[("psi", "phi")]
    )
    part.add(drawn[3 * BLOCK : 4 * BLOCK], 3 * BLOCK)
    with StatisticsWriter(tmp_path / "s.h5", system, 300.0, **OPTIONS) as writer:
        writer.merge(part)
        assert writer.missing == [(0, 3 * BLOCK), (4 * BLOCK, N)]
        fill(writer, drawn, step=1_000)
        with pytest.raises(ValueError, match="draws more than"):
            writer.write(drawn[:10])
    assert_same(load_statistics(tmp_path / "s.h5"), whole, but=("draws",))


def test_work_is_on_the_disk_every_minute(
    system: System, drawn: WeightedSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "EVERY", -1.0)
    with StatisticsWriter(tmp_path / "s.h5", system, 300.0, **OPTIONS) as writer:
        writer.write(drawn[:BLOCK])
        assert load_statistics(tmp_path / "s.partial.h5").n == BLOCK
        fill(writer, drawn)
    assert {path.name for path in tmp_path.iterdir()} == {"s.h5"}


def test_another_process_is_kept_out(system: System, tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    other = StatisticsWriter(path, system, 300.0, **OPTIONS, resume=True)
    with StatisticsWriter(path, system, 300.0, **OPTIONS), pytest.raises(BlockingIOError):
        other.__enter__()


def test_what_is_counted_in_part_is_not_kept(
    system: System, drawn: WeightedSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interruption may come while a block is added up."""
    path = tmp_path / "s.h5"
    monkeypatch.setattr(writer_module, "EVERY", -1.0)
    writer = StatisticsWriter(path, system, 300.0, **OPTIONS)
    with pytest.raises(KeyboardInterrupt), writer:
        writer.write(drawn[:BLOCK])
        with monkeypatch.context() as patch:
            patch.setattr(Moments, "add", _interrupt)
            writer.write(drawn[BLOCK : 2 * BLOCK])
    assert writer.kept == tmp_path / "s.partial.h5"
    assert load_statistics(writer.kept).n == BLOCK
    with StatisticsWriter(path, system, 300.0, **OPTIONS, resume=True) as writer:
        assert writer.missing == [(BLOCK, N)]


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


KILLED = """
import sys
from boltzgen.analysis.subject import of_statistics
from boltzgen.molecule.system import System
from boltzgen.statistics import writer as module
from tests.helpers.posing import made_up_samples
module.EVERY = -1.0
system = System.load("alanine_dipeptide")
drawn = made_up_samples(system, 4096)
with module.StatisticsWriter(sys.argv[1], system, 300.0, n=4096) as writer:
    writer.write(drawn[:2048])
    print("one block", flush=True)
    import time
    time.sleep(600)
"""


def test_a_killed_process_leaves_what_was_saved(system: System, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path / "s.h5"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"one block\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with StatisticsWriter(tmp_path / "s.h5", system, 300.0, n=4096, resume=True) as writer:
        assert writer.missing == [(BLOCK, 4096)]


def test_what_is_known_against_the_generator_goes_with_its_statistics(
    system: System, drawn: WeightedSamples, tmp_path: Path
) -> None:
    parts = [tmp_path / f"{k}.h5" for k in (1, 2)]
    for k, part in enumerate(parts):
        options = OPTIONS | {"shard": Shard(k + 1, 2), "doubt": "the forward test failed"}
        with StatisticsWriter(part, system, 300.0, **options) as writer:
            fill(writer, drawn)
    merge(parts, tmp_path / "all.h5")
    for path in (*parts, tmp_path / "all.h5"):
        assert load_statistics(path).header.doubt == "the forward test failed"
    assert of_statistics([tmp_path / "all.h5"], (), (), None).about["doubt"] == "the forward test failed"
