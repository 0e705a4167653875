"""log Z by simulation alone, beside a generator's: a normal distribution about one basin as the reference.

    python benchmarks/log_z.py SYSTEM [REFERENCE] [--width 60] [--walkers 32] [--frames 200] [--seed 0]
                                      [--quick]

No flow takes part. REFERENCE is that of a simulation, by default the system's own. W is the part of the
domain in which every full torsion is within so many degrees of those of one frame: of fifty of the first half
of the walkers, the one that has most of that half in its W. A normal distribution in flow coordinates is
fitted to the frames in W, and cut off at the edges of W. Its integral over W is known from draws. Hamiltonian
Monte Carlo inside W goes from there to the target by states u = (1 - lambda) u_normal + lambda u_target; MBAR
(pymbar) gives the target's integral over W, with an error by a bootstrap over walkers. The share of W by the
second half of the walkers, with a jackknife's error over them, makes it log Z.

Printed are the share, the moves that were taken and the overlap of neighbouring states, and log Z with its
error; then log Z by either half of the frames.
"""

import argparse
import contextlib
import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.evaluation.metrics import grouped_mean
from boltzgen.evaluation.reference import Reference, reference_path
from boltzgen.generator.annealed_importance import Target
from boltzgen.generator.harmonic import harmonic_reference
from boltzgen.generator.target import PullbackEnergy
from boltzgen.geometry import wrap
from boltzgen.molecule.system import System
from boltzgen.seeding import random_stream

with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    import pymbar

LAMBDAS = (0.0, 0.01, 0.04, 0.12, 0.28, 0.5, 0.75, 1.0)
#: Leapfrog steps of a move, the share of moves that should be taken, moves from one frame to the next, and
#: moves before the first as a share of all others.
N_STEPS, ACCEPTANCE, INTERVAL, BURN_IN = 8, 0.75, 4, 0.2
#: Frames that W is tried about, draws for the integral of the normal distribution, and replicates of the
#: bootstrap.
CANDIDATES, DRAWS, REPLICATES = 50, 200_000, 200
#: Energies [kT] are cut off here, so that none is infinite.
MOST = 1e6
#: Variances are no smaller than this, in units of their median: few frames say little of the narrowest.
FLOOR = 1e-3


@dataclass(frozen=True)
class Window:
    """W, and the normal distribution in it: y = mean + z @ root.

    Attributes:
        centre: full torsions (n_full,) in radians, as flow coordinates.
        width: of each, radians.
        n_rotors: periodic coordinates after them, each in [-pi, pi).
        mean, root: (d,) and (d, d).
    """

    centre: Tensor
    width: float
    n_rotors: int
    mean: Tensor
    root: Tensor

    def inside(self, z: Tensor) -> Tensor:
        """Whether y of z (n, d) lies in W, bool (n,)."""
        y, n = self.mean + z @ self.root, len(self.centre)
        near = ((y[:, :n] - self.centre).abs() < self.width).all(-1)
        return near & (y[:, n : n + self.n_rotors].abs() < math.pi).all(-1)

    def wrapped(self, z: Tensor) -> Tensor:
        """y of z (n, d), torsions in [-pi, pi)."""
        y = self.mean + z @ self.root
        n = len(self.centre)
        return torch.cat((wrap(y[:, :n]), y[:, n:]), dim=-1)

    @property
    def log_normaliser(self) -> float:
        """log of the integral of exp(-|z|^2 / 2) over y."""
        return 0.5 * len(self.mean) * math.log(2 * math.pi) + float(torch.linalg.slogdet(self.root).logabsdet)


def near(y: Tensor, centre: Tensor, width: float) -> Tensor:
    """Whether all full torsions of y (n, d) are within the width of the centre (n_full,), bool (n,)."""
    return (wrap(y[:, : len(centre)] - centre).abs() < width).all(-1)


def unwrapped(y: Tensor, centre: Tensor) -> Tensor:
    """y (n, d) with full torsions within pi of the centre (n_full,)."""
    n = len(centre)
    return torch.cat((centre + wrap(y[:, :n] - centre), y[:, n:]), dim=-1)


def window_of(y: Tensor, n_full: int, n_rotors: int, width: float) -> tuple[Window, Tensor]:
    """W about one of the frames y (n, d), with the normal distribution of those in it, and these."""
    tried = y[torch.linspace(0, len(y) - 1, CANDIDATES).long(), :n_full]
    counts = [int(near(y, centre, width).sum()) for centre in tried]
    centre = tried[int(np.argmax(counts))]
    inside = y[near(y, centre, width)]
    found = unwrapped(inside, centre)
    values, vectors = torch.linalg.eigh(torch.cov(found.T))
    root = (values.clamp(min=FLOOR * float(values.median())).sqrt() * vectors).T
    return Window(centre, width, n_rotors, found.mean(0), root), inside


class Path:
    """States of all lambdas, each with its walkers, moved together.

    Args:
        window, target: as above.
        y: where the walkers of each state start, (n_walkers, d).
        stream: of randomness.
    """

    def __init__(self, window: Window, target: Target, y: Tensor, stream: torch.Generator) -> None:
        self.window, self.target, self.stream = window, target, stream
        self.n_walkers = len(y)
        self.scale = torch.tensor(LAMBDAS, dtype=y.dtype).repeat_interleave(self.n_walkers)
        z = torch.linalg.solve(window.root.T, (unwrapped(y, window.centre) - window.mean).T).T
        self.z = z.repeat(len(LAMBDAS), 1)
        self.step = torch.full((len(LAMBDAS),), 0.2, dtype=y.dtype)
        self.u, self.gradient = self._evaluate(self.z)

    def _evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """u of the target and the gradient of the state's own u, by z."""
        u, gradient = self.target.value_and_gradient(self.window.wrapped(z))
        gradient = self.scale[:, None] * (gradient @ self.window.root.T) + (1 - self.scale)[:, None] * z
        return u.clamp(max=MOST).nan_to_num(nan=MOST), gradient

    def _own(self, z: Tensor, u: Tensor) -> Tensor:
        return (1 - self.scale) * 0.5 * z.square().sum(-1) + self.scale * u

    def move(self, *, tune: bool) -> Tensor:
        """One move of every walker, and which share of them was taken in each state; the steps are tuned or
        not.
        """
        jitter = 0.8 + 0.4 * torch.rand(len(self.z), generator=self.stream, dtype=self.z.dtype)
        dt = (self.step.repeat_interleave(self.n_walkers) * jitter)[:, None]
        v = torch.randn(self.z.shape, generator=self.stream, dtype=self.z.dtype)
        chance = torch.rand(len(self.z), generator=self.stream, dtype=self.z.dtype)
        before = 0.5 * v.square().sum(-1) + self._own(self.z, self.u)
        z, u, gradient = self.z, self.u, self.gradient
        v = v - 0.5 * dt * gradient
        for n in range(N_STEPS):
            z = z + dt * v
            u, gradient = self._evaluate(z)
            v = v - (1.0 if n < N_STEPS - 1 else 0.5) * dt * gradient
        after = 0.5 * v.square().sum(-1) + self._own(z, u)
        taken = self.window.inside(z) & (u < MOST) & (chance.log() < before - after)
        self.z = torch.where(taken[:, None], z, self.z)
        self.u = torch.where(taken, u, self.u)
        self.gradient = torch.where(taken[:, None], gradient, self.gradient)
        share = taken.view(len(LAMBDAS), -1).to(z).mean(-1)
        if tune:
            self.step = self.step * torch.exp(0.1 * (share - ACCEPTANCE))
        return share


@dataclass(frozen=True)
class Integral:
    """log of the target's integral over W, in parts.

    Attributes:
        log: itself.
        path_error, normal_error: standard errors of what the path gives, and of the normal distribution's
            part in W.
        halves: by the first and by the second half of the frames.
        acceptance: of each state's moves.
        overlap: of neighbouring states.
    """

    log: float
    path_error: float
    normal_error: float
    halves: tuple[float, float]
    acceptance: list[float]
    overlap: list[float]


def solved(u: np.ndarray, start: np.ndarray | None = None) -> pymbar.MBAR:
    """MBAR of u (2, states, walkers, frames), that of the normal distribution and that of the target."""
    flat, scale = u.reshape(2, -1), np.array(LAMBDAS)[:, None]
    counts = np.full(len(LAMBDAS), u[0, 0].size)
    states = (1 - scale) * flat[0] + scale * flat[1]
    return pymbar.MBAR(states, counts, initial_f_k=start, solver_protocol="robust")


def integral(
    window: Window, target: Target, starts: Tensor, n_frames: int, stream: torch.Generator, *, replicates: int
) -> Integral:
    """The integral of exp(-u) over W by walkers from starts (n_walkers, d), n_frames frames of each state."""
    z = torch.randn(DRAWS, len(window.mean), generator=stream, dtype=starts.dtype)
    held = torch.cat([window.inside(part) for part in z.split(10_000)]).double()
    of_normal = window.log_normaliser + math.log(float(held.mean()))
    path = Path(window, target, starts, stream)
    for _ in range(max(1, int(BURN_IN * n_frames * INTERVAL))):
        path.move(tune=True)
    frames, taken = [], []
    for _ in range(n_frames):
        taken += [path.move(tune=False) for _ in range(INTERVAL)]
        frames.append(torch.stack((0.5 * path.z.square().sum(-1), path.u)).view(2, len(LAMBDAS), -1))
    u = torch.stack(frames, dim=-1).double().numpy()
    whole = solved(u)
    draw = np.random.default_rng(torch.randint(2**31, (), generator=stream).item())
    picks = draw.integers(len(starts), size=(replicates, len(starts)))
    logs = [log_of(solved(u[:, :, pick], whole.f_k)) for pick in picks]
    half = n_frames // 2
    first, second = (of_normal + log_of(solved(part)) for part in (u[..., :half], u[..., half:]))
    return Integral(
        log=of_normal + log_of(whole),
        path_error=float(np.std(logs, ddof=1)),
        normal_error=float(((1 - held.mean()) / held.sum()).sqrt()),
        halves=(first, second),
        acceptance=torch.stack(taken).mean(0).tolist(),
        overlap=np.diag(whole.compute_overlap()["matrix"], 1).tolist(),
    )


def log_of(mbar: pymbar.MBAR) -> float:
    return float(mbar.f_k[0] - mbar.f_k[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("system")
    parser.add_argument("reference", nargs="?")
    parser.add_argument("--width", type=float, default=60.0, help="of W in degrees, to either side")
    parser.add_argument("--walkers", type=int, default=32)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.walkers, options.frames = 4, 5
    system = System.load(options.system)
    energy = CountedEnergy(energy_for(system))
    try:
        reference = Reference.load(options.reference or reference_path(system), system)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    coordinates = harmonic_reference(system, energy).coordinates.float()
    y, walker = coordinates.inverse(reference.x)[0], reference.walker
    first = walker % 2 == 0
    width = math.radians(options.width)
    window, inside = window_of(y[first], coordinates.n_full, coordinates.n_rotors, width)
    share, error = grouped_mean(near(y[~first], window.centre, width).numpy(), walker[~first].numpy())
    print(
        f"W: {100 * share:.2f} +- {100 * error:.2f} % of {int((~first).sum())} frames of "
        f"{len(walker[~first].unique())} walkers; {coordinates.n_full} full torsions, {y.shape[1]} flow "
        "coordinates"
    )
    stream = random_stream("cpu", options.seed)
    starts = inside[torch.randint(len(inside), (options.walkers,), generator=stream)]
    found = integral(
        window,
        PullbackEnergy(energy, coordinates),
        starts,
        options.frames,
        stream,
        replicates=10 if options.quick else REPLICATES,
    )
    print("moves taken by state: " + " ".join(f"{a:.2f}" for a in found.acceptance))
    print("overlap of neighbours: " + " ".join(f"{o:.3f}" for o in found.overlap))
    parts = (found.path_error, error / share, found.normal_error)
    print(
        f"log Z {found.log - math.log(share):.4f} +- {math.hypot(*parts):.4f} (path {parts[0]:.4f}, share "
        f"{parts[1]:.4f}, normal {parts[2]:.4f}); {energy.n_evaluations:.3g} energies with forces"
    )
    print("by either half of the frames: " + " ".join(f"{h - math.log(share):.4f}" for h in found.halves))


if __name__ == "__main__":
    main()
