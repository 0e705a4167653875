"""The scripts for clusters run on one machine, as far as one machine can."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import boltzgen
from boltzgen.samples.file import read_header
from boltzgen.statistics.file import load_statistics
from tests.helpers.statistics import assert_same

EXAMPLES = Path(boltzgen.__file__).parents[1] / "examples" / "cluster"
PROGRAMS = Path(sys.executable).parent


def run(command: list[str], folder: Path, **environment: str) -> str:
    settings = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", **environment}
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_job_array_draws_what_one_job_does(tmp_path: Path) -> None:
    n = "10000"
    for k in ("2", "1"):
        jobs = {"SLURM_ARRAY_TASK_ID": k, "SLURM_ARRAY_TASK_MAX": "2", "N": n}
        run(["bash", str(EXAMPLES / "job_array.sbatch")], tmp_path, **jobs)
    boltzgen.merge([tmp_path / "part_1.h5", tmp_path / "part_2.h5"], tmp_path / "all.h5")
    jobs = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_MAX": "1", "N": n}
    (tmp_path / "one").mkdir()
    run(["bash", str(EXAMPLES / "job_array.sbatch")], tmp_path / "one", **jobs)
    assert_same(load_statistics(tmp_path / "all.h5"), load_statistics(tmp_path / "one" / "part_1.h5"))


@pytest.mark.slow
def test_workers_of_one_machine_take_the_place_of_slurms(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    script = [sys.executable, str(EXAMPLES / "dask_slurm.py"), "alanine_dipeptide", "-n", "20000"]
    out = run([*script, "-o", "s.h5", "--local", "1", "--json"], tmp_path)
    assert json.loads(out)["n_samples"] == 20_000
    assert read_header(tmp_path / "s.h5").n_samples == 20_000


@pytest.mark.slow
def test_torchrun_trains_by_two_processes(tmp_path: Path) -> None:
    settings = {
        "LAUNCH": "",
        "HEAD_NODE": "localhost",
        "PROCESSES": "2",
        "PORT": "0",
        "ARGUMENTS": "--rounds 1",
    }
    run(["bash", str(EXAMPLES / "torchrun.sbatch")], tmp_path, **settings)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["hardware"]["processes"] == 2
