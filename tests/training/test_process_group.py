"""Ranks that are processes: what they exchange, and what becomes of them when one is killed or stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from boltzgen.training.process_group import joined, own_device
from boltzgen.training.ranks import ALONE

WORK = """
import json, os, sys
import torch
from torch import nn
from boltzgen.training.process_group import joined
own = torch.Generator().manual_seed(int(os.environ["RANK"]))
with joined("cpu", timeout=4.0) as (ranks, device):
    parameter = nn.Parameter(torch.zeros(100_003))
    parameter.grad = torch.randn(parameter.shape, generator=own)
    alone = parameter.grad.double()
    ranks.sum_gradients([parameter])
    expected = ranks.total(alone)
    found = {
        "rows": ranks.gather(torch.arange(1.0 + ranks.rank)).tolist(),
        "error": float((parameter.grad - expected).abs().max()),
        "sums": ranks.gather(parameter.grad.double().square().sum().reshape(1)).tolist(),
        "told": ranks.told({"rank": ranks.rank} if ranks.is_writer else None),
        "device": device,
    }
    print(json.dumps(found), flush=True)
    if ranks.rank == 1:
        os.kill(os.getpid(), int(sys.argv[1]))
    ranks.any(True)
"""


@pytest.mark.parametrize(
    "how",
    [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)],
    ids=lambda how: how.name,
)
def test_processes_exchange_and_do_not_wait_for_ever(tmp_path: Path, how: signal.Signals) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shared = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORK, str(int(how))],
            env=shared | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        assert processes[0].stdout is not None
        found = json.loads(processes[0].stdout.readline())
        began = time.monotonic()
        _, err = processes[0].communicate(timeout=60)
        assert "ConnectionError: process 0 of 2 has lost another one" in err
        assert time.monotonic() - began < 30  # 4, and what a busy machine needs to end Python
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert found["rows"] == [0.0, 0.0, 1.0]
    assert found["error"] < 1e-6
    assert found["sums"][0] == found["sums"][1]
    assert (found["told"], found["device"]) == ({"rank": 0}, "cpu")


def test_a_process_by_itself_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    with joined("cuda") as (ranks, device):
        assert ranks is ALONE and device == "cuda"
    with pytest.raises(ValueError, match=r"positive `timeout` in seconds, got 0"), joined("cpu", timeout=0):
        pass


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert own_device("cuda") == "cuda:2"
    assert (own_device("cpu"), own_device("cuda:0")) == ("cpu", "cuda:0")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ValueError, match="a GPU for each of the 3 processes on this machine, got 1"):
        own_device("cuda")
