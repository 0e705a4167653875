"""What other trainings run under: a clock that ends them, a count of energies, an import without CUDA."""

import importlib
import runpy
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks"
tools = SimpleNamespace(**runpy.run_path(str(FOLDER / "peers_tools.py")))


def test_a_training_that_catches_every_exception_ends_at_its_deadline():
    clock = tools.Clock(0.2 / 60)
    with pytest.raises(tools.OutOfTime):
        while True:
            try:
                clock.check()
            except Exception:  # what is no `Exception` passes
                pass
    assert 0.2 <= clock.stop() < 5
    clock.check()  # stopped: draws take the time they take


def test_an_alarm_ends_what_never_looks_at_the_clock():
    clock = tools.Clock(-59.8 / 60)
    with pytest.raises(tools.OutOfTime):
        time.sleep(20)
    clock.stop()


def test_energies_are_counted_one_for_each_configuration():
    energy = tools.Counted(lambda x: x.sum(1))
    energy(torch.ones(3, 66))
    energy(torch.ones(4, 66))
    assert energy.n == 7


def test_a_package_runs_as_if_its_source_said_cpu_and_stays_as_it_is(tmp_path, monkeypatch):
    source = 'import torch\n\nx = torch.ones(2, device="cuda")\ny = torch.zeros(2).cuda()\n'
    (tmp_path / "cudapeer").mkdir()
    (tmp_path / "cudapeer" / "__init__.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", [tools.OnCpu("cudapeer"), *sys.meta_path])
    module = importlib.import_module("cudapeer")
    assert module.x.device.type == module.y.device.type == "cpu"
    assert (tmp_path / "cudapeer" / "__init__.py").read_text() == source


def test_what_is_no_number_weighs_nothing(tmp_path):
    file = str(tmp_path / "draws.npz")
    np.save(tmp_path / "positions.npy", np.ones((5, 66)))
    log_w = torch.tensor([0.0, torch.nan, torch.inf])
    tools.save(file, (log_w, torch.zeros(3, 66)), lambda x: x.sum(1), tmp_path / "positions.npy", seconds=1.0)
    with np.load(file) as found:
        assert found["log_w"].tolist() == [0.0, -np.inf, -np.inf]
        assert found["x"].shape == (3, 22, 3)
        assert found["u_positions"].tolist() == [66.0] * 5
