"""What calls compiled kernels: chunks and threads, and everything without numba."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import torch

from boltzgen.kernels import runtime


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize(("batch", "numbers"), [(0, 0), (1, 10), (64, 0), (1000, 10**6), (1000, 10**9)])
def test_every_element_is_computed_once(
    threads: Callable[[int], None], n_threads: int, batch: int, numbers: int
) -> None:
    threads(n_threads)
    counts = torch.zeros(batch)

    def work(start: int, stop: int) -> None:
        assert start % runtime.LANES == 0
        counts[start:stop] += 1

    runtime.run(work, batch=batch, numbers=numbers)
    assert (counts == 1).all()


def test_errors_of_any_thread_are_raised(threads: Callable[[int], None]) -> None:
    threads(2)

    def work(start: int, stop: int) -> None:
        raise ArithmeticError(f"{start}")

    with pytest.raises(ArithmeticError):
        runtime.run(work, batch=1000, numbers=10**9)


WITHOUT_NUMBA = """
import logging, sys
sys.modules["numba"] = None

import torch
from boltzgen.energy import ForceFieldEnergy
from boltzgen.flow.spline import periodic_spline, spline_with_tails
from boltzgen.flow.triangular import TriangularAffine
from boltzgen.geometry import wrap
from boltzgen.kernels import forces, splines, triangular
from boltzgen.molecule.system import System

records = []
handler = logging.Handler()
handler.emit = records.append
logging.getLogger("boltzgen").addHandler(handler)

system = System.load("alanine_dipeptide")
energy = ForceFieldEnergy(system)
x = system.positions.float()[None].requires_grad_()
assert not energy.compiled.ready(x)
u = energy(x)
torch.autograd.grad(u.sum(), x, retain_graph=True)
torch.testing.assert_close(u.double(), energy(x.double()), rtol=0, atol=1e-2)

generator = torch.Generator().manual_seed(0)
angles, raw = torch.randn(3, 100, generator=generator), torch.randn(25, 3, 100, generator=generator)
y, _ = periodic_spline(angles, raw, inverse=False)
back, _ = periodic_spline(y, raw, inverse=True)
assert wrap(back - angles).abs().max() < 1e-3
y, _ = spline_with_tails(angles, raw[:23], bound=2.0, inverse=False)
back, _ = spline_with_tails(y, raw[:23], bound=2.0, inverse=True)
assert (back - angles).abs().max() < 1e-3

layer = TriangularAffine(4, 2)
z, context = torch.randn(9, 4, generator=generator), torch.randn(9, 2, generator=generator)
assert (layer.inverse(layer(z, context)[0], context)[0] - z).abs().max() < 1e-4

assert [record.levelname for record in records] == ["WARNING"], records
assert "numba" in records[0].getMessage()
assert not any(name.startswith("boltzgen.kernels.compiled") for name in sys.modules)
"""


def test_without_numba_energies_and_flows_are_torchs_with_one_warning() -> None:
    """In an interpreter of its own, where nothing has imported numba."""
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_NUMBA], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
