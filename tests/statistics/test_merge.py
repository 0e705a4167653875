"""Shards put together are the whole, to the last bit; others are refused, and missing ones named."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import boltzgen
from boltzgen.molecule.system import System
from boltzgen.samples.file import read_header, read_samples
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from boltzgen.statistics.file import load_statistics
from boltzgen.statistics.merge import merge
from boltzgen.statistics.statistics import Statistics
from tests.helpers.statistics import N, assert_same

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def folder(write: Write, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for k in range(1, 5):
        write(folder / f"statistics_{k}.h5", f"{k}/4")
        write(folder / f"samples_{k}.h5", f"{k}/4", statistics=False)
    return folder


def test_statistics_of_shards_are_those_of_one_run(folder: Path, whole: Statistics, tmp_path: Path) -> None:
    found = boltzgen.merge([folder / f"statistics_{k}.h5" for k in (3, 1, 4, 2)], tmp_path / "all.h5")
    assert (found.missing, found.missing_shards) == ("", [])
    merged = load_statistics(tmp_path / "all.h5")
    assert_same(merged, whole, but=("draws",))
    assert (merged.header.shard, merged.header.n_whole) == (whole.header.shard, N)


def test_samples_among_statistics_are_counted(folder: Path, whole: Statistics, tmp_path: Path) -> None:
    paths = [
        folder / f"{kind}_{k}.h5" for kind, k in zip(("samples", "statistics") * 2, (1, 2, 3, 4), strict=True)
    ]
    found = merge(paths, tmp_path / "all.h5")
    assert found.missing == ""
    assert_same(load_statistics(tmp_path / "all.h5"), whole, but=("draws",))


def test_samples_of_shards_are_those_of_one_run(folder: Path, drawn: WeightedSamples, tmp_path: Path) -> None:
    found = merge([folder / f"samples_{k}.h5" for k in (2, 4, 1, 3)], tmp_path / "all.h5")
    assert found.missing == ""
    samples = read_samples(tmp_path / "all.h5")
    for name in ("x", "u", "log_q", "log_w"):
        assert torch.equal(getattr(samples, name), getattr(drawn, name))
    header = read_header(tmp_path / "all.h5")
    assert (header.shard, header.n_whole, header.ranges, header.seed) == ("", None, ((0, N),), 3)


@pytest.mark.parametrize("kind", ["samples", "statistics"])
def test_missing_shards_are_named_and_merged_later(
    folder: Path, drawn: WeightedSamples, whole: Statistics, tmp_path: Path, kind: str
) -> None:
    found = merge([folder / f"{kind}_{k}.h5" for k in (4, 1)], tmp_path / "some.h5")
    assert [str(shard) for shard in found.missing_shards] == ["2/4", "3/4"]
    assert found.missing.startswith("shards 2/4, 3/4 (draws ")
    assert found.header.n_samples < N
    more = merge([folder / f"{kind}_2.h5", tmp_path / "some.h5"], tmp_path / "more.h5")
    assert [str(shard) for shard in more.missing_shards] == ["3/4"]
    merge([tmp_path / "more.h5", folder / f"{kind}_3.h5"], tmp_path / "all.h5")
    if kind == "samples":
        assert torch.equal(read_samples(tmp_path / "all.h5").log_w, drawn.log_w)
        assert read_header(tmp_path / "some.h5").ranges == found.header.ranges
    else:
        assert_same(load_statistics(tmp_path / "all.h5"), whole, but=("draws",))


def test_samples_with_gaps_are_not_gone_on_with(folder: Path, system: System, tmp_path: Path) -> None:
    merge([folder / f"samples_{k}.h5" for k in (4, 1)], tmp_path / "some.h5")
    options = {"seed": 3, "generator": "a generator", "n": N, "resume": True}
    with (
        pytest.raises(ValueError, match="go on with the same|draws of several places"),
        SamplesWriter(tmp_path / "some.h5", system, 300.0, **options),
    ):
        pass


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 4}, "is of another seed than .*, 4 and not 3; merge shards of one run"),
        ({"generator": "another"}, "is of another generator than"),
        ({"temperature": 310.0}, "is of another temperature than"),
    ],
)
def test_foreign_shards_are_refused(
    folder: Path, write: Write, tmp_path: Path, statistics: bool, changes: dict[str, object], message: str
) -> None:
    kind = "statistics" if statistics else "samples"
    other = write(tmp_path / "other.h5", "2/4", statistics=statistics, **changes)
    with pytest.raises(ValueError, match=message):
        merge([folder / f"{kind}_1.h5", other], tmp_path / "all.h5")
    assert not (tmp_path / "all.h5").exists()


@pytest.mark.parametrize("kind", ["samples", "statistics"])
def test_overlapping_shards_are_refused(folder: Path, write: Write, tmp_path: Path, kind: str) -> None:
    other = write(tmp_path / "other.h5", "2/3", statistics=kind == "statistics")
    with pytest.raises(ValueError, match="another file holds as well: draws .* are there twice"):
        merge([folder / f"{kind}_2.h5", other], tmp_path / "all.h5")
    with pytest.raises(ValueError, match="there twice"):
        merge([folder / f"{kind}_2.h5", folder / f"{kind}_2.h5"], tmp_path / "all.h5")
    with pytest.raises(ValueError, match="there twice"):
        merge([folder / "samples_2.h5", folder / "statistics_2.h5"], tmp_path / "all.h5")


def test_shards_of_other_numbers_fit_where_their_draws_do(
    folder: Path, write: Write, whole: Statistics, tmp_path: Path
) -> None:
    """Halves of a run beside quarters of it."""
    half = write(tmp_path / "half.h5", "2/2")
    merge([folder / "statistics_1.h5", folder / "statistics_2.h5", half], tmp_path / "all.h5")
    assert_same(load_statistics(tmp_path / "all.h5"), whole, but=("draws",))


def test_a_file_is_not_replaced_unasked(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "all.h5").touch()
    with pytest.raises(FileExistsError, match="force=True"):
        merge([folder / "samples_1.h5"], tmp_path / "all.h5")
    assert merge([folder / "samples_1.h5"], tmp_path / "all.h5", force=True).missing.startswith("shards 2/4")


def test_draws_of_no_known_seed_are_refused(drawn: WeightedSamples, tmp_path: Path) -> None:
    drawn[:100].save(tmp_path / "saved.h5", temperature=300.0)
    with pytest.raises(ValueError, match="does not say which draws of which seed it holds"):
        merge([tmp_path / "saved.h5"], tmp_path / "all.h5")
