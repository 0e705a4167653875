"""Several samples files: seeds are pooled and compared, shards put in order, and foreign ones refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from boltzgen.analysis.pooled_source import pooled_source
from boltzgen.analysis.report import analyze
from boltzgen.free_energy.agreement import agreement
from boltzgen.molecule.system import System
from boltzgen.molecule.torsional import counted_states
from boltzgen.samples.shards import Shard
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from tests.helpers.pages import Page
from tests.helpers.posing import made_up_samples

N = 6_000
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def write(system: System) -> Write:
    def written(path: Path, seed: int, shard: str = "", **changes: Any) -> Path:
        share = Shard.parse(shard) if shard else None
        start, stop = (share or Shard(1, 1)).draws(N)
        options = {"generator": "g", "shard": share, "n": N} | changes
        with SamplesWriter(path, system, options.pop("temperature", 300.0), seed=seed, **options) as writer:
            writer.write(made_up_samples(system, N, seed)[start:stop])
            writer.n_energy_evaluations = stop - start
        return path

    return written


def test_seeds_are_pooled_and_compared(system: System, write: Write, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{seed}.h5", seed) for seed in (4, 5, 6)]
    drawn = [made_up_samples(system, N, seed) for seed in (4, 5, 6)]
    result = analyze(paths, tmp_path / "out", html=tmp_path / "page.html")
    words = " ".join(Page((tmp_path / "page.html").read_text()).words.split())
    assert f"From {', '.join(map(str, paths))}, by" in words
    assert "The samples agree in" in words and "(chi-squared with 2 degrees of freedom)." in words
    expected = WeightedSamples.concatenate(drawn)
    assert result["n_samples"] == result["n_energy_evaluations"] == 3 * N
    assert result["log_z"] == pytest.approx(expected.log_z.value, rel=1e-9)
    assert [b["population"] for b in result["basins"]] == pytest.approx(
        [b.population for b in expected.populations()]
    )
    assert (result["seed"], result["series"], result["missing"]) == (None, [str(p) for p in paths], [])
    labels = [counted_states(system)["basin"].labels(one.x) for one in drawn]
    names = [basin.name for basin in system.basins]
    rows = agreement(labels, [one.log_w.numpy() for one in drawn], names)
    for found, row in zip(result["agreement"]["basin"], rows, strict=True):
        assert found["name"] == row.name
        assert found["chi_squared"] == row.chi_squared
        assert found["populations"] == pytest.approx(row.populations)
    assert result["agreement"].keys() == counted_states(system).keys()
    assert any(row["probability"] is not None for row in result["agreement"]["basin"])


def test_shards_are_one_sample_in_the_order_of_its_draws(
    system: System, write: Write, tmp_path: Path
) -> None:
    paths = [write(tmp_path / f"{k}.h5", 4, f"{k}/3") for k in (2, 3, 1)]
    source, gaps = pooled_source(paths)
    assert gaps == []
    drawn = WeightedSamples.concatenate(source.chunks())
    assert torch.equal(drawn.log_w, made_up_samples(system, N, 4).log_w)
    result = analyze(paths, tmp_path / "out")
    assert (result["agreement"], result["series"], result["seed"]) == (None, [], 4)


def test_missing_shards_of_several_seeds_are_named(write: Write, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{seed}_{k}.h5", seed, f"{k}/3") for seed in (4, 5) for k in (1, 3)]
    _, gaps = pooled_source([*paths, write(tmp_path / "5_2.h5", 5, "2/3")])
    assert gaps == ["seed 4: shard 2/3 (draws 2048 to 4096)"]


def test_files_of_unknown_seeds_are_samples_of_their_own(system: System, tmp_path: Path) -> None:
    for seed in (1, 2):
        made_up_samples(system, 500, seed).save(tmp_path / f"{seed}.h5", temperature=300.0)
    source, _ = pooled_source([tmp_path / "1.h5", tmp_path / "2.h5"])
    assert [place for _, place in source.series] == [(0, 500), (500, 1_000)]


def test_what_does_not_belong_together_is_refused(system: System, write: Write, tmp_path: Path) -> None:
    first, empty = write(tmp_path / "first.h5", 4), tmp_path / "empty.h5"
    made_up_samples(system, 10, 4)[:0].save(empty, temperature=300.0)
    with pytest.raises(ValueError, match="given twice"):
        pooled_source([first, first])
    with pytest.raises(ValueError, match=r"empty.h5 holds no samples; leave it out"):
        pooled_source([first, empty])
    shutil.copy(first, tmp_path / "copy.h5")
    with pytest.raises(ValueError, match="there twice"):
        pooled_source([first, tmp_path / "copy.h5"])
    with pytest.raises(ValueError, match="is of another temperature than"):
        pooled_source([first, write(tmp_path / "warm.h5", 5, temperature=310.0)])
    other = System.load("alanine_tetrapeptide")
    zero = torch.zeros(5, dtype=torch.float64)
    frames = WeightedSamples.from_energies(other.positions.float().repeat(5, 1, 1), zero, zero, other)
    frames.save(tmp_path / "other.h5", temperature=300.0)
    with pytest.raises(ValueError, match="is of another system, force field or domain than"):
        pooled_source([first, tmp_path / "other.h5"])
    assert system.folder is not None
    with pytest.raises(ValueError, match="several files at once are samples files"):
        pooled_source([first, system.folder / "reference.h5"])
    with pytest.raises(ValueError, match="at least one file"):
        analyze([], tmp_path / "out")
