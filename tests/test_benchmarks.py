"""The benchmarks run, and report every way they compare; their times are not judged here."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from boltzgen.geometry import dihedrals
from boltzgen.molecule.system import System
from boltzgen.simulation.ensemble import Ensemble
from boltzgen.simulation.estimates import mbar

pytestmark = pytest.mark.slow

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "energy.py"


def test_energy_benchmark(tmp_path: Path) -> None:
    file = tmp_path / "times.json"
    done = subprocess.run(
        [sys.executable, BENCHMARK, "--quick", "--json", file], capture_output=True, text=True, check=False
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
    script = BENCHMARK.with_name("simulate.py")
    done = subprocess.run([sys.executable, script, "--quick"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()
    assert sum(row.startswith("OpenMM") for row in rows) == 4
    assert rows[-1].startswith("replica exchange")


def test_objectives_benchmark(tmp_path: Path) -> None:
    """Every objective from one state, which a second call finds; each trained on as many samples."""
    command = [
        sys.executable,
        BENCHMARK.with_name("objectives.py"),
        "--quick",
        "--folder",
        tmp_path / "state",
        "--json",
        tmp_path / "rows.json",
    ]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [row["objective"] for row in rows] == [
        "start",
        "hierarchical",
        "log-dispersion",
        "forward KL",
        "reverse KL",
        "path gradient",
        "alpha-2",
    ]
    assert all(0 < row["efficiency"] <= 1 for row in rows)
    # Two steps of 64: one round of 32 batches, fresh draws, or four fills of 64 samples at 1 + 4 each; 1024
    # walkers, of which up to 8 move thrice.
    evaluations = [row["evaluations"] for row in rows]
    assert 2 * 3 <= evaluations.pop(1) - 128 - 1024 <= 2 * 8 * 3
    assert evaluations == [0, 2048, 2048, 128, 128, 4 * 64 * 5]
    second = subprocess.run(
        [*command, "--objectives", "reverse KL"], capture_output=True, text=True, check=False
    )
    assert second.returncode == 0, second.stderr
    again = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [row["efficiency"] for row in again] == [
        row["efficiency"] for row in rows if row["objective"] in ("start", "reverse KL")
    ]


def test_flow_benchmark(tmp_path: Path) -> None:
    """Every flow that can be imported, in every direction; the others are named."""
    script, file = BENCHMARK.with_name("flow.py"), tmp_path / "rates.json"
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


def test_ablations_benchmark(tmp_path: Path) -> None:
    """Two variants, one of them with names replaced: a row each, and another call repeats neither."""
    command = [
        sys.executable,
        BENCHMARK.with_name("ablations.py"),
        tmp_path,
        "--quick",
        "--seeds",
        "0",
        "--variants",
        "8 bins",
        "default",
    ]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    _, _, default, bins = first.stdout.splitlines()
    assert default.startswith("| default | 1 |") and bins.startswith("| 8 bins | 1 |")
    parameters = [int(row.split("|")[8]) for row in (default, bins)]
    assert parameters[0] < parameters[1]
    again = subprocess.run([*command, "--seeds", "0"], capture_output=True, text=True, check=False)
    assert again.stdout == first.stdout


def test_budgets_benchmark(tmp_path: Path) -> None:
    """Finished runs of a folder make the table and the figure; unfinished ones are left out."""
    for seed in (0, 1):
        run = tmp_path / f"4_{seed}"
        run.mkdir()
        (run / "metrics.jsonl").write_text(json.dumps({"n_energy_evaluations": 1000 + seed}) + "\n")
    figures = {
        "seconds": 60.0,
        "sampling_efficiency": 0.9,
        "sampling_efficiency_clipped": 0.91,
        "largest_weight_share": 1e-4,
        "seed": 0,
    }
    (tmp_path / "4_0" / "summary.json").write_text(
        json.dumps(figures | {"log_z": -1.0, "log_z_error": 0.1, "hardware": {"threads": 2}})
    )
    results = tmp_path / "results.csv"
    command = [
        sys.executable,
        BENCHMARK.with_name("budgets.py"),
        tmp_path,
        "--budgets",
        "--results",
        results,
        "--figure",
        tmp_path / "figure.png",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    row = "| 4 | 0 | 1000 | 1.0 | 90.00 | 91.00 | 0.010 | -1.0000 | 0.1000 | 2 |"
    assert done.stdout.splitlines()[2:] == [row]
    assert (tmp_path / "figure.png").stat().st_size > 5000
    # Results from before stay; those of the folder come first.
    results.write_text(
        results.read_text().replace("90.00", "12.00") + "160,0,9,1.0,99.00,99.00,0.0,-1.0,0.1,2\n"
    )
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stdout.splitlines()[2:] == [
        row,
        "| 160 | 0 | 9 | 1.0 | 99.00 | 99.00 | 0.0 | -1.0 | 0.1 | 2 |",
    ]


def test_curve_benchmark(tmp_path: Path) -> None:
    """Rounds and energies of a run that began from another count on from its end; an unfinished one has no
    validation.
    """
    for name, rounds, extra in (("first", 3, 50), ("more", 2, None)):
        (tmp_path / name).mkdir()
        lines = [
            {
                "round": k,
                "temperature": 300.0,
                "n_energy_evaluations": 100 * (k + 1),
                "efficiency": 0.1 * k,
                "seconds": 60.0,
            }
            for k in range(rounds)
        ]
        if extra is not None:  # a run of the present version; "more" is older
            lines = [line | {"efficiency_clipped": 0.2 + 0.1 * line["round"]} for line in lines]
        (tmp_path / name / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        if extra is not None:
            figures = {
                "temperature": 300.0,
                "n_energy_evaluations": 100 * rounds + extra,
                "sampling_efficiency": 0.5,
                "sampling_efficiency_clipped": 0.6,
            }
            (tmp_path / name / "summary.json").write_text(
                json.dumps(figures | {"log_z": -1.0, "log_z_error": 0.1, "seconds": 120.0})
            )
    command = [
        sys.executable,
        BENCHMARK.with_name("curve.py"),
        tmp_path / "first",
        tmp_path / "more",
        "--every",
        "2",
        "--figure",
        tmp_path / "f.png",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[2:] == [
        "| first | 2 | 300 | 200 | 1.0 | 10.0 | 30.0 |  |",
        "| first | validation | 300 | 350 | 2.0 | 50.0 | 60.0 | -1.0000 +- 0.1000 |",
        "| more | 4 | 300 | 450 | 1.0 | 0.0 |  |  |",
    ]
    assert (tmp_path / "f.png").stat().st_size > 5000


def test_largest_weights_benchmark(tmp_path: Path) -> None:
    """Shares by the sign of phi, also of a simulation; then a line for each draw in order of weight, whose
    parts add up to it, with its torsions.
    """
    quick = ["--walkers", "8", "--interval", "1", "-n", "10", "-o", tmp_path / "sim"]
    subprocess.run(
        [sys.executable, "-m", "boltzgen", "simulate", "alanine_dipeptide", *quick],
        capture_output=True,
        check=True,
    )
    command = [
        sys.executable,
        BENCHMARK.with_name("largest_weights.py"),
        "alanine_dipeptide",
        "-n",
        "5000",
        "--top",
        "3",
        "--simulation",
        tmp_path / "sim",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second, *lines = done.stdout.splitlines()
    shares, rows = lines[:-3], lines[-3:]
    assert first.startswith("efficiency 99.") and "without the largest weights" in first
    assert second.endswith("of 3 have a phi > 0")
    assert [row.split()[0] for row in shares] == ["none", "phi"]
    draws, weight, squared, simulated = ([float(row.split()[k]) for row in shares] for k in (3, 5, 7, 9))
    assert sum(simulated) == pytest.approx(1, abs=1e-5)
    system = System.load("alanine_dipeptide")
    ensemble = Ensemble.load(tmp_path / "sim", system)
    later = ensemble.potential[ensemble.n_frames // 2 :].numpy()
    share = np.exp(mbar(later, ensemble.temperatures.numpy(), system.temperature)[1])
    left = dihedrals(ensemble.x[ensemble.n_frames // 2 :], system.torsions["phi"]).numpy() > 0
    assert simulated[1] == pytest.approx(float(share[left].sum()), abs=0.002) and 0.01 < simulated[1] < 0.99
    assert float(shares[0].split()[-1]) > 0
    assert int(shares[0].split()[1]) + int(shares[1].split()[1]) == 5000
    assert sum(draws) == pytest.approx(1, abs=1e-5) == sum(weight)
    assert 0.9 < 1 / sum(squared) == pytest.approx(float(first.split()[1]) / 100, abs=2e-3)
    assert 0.0005 < weight[1] < 0.004  # C7ax, 0.19 %
    weights, parts = [], []
    for row in rows:
        weight, torsions, rest, *angles = row.replace(",", "").split()
        weights.append(float(weight))
        parts.append(float(torsions) + float(rest))
        assert angles[0] == "phi" and angles[2] == "psi"
    assert len(weights) == 3 and weights == sorted(weights, reverse=True)
    # Up to a constant, the mean weight over the median one: close to zero for a generator this good.
    assert [math.log(w) for w in weights] == pytest.approx(parts, abs=0.05)


def test_resampled_benchmark(tmp_path: Path) -> None:
    """The sampler judges hardly more proposals than it needs; glasflow is a row or left out."""
    command = [
        sys.executable,
        BENCHMARK.with_name("resampled.py"),
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


def test_densities_benchmark(tmp_path: Path) -> None:
    """Every base by both objectives on one target: a row and a picture each, and another call repeats
    none.
    """
    command = [
        sys.executable,
        BENCHMARK.with_name("densities.py"),
        tmp_path,
        "--quick",
        "--seeds",
        "0",
        "--targets",
        "rings",
    ]
    command += ["--figure", tmp_path / "figure.png"]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    rows = [json.loads(file.read_text()) for file in tmp_path.glob("*.json")]
    assert {(r["objective"], r["base"]) for r in rows} == {
        (o, b) for o in ("forward", "reverse") for b in ("normal", "mixture", "resampled")
    }
    assert all(r["forward_kl"] > 0 and 0.9 < r["mass"] < 1.01 for r in rows)
    assert (tmp_path / "figure.png").stat().st_size > 5000
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stdout.splitlines() == first.stdout.splitlines()[-8:]


def test_molecule_bases_benchmark(tmp_path: Path) -> None:
    """A row for each base, compared with the shipped reference; another call repeats none."""
    command = [
        sys.executable,
        BENCHMARK.with_name("molecule_bases.py"),
        tmp_path,
        "--quick",
        "--seeds",
        "0",
        "--ways",
        "scratch",
    ]
    command += ["--systems", "alanine_dipeptide", "--bases", "uniform", "resampled"]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    uniform, resampled = (
        json.loads((tmp_path / f"alanine_dipeptide_scratch_{base}_0/result.json").read_text())
        for base in ("uniform", "resampled")
    )
    assert uniform["energies"] == resampled["energies"] > 0
    assert uniform["acceptance_rate"] is None and 0 < resampled["acceptance_rate"] < 1
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stdout.splitlines() == first.stdout.splitlines()[-4:]


def test_molecules_benchmark(tmp_path: Path) -> None:
    """Finished molecules make the tables, and the exponent of what grows as a power of the atoms is found."""
    state = {"name": "g+", "population": 0.5, "low": 0.4, "high": 0.6, "is_upper_bound": False}
    rare = {"name": "t", "population": 0.001, "low": 0.0, "high": 0.003, "is_upper_bound": True}
    for name, atoms in (("ALA", 20), ("LYS", 40)):
        result = {
            "molecule": name,
            "atoms": atoms,
            "circles": 4,
            "narrow": 50,
            "n_parameters": atoms**2,
            "energies": 1e5,
            "minutes": 4.0,
        }
        result |= {
            "efficiency": 0.5,
            "clipped": 0.6,
            "effective": 500.0,
            "untrained": 2.0,
            "not_finite": 0,
            "seconds_per_10000": 0.1 * atoms,
        }
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(
            json.dumps(result | {"rotamers": {"chi1": [state, rare]}})
        )
    command = [sys.executable, BENCHMARK.with_name("molecules.py"), tmp_path, "--molecules", "ALA", "LYS"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[2] == "| ALA | 20 | 4 | 50 | 400 | 1.00e+05 | 4.0 | 50.0 | 60.0 | 500 | 2.0 | 0 | 2.00 |"
    assert lines[-4].endswith("| chi1 | g+ 50 (40 to 60), t < 0.3 |")
    assert lines[-2:] == [
        "median efficiency 50.0 %, of 2 molecules",
        "n_parameters grows with atoms to the power 2.00, seconds_per_10000 grows with atoms to the power "
        "1.00",
    ]
