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
