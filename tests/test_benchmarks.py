"""The benchmarks run, and report every way they compare; their times are not judged here."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "energy.py"


def test_energy_benchmark(tmp_path: Path) -> None:
    file = tmp_path / "times.json"
    done = subprocess.run([sys.executable, BENCHMARK, "--quick", "--json", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(file.read_text())
    ways = {"OpenMM Reference", "OpenMM CPU, 1 thread", "OpenMM CPU, 2 threads", "OpenMM CPU, 2 workers", "ours"}
    for what in ("energy", "energy and forces"):
        assert ways <= {row["way"] for row in result["times"] if row["what"] == what}
    assert all(0 < row["minimum_us"] <= row["median_us"] for row in result["times"])
    assert [row["forces"] for row in result["memory"]] == [False, True]


def test_simulation_benchmark() -> None:
    script = BENCHMARK.with_name("simulate.py")
    done = subprocess.run([sys.executable, script, "--quick"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()
    assert sum(row.startswith("OpenMM") for row in rows) == 4
    assert rows[-1].startswith("replica exchange")


def test_objectives_benchmark(tmp_path: Path) -> None:
    """Every objective from one state, which a second call finds; each trained on as many samples."""
    command = [sys.executable, BENCHMARK.with_name("objectives.py"), "--quick", "--folder", tmp_path / "state", "--json", tmp_path / "rows.json"]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [row["objective"] for row in rows] == ["start", "hierarchical", "log-dispersion", "forward KL", "reverse KL", "path gradient", "alpha-2"]
    assert all(0 < row["efficiency"] <= 1 for row in rows)
    # Two steps of 64: one round of 512 draws, fresh draws, or four fills of 64 samples that cost 1 + 4 each.
    assert [row["evaluations"] for row in rows] == [0, 128, 512, 512, 128, 128, 4 * 64 * 5]
    second = subprocess.run([*command, "--objectives", "reverse KL"], capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    again = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [row["efficiency"] for row in again] == [row["efficiency"] for row in rows if row["objective"] in ("start", "reverse KL")]
