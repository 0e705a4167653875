"""`boltzgen sample --shard` and `--statistics-only`, `boltzgen merge`, and `analyze` of what they leave."""

import json
import shlex
from collections.abc import Iterator
from functools import partialmethod
from pathlib import Path

import pytest
import torch

from boltzgen.samples.file import read_header, read_samples
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.statistics.file import load_statistics
from tests.helpers.command_line import FakeGenerator, call, refused
from tests.helpers.posing import made_up_samples
from tests.helpers.statistics import assert_same

N = 7_000
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def same_draws_whatever_n(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeGenerator, "sample_chunks", chunks)


def chunks(
    self: FakeGenerator, n: int, energy: torch.nn.Module, *, seed: int = 0, start: int = 0, stop: int = 99
) -> Iterator[WeightedSamples]:
    """The first n draws of a seed in pieces of 700, an interruption after so many of them."""
    whole = made_up_samples(self.system, 10_000, seed)[:n]
    for k, first in enumerate(range(start, n, 700)):
        if k == stop:
            raise KeyboardInterrupt
        part = whole[first : first + 700]
        energy(part.x[:1].expand(len(part), -1, -1))
        yield part


def sampled(capfd: Capture, run: Path, output: str, *more: object) -> str:
    code, out, err = call(capfd, "sample", run, "-n", N, "--seed", 2, "-o", run / output, *more)
    assert (code, err) == (0, "")
    return out


def test_shards_of_samples_make_the_whole(run_folder: Path, capfd: Capture) -> None:
    sampled(capfd, run_folder, "whole.h5")
    out = sampled(capfd, run_folder, "part_2.h5", "--shard", "2/2")
    assert "2/2: draws 4096 to 7000" in out
    assert "2,904" in out
    sampled(capfd, run_folder, "part_1.h5", "--shard", "1/2")
    parts = [run_folder / f"part_{k}.h5" for k in (1, 2)]
    code, out, err = call(capfd, "merge", *parts, "-o", run_folder / "all.h5")
    assert (code, err) == (0, "")
    assert "7,000 of 7,000" in out
    merged, whole = read_samples(run_folder / "all.h5"), read_samples(run_folder / "whole.h5")
    assert torch.equal(merged.x, whole.x) and torch.equal(merged.log_w, whole.log_w)
    assert read_header(run_folder / "all.h5").seed == 2


def test_statistics_of_shards_are_those_of_the_whole(run_folder: Path, capfd: Capture) -> None:
    options = ("--statistics-only", "--pair", "psi", "phi", "--along", "cos(phi)")
    whole = json.loads(sampled(capfd, run_folder, "whole.h5", *options, "--json"))
    assert whole["n_samples"] == N
    for k in (1, 2, 3):
        sampled(capfd, run_folder, f"part_{k}.h5", *options, "--shard", f"{k}/3")
    parts = [run_folder / f"part_{k}.h5" for k in (1, 2, 3)]
    code, out, _ = call(capfd, "merge", *parts, "-o", run_folder / "all.h5", "--json")
    assert code == 0
    assert json.loads(out) == {
        "files": [str(part) for part in parts],
        "file": str(run_folder / "all.h5"),
        "n_samples": N,
        "n_whole": N,
        "n_energy_evaluations": N,
        "missing_shards": [],
        "missing": "",
    }
    assert_same(load_statistics(run_folder / "all.h5"), load_statistics(run_folder / "whole.h5"))
    found = []
    for name, files in (("one", [run_folder / "all.h5"]), ("three", parts)):
        code, out, err = call(capfd, "analyze", *files, "-o", run_folder / name, "--json")
        assert (code, err) == (0, "")
        found.append(json.loads(out) | {"file": None})
    assert found[0] == found[1]
    assert found[0]["source"] == "statistics"
    assert {k: v for k, v in whole.items() if k in found[0]} == {
        k: v for k, v in found[0].items() if k in whole
    }
    code, out, _ = call(capfd, "analyze", run_folder / "all.h5", "-o", run_folder / "table")
    assert code == 0
    assert "C7eq" in out and "cos(phi)" in out


@pytest.mark.parametrize(
    "options", [(), ("--statistics-only", "--pair", "psi", "phi", "--along", "cos(phi) + 1")]
)
def test_an_interrupted_shard_says_how_to_go_on(
    run_folder: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.chdir(run_folder.parent)
    how = ("sample", run_folder, "-n", N, "--shard", "2/2", "--seed", 2, *options)
    monkeypatch.setattr(FakeGenerator, "sample_chunks", partialmethod(chunks, stop=3))
    code, out, err = call(capfd, *how, "-o", "s.h5")
    assert (code, out) == (130, "")
    done = "2048 of 2904 samples are counted" if options else "2100 of 2904 samples are kept"
    assert f"{done} in s.partial.h5; go on with: boltzgen sample" in err
    again = err.split("go on with: boltzgen ")[1].splitlines()[0]
    monkeypatch.setattr(FakeGenerator, "sample_chunks", chunks)
    assert call(capfd, *shlex.split(again))[0] == 0
    assert not Path("s.partial.h5").exists()
    assert call(capfd, *how, "-o", "whole.h5")[0] == 0
    if options:
        assert_same(load_statistics("s.h5"), load_statistics("whole.h5"), but=("draws",))
    else:
        assert torch.equal(read_samples("s.h5").x, read_samples("whole.h5").x)
    how = (*how[:3], N + 1, *how[4:])
    refused(call(capfd, *how, "-o", "s.h5", "--resume"), "another whole number of draws")


def test_missing_shards_are_warned_of(run_folder: Path, capfd: Capture) -> None:
    sampled(capfd, run_folder, "part_1.h5", "--shard", "1/3", "--statistics-only")
    code, _, err = call(capfd, "merge", run_folder / "part_1.h5", "-o", run_folder / "all.h5")
    assert code == 0
    assert err.startswith("warning: missing: shards 2/3, 3/3 (draws 2048 to 7000); merge them with")
    for name in ("part_1.h5", "all.h5"):
        code, _, err = call(capfd, "analyze", run_folder / name, "-o", run_folder / "out", "--force")
        assert code == 0
        assert "missing: shards 2/3, 3/3 (draws 2048 to 7000); the rest is analysed" in err


def test_seeds_are_compared_in_words(run_folder: Path, capfd: Capture) -> None:
    for seed in (1, 2):
        call(capfd, "sample", run_folder, "-n", 5_000, "--seed", seed, "-o", run_folder / f"{seed}.h5")
    files = [run_folder / f"{seed}.h5" for seed in (1, 2)]
    code, out, err = call(capfd, "analyze", *files, "-o", run_folder / "out")
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    assert "10,000" in words
    assert f"the samples compared: 1: {files[0]}; 2: {files[1]}" in words
    assert "1: % 2: % chi2 probability" in words
    assert "the samples agree in" in words and "(chi-squared with 1 degree of freedom)" in words
    assert "not tested" in words


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--shard", "3/2", "-o", "s.h5"), "expected a `shard` from 1/2 to 2/2, got 3/2"),
        (("--shard", "x", "-o", "s.h5"), "such as 3/64, the third of 64, got 'x'"),
        (("--shard", "1/2"), "are for a file: give an --output"),
        (("--statistics-only",), "are for a file: give an --output"),
        (("--workers", "2"), "draw into a file: give an --output"),
        (("--workers", "2", "--scheduler", "tcp://x:1", "-o", "s.h5"), "give one of them"),
        (("--pair", "phi", "psi", "-o", "s.h5"), "say what is counted with --statistics-only"),
        (("--shard", "1/9", "-o", "s.h5"), "too few for 9 shards"),
        (("--statistics-only", "--pair", "phi", "tau", "-o", "s.h5"), "a torsion 'tau' that this molecule"),
        (("--statistics-only", "--along", "tau", "-o", "s.h5"), "unknown name 'tau'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    run_folder: Path,
    capfd: Capture,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(run_folder)
    before = set(run_folder.iterdir())
    code, out, err = call(capfd, "sample", run_folder, "-n", N, *options)
    assert (code, out) == (2, "")
    assert message.replace("`shard`", "--shard") in err
    assert err.count("\n") == 1
    assert set(run_folder.iterdir()) == before


def test_foreign_shards_are_refused(run_folder: Path, capfd: Capture) -> None:
    sampled(capfd, run_folder, "a.h5", "--shard", "1/2")
    call(capfd, "sample", run_folder, "-n", N, "--shard", "2/2", "--seed", 3, "-o", run_folder / "b.h5")
    parts = (run_folder / "a.h5", run_folder / "b.h5")
    refused(call(capfd, "merge", *parts, "-o", run_folder / "all.h5"), "is of another seed than")
