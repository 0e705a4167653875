"""OpenMMEnergy in worker processes: same numbers, no hang, whatever happens to a worker."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import openmm
import pytest
import torch
from torch import Tensor

from boltzgen.energy import OpenMMEnergy, WorkerError
from boltzgen.molecule.system import System


def gone(pid: int) -> bool:
    """Whether the process has ended, waiting for a while."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")


@pytest.fixture(scope="module")
def pool(alanine: System) -> Iterator[OpenMMEnergy]:
    with OpenMMEnergy(alanine, workers=2) as energy:
        yield energy


def fresh(alanine: System, **options: float) -> OpenMMEnergy:
    """An energy whose one worker runs."""
    energy = OpenMMEnergy(alanine, workers=1, **options)
    energy(alanine.positions)
    return energy


@pytest.mark.parametrize("count", [0, 1, 2, 3, 200])
def test_identical_to_this_process(
    pool: OpenMMEnergy, alanine: System, distorted_frames: Tensor, count: int
) -> None:
    x = distorted_frames[:count].clone().requires_grad_()
    ours, reference = pool(x), OpenMMEnergy(alanine)(x)
    assert torch.equal(ours, reference)
    assert torch.equal(torch.autograd.grad(ours.sum(), x)[0], torch.autograd.grad(reference.sum(), x)[0])
    assert torch.equal(pool(x.detach()), reference)


def test_work_is_split_and_temperatures_share_the_workers(
    pool: OpenMMEnergy, distorted_frames: Tensor
) -> None:
    hot = pool.at(1200.0)
    hot(distorted_frames)
    assert hot.engine is pool.engine
    assert len({process.pid for process in pool.engine.processes}) == 2

    def seconds() -> list[int]:
        stats = [
            Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            for process in pool.engine.processes
        ]
        return [int(fields[11]) for fields in stats]

    before = seconds()
    pool(distorted_frames.repeat(4, 1, 1))
    assert all(after > earlier for after, earlier in zip(seconds(), before, strict=True))


def test_workers_do_without_pytorch(pool: OpenMMEnergy, alanine: System) -> None:
    """Which would take seconds to start, and hundreds of megabytes."""
    pool(alanine.positions)
    for process in pool.engine.processes:
        loaded = Path(f"/proc/{process.pid}/maps").read_text()
        assert "libOpenMM" in loaded and "libtorch" not in loaded


def test_a_bad_configuration_stays_in_its_row(pool: OpenMMEnergy, alanine: System) -> None:
    x = alanine.positions.repeat(5, 1, 1)
    x[1, 0, 0], x[3, 4, 2] = float("nan"), float("inf")
    x.requires_grad_()
    u = pool(x)
    (gradient,) = torch.autograd.grad(u.sum(), x)
    good = torch.tensor([0, 2, 4])
    assert torch.isfinite(u).tolist() == [True, False, True, False, True]
    assert torch.equal(u[good], OpenMMEnergy(alanine)(alanine.positions).expand(3))
    assert torch.isfinite(gradient[good]).all()


def test_second_derivatives_raise(pool: OpenMMEnergy, alanine: System) -> None:
    x = alanine.positions.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(pool(x), x, create_graph=True)
    with pytest.raises(RuntimeError, match="first derivatives only"):
        torch.autograd.grad(gradient.square().sum(), x)


@pytest.mark.parametrize(("properties", "threads"), [({}, "1"), ({"Threads": "2"}, "2")])
@pytest.mark.slow
def test_workers_of_the_cpu_platform_have_one_thread_each(
    alanine: System, properties: dict[str, str], threads: str
) -> None:
    with OpenMMEnergy(alanine, platform="CPU", properties=properties, workers=1) as energy:
        assert energy.engine._arguments[1:] == ("CPU", {"Threads": threads})
        torch.testing.assert_close(
            energy(alanine.positions), OpenMMEnergy(alanine)(alanine.positions), rtol=1e-5, atol=0
        )


def test_workers_end_with_the_block_and_stay_ended(alanine: System) -> None:
    with OpenMMEnergy(alanine, workers=2) as energy:
        assert energy.engine.processes == []
        energy(alanine.positions)
        pids = [process.pid for process in energy.engine.processes]
        assert len(pids) == 2
    assert all(gone(pid) for pid in pids)
    energy.close()
    with pytest.raises(WorkerError, match="closed"):
        energy(alanine.positions)


@pytest.mark.slow
def test_workers_end_with_the_last_energy(alanine: System) -> None:
    energy = fresh(alanine)
    hot, pid = energy.at(400.0), energy.engine.processes[0].pid
    del energy
    gc.collect()
    hot(alanine.positions)
    del hot
    gc.collect()
    assert gone(pid)


def test_a_killed_worker_is_one_clear_error(alanine: System, distorted_frames: Tensor) -> None:
    with OpenMMEnergy(alanine, workers=2) as energy:
        energy(alanine.positions)
        first, second = (process.pid for process in energy.engine.processes)
        os.kill(second, signal.SIGKILL)
        with pytest.raises(WorkerError, match="worker died .exit code -9."):
            energy(distorted_frames)
        assert gone(first)
        with pytest.raises(WorkerError, match="closed"):
            energy(distorted_frames)


@pytest.mark.parametrize("count", [1, pytest.param(4096, marks=pytest.mark.slow)])
def test_a_stopped_worker_times_out(alanine: System, count: int) -> None:
    """One message fits into the pipe, the other blocks the sender."""
    energy = fresh(alanine, timeout=60.0)
    energy.engine._timeout = 0.5
    pid = energy.engine.processes[0].pid
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(WorkerError, match="did not answer within 0.5 s"):
        energy(alanine.positions.repeat(count, 1, 1))
    assert gone(pid)


def test_a_context_that_cannot_be_made_says_why(alanine: System) -> None:
    broken = openmm.XmlSerializer.clone(alanine.openmm_system)
    force = openmm.CustomBondForce("nonsense(r)")
    force.addBond(0, 1, [])
    broken.addForce(force)
    energy = OpenMMEnergy(System(alanine.topology, broken, alanine.positions), workers=1)
    with pytest.raises(WorkerError, match="worker failed: .*nonsense"):
        energy(alanine.positions)


@pytest.mark.parametrize(
    ("options", "names"),
    [({"workers": 0}, "workers must be"), ({"workers": 1, "timeout": 0.0}, "timeout must be")],
)
def test_options_out_of_range(alanine: System, options: dict[str, float], names: str) -> None:
    with pytest.raises(ValueError, match=names):
        OpenMMEnergy(alanine, **options)


def run(tmp_path: Path, body: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(body))
    return subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )


PRELUDE = """
import sys
sys.path.insert(0, ".")
from boltzgen.energy import OpenMMEnergy
from boltzgen.molecule.system import System

system = System.load("alanine_dipeptide")
energy = OpenMMEnergy(system, workers=1)
"""


@pytest.mark.slow
def test_the_interpreter_exits_without_close(tmp_path: Path) -> None:
    body = (
        PRELUDE
        + "if __name__ == '__main__':\n    energy(system.positions)\n"
        + "    print(energy.engine.processes[0].pid)\n"
    )
    result = run(tmp_path, body)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert gone(int(result.stdout))


@pytest.mark.slow
def test_a_script_without_a_guard_is_told(tmp_path: Path) -> None:
    result = run(tmp_path, PRELUDE + "energy(system.positions)\n")
    assert result.returncode == 1
    assert (
        "WorkerError: an OpenMM worker died (exit code 1); a script that starts workers needs `if __name__ "
        "== '__main__':`" in result.stderr
    )
