"""What peers_tabg.py and peers_fab.py share: a clock, a counted energy, what their code lacks here.

It runs in the peers' own environments: nothing of this package is imported, unless our energy is asked for.
"""

import argparse
import importlib.abc
import importlib.machinery
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch


class OutOfTime(BaseException):
    """The minutes are over. No `Exception`: their loops catch those and go on."""


class Clock:
    """Ends a training at its deadline, in `check`; where that hangs, a minute later by an alarm."""

    def __init__(self, minutes: float) -> None:
        self.limit, self.began, self.running = 60 * minutes, time.perf_counter(), True
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, self.limit + 60)

    def _ring(self, *_: object) -> None:
        if self.running:
            raise OutOfTime

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began

    @property
    def left(self) -> float:
        return self.limit - self.seconds

    def check(self, *_: object) -> None:
        """Raise OutOfTime past the deadline: a hook of every optimizer's step and of every energy."""
        if self.running and self.left < 0:
            raise OutOfTime

    def stop(self) -> float:
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.running = False
        return self.seconds


class Counted:
    """An energy of positions (n, 66) that counts configurations and looks at the clock."""

    def __init__(self, energy: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.energy, self.n = energy, 0
        self.check: Callable[[], None] = lambda: None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.check()
        self.n += len(x)
        return self.energy(x)


class _OnCpu(importlib.machinery.SourceFileLoader):
    def get_data(self, path: str) -> bytes:
        data = super().get_data(path)
        if path.endswith(".py"):
            data = data.replace(b'"cuda"', b'"cpu"').replace(b".cuda()", b".cpu()")
        return data

    def get_code(self, fullname: str) -> types.CodeType:
        # Not from a cache: that would be of the file as it stands.
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class OnCpu(importlib.abc.MetaPathFinder):
    """Import a package as if its source said `cpu` wherever it says `cuda`; its files stay as they are."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] != self.package:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _OnCpu(name, spec.loader.path)
        return spec


def old_names() -> None:
    """Names that numpy and MDTraj had when the peers were written, and no fab.py of this folder."""
    import mdtraj

    here = Path(__file__).resolve().parent
    sys.path[:] = [p for p in sys.path if Path(p).resolve() != here]
    for name, value in {"infty": np.inf, "row_stack": np.vstack, "int": int}.items():
        if name not in np.__dict__:
            setattr(np, name, value)
    mdtraj.version = types.ModuleType("mdtraj.version")
    six = types.ModuleType("mdtraj.utils.six")
    six.PY3, six.string_types = True, (str,)
    sys.modules["mdtraj.utils.six"] = six


class _WithForces(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, energy):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            u = energy(x.reshape(len(x), -1, 3))
            (force,) = torch.autograd.grad(u.sum(), x)
        # Clashes that a loss leaves out must not come back as 0 times infinity.
        ctx.save_for_backward(torch.nan_to_num(force, 0.0, 0.0, 0.0))
        return u.detach()[:, None]

    @staticmethod
    def backward(ctx, grad):
        return ctx.saved_tensors[0] * grad, None


def our_energy(temperature: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Our batched energy in kT of positions (n, 66) in nm, as (n, 1), with forces like their bridges'."""
    for name in [name for name in sys.modules if name.split(".")[0] == "boltzgen"]:
        del sys.modules[name]  # a peer's package of the same name, which has been imported by now
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from boltzgen import ForceFieldEnergy, System

    energy = ForceFieldEnergy(System.load("alanine_dipeptide"), temperature=temperature)
    return lambda x: _WithForces.apply(x, energy)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What both scripts take."""
    parser.add_argument("minutes", type=float)
    parser.add_argument("n", type=int)
    parser.add_argument("output", type=Path)
    parser.add_argument("folder", type=Path, help="a checkout of the peer")
    parser.add_argument("--ours", action="store_true")
    parser.add_argument("--positions", type=Path, help="an .npy of (m, 66) in nm whose energies are wanted")


def versions(**folders: str) -> str:
    """Versions of what computes, and the commits of checkouts where git knows them."""
    import openmm

    found = [f"torch {torch.__version__}", f"openmm {openmm.__version__}", f"numpy {np.__version__}"]
    for name, folder in folders.items():
        done = subprocess.run(
            ["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
        found.append(f"{name} {done.stdout.strip()[:12] or 'of an unknown commit'}")
    return ", ".join(found)


def save(
    output: str,
    draws: tuple[torch.Tensor, torch.Tensor],
    energy: Callable[[torch.Tensor], torch.Tensor],
    positions: Path | None,
    **more: object,
) -> None:
    """Write log-weights (n,) and positions (n, 66) in nm of draws; and energies in kT of given positions."""
    log_w, x = draws
    if positions is not None:
        given = torch.from_numpy(np.load(positions)).to(x.dtype)
        with torch.no_grad():
            more["u_positions"] = energy(given).reshape(-1).double()
    log_w = torch.where(torch.isfinite(log_w), log_w, -torch.inf)
    np.savez(output, log_w=log_w.double(), x=x.reshape(len(x), -1, 3), **more)
