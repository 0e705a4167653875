"""Benchmarks that take times run, and report every way they compare; the times are not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_energy_benchmark(tmp_path: Path) -> None:
    file = tmp_path / "times.json"
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "energy.py", "--quick", "--json", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(file.read_text())
    ways = {
        "OpenMM Reference",
        "OpenMM CPU, 1 thread",
        "OpenMM CPU, 2 threads",
        "OpenMM CPU, 2 workers",
        "ours",
    }
    for what in ("energy", "energy and forces"):
        assert ways <= {row["way"] for row in result["times"] if row["what"] == what}
    assert all(0 < row["minimum_us"] <= row["median_us"] for row in result["times"])
    assert [row["forces"] for row in result["memory"]] == [False, True]


def test_simulation_benchmark() -> None:
    script = BENCHMARKS / "simulate.py"
    done = subprocess.run([sys.executable, script, "--quick"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()
    assert sum(row.startswith("OpenMM") for row in rows) == 4
    assert rows[-1].startswith("replica exchange")


def test_flow_benchmark(tmp_path: Path) -> None:
    """Every flow that can be imported, in every direction; the others are named."""
    script, file = BENCHMARKS / "flow.py", tmp_path / "rates.json"
    done = subprocess.run(
        [sys.executable, script, "--quick", "--threads", "1", "--json", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(file.read_text())
    for what in ("training", "density", "sampling"):
        rows = {row["way"]: row for row in result["couplings"] if row["what"] == what}
        assert {"boltzgen", "boltzgen, no kernels", "boltzgen, bfloat16"} <= set(rows)
        for library in ("zuko", "normflows"):
            assert library in rows or f"{library} is left out" in done.stdout
        # The same networks, but for those that are a library's own.
        assert len({row["parameters"] for way, row in rows.items() if way != "normflows, ResNet"}) == 1
        assert rows["boltzgen"]["ratio_of_best"] == rows["boltzgen"]["ratio_of_medians"] == 1
        assert all(
            0 < row["median_per_s"] <= row["best_per_s"] and row["share_of_limit"] > 0
            for row in rows.values()
        )
    assert set(result["rates"]) == {"float32", "bfloat16"}
    assert all(row["float32_rms"] < 1e-4 < row["bfloat16_rms"] < 0.1 for row in result["rounding"])
    assert [row["what"] for row in result["molecule"]] == [
        "draws",
        "log q",
        "log q and gradient",
        "training step",
    ]
    for row in result["molecule"]:
        assert 0 < row["minimum_us"] <= row["median_us"]
        assert sum(row["shares"].values()) == pytest.approx(1) and row["shares"]["matrix products"] > 0


def test_resampled_benchmark(tmp_path: Path) -> None:
    """The sampler judges hardly more proposals than it needs; glasflow is a row or left out."""
    command = [
        sys.executable,
        BENCHMARKS / "resampled.py",
        "--quick",
        "--widths",
        "16",
        "--json",
        tmp_path / "times.json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads((tmp_path / "times.json").read_text())
    assert result["acceptance_rate"] == pytest.approx(0.1, abs=1e-3)
    assert result["needed"] == pytest.approx(2000 / 0.1, rel=0.01)
    assert result["needed"] * 0.9 < result["judged"] < result["needed"] * 1.2
    assert {"bare evaluations", "boltzgen"} <= set(result["seconds"])


def test_resampled_sizes_benchmark(tmp_path: Path) -> None:
    """Bases of tables and of images: as many proposals as Z = 0.1 needs."""
    file = tmp_path / "times.json"
    command = [sys.executable, BENCHMARKS / "resampled_sizes.py", "--quick", "--json", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads(file.read_text())
    assert len(results) == 6
    for result in results:
        assert result["needed"] == pytest.approx(10 * 200, rel=0.05)
        assert all(seconds[0] > 0 for seconds in result["seconds"].values())
        assert set(result["seconds"]) == {"bare network", "boltzgen"}


@pytest.mark.slow
def test_widths_benchmark() -> None:
    """A line for each width, the first of which is the measure."""
    command = [
        sys.executable,
        BENCHMARKS / "widths.py",
        "alanine_dipeptide",
        "--widths",
        "16",
        "8",
        "--repeats",
        "1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert "width   16" in first and first.endswith("1.00")
    assert "width    8" in second


@pytest.mark.slow
def test_scores_benchmark() -> None:
    """Seconds of both ways, and their ratio."""
    command = [sys.executable, BENCHMARKS / "scores.py", "alanine_dipeptide", "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    back, drawn, ratio = (line.split() for line in done.stdout.splitlines())
    assert back[1] == "back" and drawn[1:4] == ["with", "the", "draw"]
    expected = float(back[-2]) / float(drawn[-2])
    assert float(ratio[1]) == pytest.approx(expected, abs=0.02 * expected)


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--avx2"]])
def test_muon_benchmark(more: list[str]) -> None:
    """A line for torch's, which is the measure, and one for ours; on a processor like a laptop's, too."""
    command = [sys.executable, BENCHMARKS / "muon.py", "alanine_dipeptide", "--repeats", "1", *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    processor, theirs, ours = done.stdout.splitlines()
    assert not more or processor.endswith("AVX2")
    assert " torch's " in theirs and theirs.endswith("1.00")
    assert " ours " in ours


@pytest.mark.slow
def test_replays_benchmark() -> None:
    """A line for each number of replays, the first of which is the measure."""
    command = [sys.executable, BENCHMARKS / "replays.py", "alanine_dipeptide", "--repeats", "1"]
    done = subprocess.run([*command, "--replays", "0", "3"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert " 0 replays" in first and first.endswith("1.00")
    assert " 3 replays" in second
