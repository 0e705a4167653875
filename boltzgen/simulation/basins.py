"""Basins that draws hardly reach: minima near new torsions, and what the generator's density is there."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import Energy
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.target import PullbackEnergy
from boltzgen.geometry import dihedrals, wrap
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.seeding import random_stream
from boltzgen.simulation.integrator import Integrator
from boltzgen.simulation.start import descend, inside_domain

#: Steps of the descent, and after it of Newton's method on those that the generator hardly draws.
_DESCENT, _NEWTON = 300, 5
#: Minima that are looked at more closely, those of the highest density first.
_MOST = 32
#: Minima within this of each other in every torsion, in radians, count as one.
_SAME = 0.35
#: Least curvature of log p along a direction, in the coordinates' units: a standard deviation of 2.
_FLATTEST = 0.25
#: Difference of the second derivatives, in the coordinates' own units.
_DIFFERENCE = 5e-3
#: Fractions of Newton's step that are tried.
_FRACTIONS = (1.0, 0.5, 0.25, 0.1, 0.03)
#: Draws from the normal distribution about each minimum; conformations in a batch.
_DRAWS, _BATCH = 512, 4096
_STREAM = 2**34


@dataclass(frozen=True)
class Basin:
    """A place around a minimum that the generator draws too rarely.

    Attributes:
        share: of the target that is there and drawn too rarely.
        error: its standard error.
        log_w: log p/q at the minimum.
        torsions: there, in degrees, by name.
    """

    share: float
    error: float
    log_w: float
    torsions: dict[str, float]


@torch.no_grad()
def unseen_basins(
    generator: BoltzmannGenerator,
    energy: Energy,
    integrator: Integrator,
    samples: WeightedSamples,
    *,
    n_starts: int,
    threshold: float,
    seed: int,
) -> list[Basin]:
    """Basins where log p/q is above a threshold, the largest first.

    Conformations of the samples get between one and all of their torsions anew, uniformly, and descend to a
    minimum. Those where log p/q is above the threshold are the centres of normal distributions with the
    curvature of log p; draws from all of these, weighted by importance, give the share of the target that is
    near them and where log p/q is above the threshold.

    What no start comes near is not found; and a share, of a single normal distribution in many dimensions, is
    more often too small than too large.

    Args:
        generator: q.
        energy: of its system at the target's temperature, on the generator's device.
        integrator: its rigid bonds are kept.
        samples: of the generator, with weights.
        n_starts: minima that are looked for.
        threshold: in units of the mean weight.
        seed: of starts and draws.
    """
    coordinates, log_z = generator.coordinates, samples.log_z.value
    if n_starts == 0 or coordinates.n_full == 0:
        return []
    stream = random_stream("cpu", seed, _STREAM)
    drawn = samples.resample(n_starts, seed).x.to(generator.device).double()
    y = _turned(coordinates, coordinates.inverse(coordinates.canonical(drawn))[0], stream)
    x, potential = descend(energy, integrator, coordinates(y)[0].float(), _DESCENT)
    x = coordinates.canonical(x[potential.isfinite() & inside_domain(coordinates, x)].double())
    target = _Target(generator, energy, log_z)
    y = coordinates.inverse(x)[0]
    y = _apart(target, y[target.log_w(y) > threshold])[:_MOST] if len(y) else y
    if len(y) == 0:
        return []
    for _ in range(_NEWTON):
        y = target.climb(y)
    y = _apart(target, y[target.log_w(y) > threshold])
    if len(y) == 0:
        return []
    share, error = _shares(target, y, threshold, stream)
    system, x = generator.system, coordinates(y)[0]
    angles = {name: torch.rad2deg(dihedrals(x, atoms)) for name, atoms in system.torsions.items()}
    found = [
        Basin(
            float(share[k]),
            float(error[k]),
            float(log_w),
            {name: round(float(values[k]), 1) for name, values in angles.items()},
        )
        for k, log_w in enumerate(target.log_w(y))
    ]
    return sorted(found, key=lambda basin: -basin.share)


def as_rows(basins: Sequence[Basin], names: Collection[str]) -> Tensor:
    """Basins as numbers, float64 (n, 3 + len(names)), which processes can exchange."""
    rows = [[basin.share, basin.error, basin.log_w, *basin.torsions.values()] for basin in basins]
    return torch.tensor(rows, dtype=torch.float64).view(-1, 3 + len(names))


def from_rows(rows: Tensor, names: Collection[str]) -> list[Basin]:
    """The basins of `as_rows`, the largest first; of several with the same torsions that one alone."""
    found: list[Basin] = []
    kept: list[Tensor] = []
    for row in rows[rows[:, 0].argsort(descending=True)]:
        angles = torch.deg2rad(row[3:])
        if all(bool((wrap(angles - other).abs() > _SAME).any()) for other in kept):
            kept.append(angles)
            share, error, log_w, *torsions = row.tolist()
            found.append(Basin(share, error, log_w, dict(zip(names, torsions, strict=True))))
    return found


def _turned(coordinates: MolecularCoordinates, y: Tensor, stream: torch.Generator) -> Tensor:
    """Flow coordinates y (n, d) with between one and all of their full torsions drawn anew."""
    n, m = len(y), coordinates.n_full
    order = torch.rand(n, m, generator=stream).argsort(-1)
    chosen = order < torch.randint(1, m + 1, (n, 1), generator=stream)
    anew = math.pi * (2 * torch.rand(n, m, generator=stream, dtype=y.dtype) - 1)
    y[:, :m] = torch.where(chosen.to(y.device), anew.to(y.device), y[:, :m])
    return y


class _Target:
    """The target's density over flow coordinates, and what the generator's lacks of it."""

    def __init__(self, generator: BoltzmannGenerator, energy: Energy, log_z: float) -> None:
        self.coordinates, self.generator, self.log_z = generator.coordinates, generator, log_z
        self.reduced = PullbackEnergy(energy, generator.coordinates)

    def log_p(self, y: Tensor) -> Tensor:
        """log of the density over y, float64 (n,); -inf outside the domain."""
        found = [-self.reduced(some).double() - self.log_z for some in y.split(_BATCH)]
        return torch.cat(found).nan_to_num(-math.inf, math.inf, -math.inf)

    def log_w(self, y: Tensor) -> Tensor:
        """log p/q, float64 (n,); inf where the generator has no density but the target has some."""
        log_q = [self._log_q(some) for some in y.split(_BATCH)]
        log_p = self.log_p(y)
        return torch.where(log_p > -math.inf, log_p - torch.cat(log_q), log_p)

    def _log_q(self, y: Tensor) -> Tensor:
        x, log_det = self.coordinates(y)
        return self.generator.log_prob(x).double() + log_det

    def gradient(self, y: Tensor) -> Tensor:
        """Of `log_p`, (n, d); zero where it is not finite."""
        return torch.cat([-self.reduced.value_and_gradient(some)[1] for some in y.split(_BATCH)])

    def curvature(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Eigenvalues (n, d) and eigenvectors (n, d, d) of minus the second derivatives of `log_p`."""
        n, d = y.shape
        found = torch.empty(n, d, d, dtype=y.dtype, device=y.device)
        shift = _DIFFERENCE * torch.eye(d, dtype=y.dtype, device=y.device)
        for k in range(n):
            up, down = self.gradient(torch.cat((y[k] + shift, y[k] - shift))).chunk(2)
            found[k] = (down - up) / (2 * _DIFFERENCE)
        values, vectors = torch.linalg.eigh((found + found.mT) / 2)
        return values, vectors

    def climb(self, y: Tensor) -> Tensor:
        """The best of fractions of Newton's step, with curvatures taken as positive; or y itself."""
        values, vectors = self.curvature(y)
        gradient = self.gradient(y)[..., None]
        step = (vectors @ ((vectors.mT @ gradient) / values.abs().clamp_min(_FLATTEST)[..., None]))[..., 0]
        best, at = self.log_p(y), y
        for fraction in _FRACTIONS:
            there = y + fraction * step
            there[:, : self.coordinates.n_periodic] = wrap(there[:, : self.coordinates.n_periodic])
            log_p = self.log_p(there)
            better = log_p > best
            best, at = torch.where(better, log_p, best), torch.where(better[:, None], there, at)
        return at


def _apart(target: _Target, y: Tensor) -> Tensor:
    """Of flow coordinates y those with other torsions than any of higher density, the highest first."""
    if len(y) == 0:
        return y
    y = y[target.log_p(y).argsort(descending=True)]
    kept: list[int] = []
    m = target.coordinates.n_full
    for k in range(len(y)):
        gaps = wrap(y[kept, :m] - y[k, :m]).abs().amax(-1)
        if bool((gaps > _SAME).all()):
            kept.append(k)
    return y[kept]


def _shares(
    target: _Target, centres: Tensor, threshold: float, stream: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Share of the target about each centre (n, d) where log p/q is above the threshold, and its error."""
    n, d = centres.shape
    m = target.coordinates.n_periodic
    values, vectors = target.curvature(centres)
    values = values.clamp_min(_FLATTEST)
    offset = torch.randn(n, _DRAWS, d, generator=stream, dtype=centres.dtype).to(centres.device)
    offset = (offset / values.sqrt()[:, None]) @ vectors.mT
    # Beyond half a turn another centre's images would begin.
    is_near = (offset[..., :m].abs() < math.pi).all(-1).flatten()
    y = (centres[:, None] + offset).flatten(0, 1)
    y[:, :m] = wrap(y[:, :m])
    log_g = torch.full((len(y),), -math.inf, dtype=y.dtype, device=y.device)
    for k in range(n):
        apart = y - centres[k]
        apart[:, :m] = wrap(apart[:, :m])
        along = (apart @ vectors[k]).square() @ values[k]
        normal = 0.5 * (values[k].log().sum() - d * math.log(2 * math.pi) - along)
        log_g = torch.logaddexp(log_g, normal)
    log_p = target.log_p(y)
    counts = is_near & (target.log_w(y) > threshold)
    log_parts = torch.where(counts, log_p - log_g, -math.inf).view(n, _DRAWS)
    # In units of the largest: a generator that is not trained misses more than numbers can hold.
    unit = log_parts.max().clamp_min(0.0)
    parts = (log_parts - unit).exp()
    # The partition function is that of the draws, which lacks what is found here.
    whole = (-unit).exp() + parts.mean(-1).sum()
    return parts.mean(-1) / whole, parts.std(-1) / math.sqrt(_DRAWS) / whole
