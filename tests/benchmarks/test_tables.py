"""Tables and figures of finished runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from boltzgen.preparation.ligands.extra import missing

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_budgets_benchmark(tmp_path: Path) -> None:
    """Finished runs of a folder make the table and the figure; unfinished ones are left out."""
    for seed in (0, 1):
        run = tmp_path / f"4_{seed}"
        run.mkdir()
        (run / "metrics.jsonl").write_text(json.dumps({"n_energy_evaluations": 1000 + seed}) + "\n")
    summary = {
        "seconds": 60.0,
        "sampling_efficiency": 0.9,
        "sampling_efficiency_clipped": 0.91,
        "largest_weight_share": 1e-4,
        "seed": 0,
    }
    (tmp_path / "4_0" / "summary.json").write_text(
        json.dumps(summary | {"log_z": -1.0, "log_z_error": 0.1, "hardware": {"threads": 2}})
    )
    results = tmp_path / "results.csv"
    command = [
        sys.executable,
        BENCHMARKS / "budgets.py",
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
                "sampling_efficiency": 0.1 * k,
                "sampling_efficiency_clipped": 0.2 + 0.1 * k,
                "seconds": 60.0,
            }
            for k in range(rounds)
        ]
        (tmp_path / name / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        if extra is not None:  # "more" has not ended
            summary = {
                "temperature": 300.0,
                "n_energy_evaluations": 100 * rounds + extra,
                "sampling_efficiency": 0.5,
                "sampling_efficiency_clipped": 0.6,
            }
            (tmp_path / name / "summary.json").write_text(
                json.dumps(summary | {"log_z": -1.0, "log_z_error": 0.1, "seconds": 120.0})
            )
    command = [
        sys.executable,
        BENCHMARKS / "curve.py",
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
        "| more | 4 | 300 | 450 | 1.0 | 0.0 | 20.0 |  |",
    ]
    assert (tmp_path / "f.png").stat().st_size > 5000


def test_molecules_benchmark(tmp_path: Path) -> None:
    """Finished molecules make the tables, and the exponent of what grows as a power of the atoms is found."""
    state = {"name": "g+", "population": 0.5, "low": 0.4, "high": 0.6, "is_upper_bound": False}
    rare = {"name": "t", "population": 0.001, "low": 0.0, "high": 0.003, "is_upper_bound": True}
    for name, atoms in (("ALA", 20), ("LYS", 40)):
        result = {
            "molecule": name,
            "atoms": atoms,
            "periodic": 4,
            "stiff": 50,
            "n_parameters": atoms**2,
            "rounds": 9,
            "energies": 1e5,
            "minutes": 4.0,
            "draws": {"efficiency": 0.5, "clipped": 0.6, "seeds": [{"efficiency": e} for e in (0.4, 0.55)]},
            "untrained": 0.002,
            "forward": {"forward_ess": 0.3, "largest_log_w": 8.25, "verdict": "failed"},
            "seconds_per_10000": 0.1 * atoms,
        }
        if name == "LYS":
            result["forward"] = {}
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(
            json.dumps(result | {"rotamers": {"chi1": [state, rare]}})
        )
    command = [sys.executable, BENCHMARKS / "molecules.py", tmp_path, "--report"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    drawn = "50.0 | 40.0 to 55.0 | 60.0 | 0.2"
    assert (
        lines[2] == f"| ALA | 20 | 4 | 50 | 400 | 9 | 1.00e+05 | 4.0 | {drawn} | 30.0 | 8.2 | failed | 2.00 |"
    )
    assert lines[3] == f"| LYS | 40 | 4 | 50 | 1,600 | 9 | 1.00e+05 | 4.0 | {drawn} |  |  | not run | 4.00 |"
    assert lines[-4].endswith("| chi1 | g+ 50 (40 .. 60), t < 0.3 |")
    assert lines[-2:] == [
        "2 capped amino acids: median efficiency 50.0 %, least 50.0 %",
        "n_parameters grows with atoms to the power 2.00, seconds_per_10000 grows with atoms to the power "
        "1.00",
    ]


@pytest.mark.skipif(bool(missing()), reason="the extra [ligands] is not installed")
def test_ligands_benchmark(tmp_path: Path) -> None:
    """Results of two folders come together in one file, and the later one of a molecule counts."""
    kept, folder = tmp_path / "kept.json", tmp_path / "folder"
    draws = {"efficiency": 0.5, "clipped": 0.6, "seeds": [{"efficiency": e} for e in (0.4, 0.55)]}
    conformers = [{"energy": e, "share": 0.1 * n, "draws": n} for e, n in ((0.0, 5), (2.0, 0), (9.0, 0))]
    result = {"atoms": 20, "rings": 1, "rotatable": 2, "rounds": 9, "energies": 1e5, "minutes": 10.0}
    result |= {"draws": draws, "missing_modes": ["one"], "conformers": conformers, "elsewhere": 0.125}
    forward = {"forward_ess": 0.3, "largest_log_w": 8.25, "verdict": "failed"}
    kept.write_text(json.dumps({"aspirin": result | {"forward": {}}, "ibuprofen": {}}))
    (folder / "ibuprofen").mkdir(parents=True)
    (folder / "ibuprofen" / "result.json").write_text(json.dumps(result | {"forward": forward}))
    command = [sys.executable, BENCHMARKS / "ligands.py", folder, "--report", "--json", kept]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    shared = "20 | 2 | 1 | 9 | 1.0e+05 | 10.0 | 50.0 | 40.0 to 55.0 | 60.0"
    missed = "1 | 2 of 3 | 1 of 2 | 12.5 |"
    assert lines[2] == f"| ibuprofen | {shared} | 30.0 | 8.2 | failed | {missed}"
    assert lines[3] == f"| aspirin | {shared} |  |  | not run | {missed}"
    assert lines[5] == "Efficiency of 2 molecules: median 50.0 %, least 50.0 %."
    assert lines[7].startswith("Without a result, and not in the median: melatonin, lidocaine")
    assert json.loads(kept.read_text())["ibuprofen"]["forward"] == forward
