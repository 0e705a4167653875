"""How often 95 % intervals of every estimator hold the exact value, on systems where it is known.

    python benchmarks/free_energy_coverage.py [--systems NAME ...] [--errors KIND ...] [--draws 1000]

The systems: sixty harmonic oscillators; a double well; a torsion in a threefold potential; a mixture of
Gaussians in the plane; a harmonic molecule of four atoms whose draws are made in internal coordinates and
weighted by the density of its positions; and harmonic oscillators drawn from too narrow a density, whose
weights have heavy tails. The exact values are from quadrature of each factor of the density.

Of each system a table has the coverage in percent of the repetitions without a warning; how many percent of
all those are ("quiet"); the mean of (estimate - exact) / standard error and its standard deviation ("score");
and the percentage of all repetitions that have no warning and miss ("misled"). A last table has coverage and
quiet ones of all systems.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import logsumexp

from boltzgen.coordinates.internal import InternalCoordinates
from boltzgen.coordinates.zmatrix import ZMatrix
from boltzgen.free_energy.kernel_pmf import kernel_pmf
from boltzgen.free_energy.means import expectation, probability
from boltzgen.free_energy.pmf import Coordinate, histogram_pmf
from boltzgen.free_energy.result import Result
from boltzgen.free_energy.state_functions import energy, free_energy, heat_capacity, minus_ts
from boltzgen.free_energy.temperature import at_temperatures
from boltzgen.geometry import dihedral
from boltzgen.molecule.graph import MolecularGraph

#: Temperature of the target, and another one that the draws are reweighted to.
T, OTHER = 300.0, 330.0
#: Kinds of errors.
ERRORS = ("analytic", "bootstrap")


@dataclass(frozen=True)
class Draws:
    """Reduced energies, log-densities and values of the first coordinate, (n,) each."""

    u: np.ndarray
    log_q: np.ndarray
    s: np.ndarray


@dataclass(frozen=True)
class Factor:
    """One factor of the density: energies in kT on a grid, and the logarithm of the measure of its cells."""

    u: np.ndarray
    log_measure: np.ndarray

    def moments(self, beta: float) -> tuple[float, float, float]:
        """log Z, mean and variance of beta u at beta times the inverse temperature."""
        log_p = self.log_measure - beta * self.u
        log_z = float(logsumexp(log_p))
        p, v = np.exp(log_p - log_z), beta * self.u
        mean = float(p.ravel() @ v.ravel())
        return log_z, mean, float(p.ravel() @ np.square(v - mean).ravel())


@dataclass(frozen=True)
class Example:
    """A system with its proposal, its factors, and the grid of its first coordinate with p(s) on it."""

    draw: Callable[[np.random.Generator, int], Draws]
    factors: list[Factor]
    s: np.ndarray
    density: Callable[[float], np.ndarray]
    bin: tuple[float, float]
    period: float | None = None

    def exact(self) -> dict[str, float]:
        """What every estimator is to find, by its name in the table."""
        found = {}
        for title, beta in (("", 1.0), (" at 330 K", T / OTHER)):
            log_z, mean, variance = (
                sum(part) for part in zip(*(f.moments(beta) for f in self.factors), strict=True)
            )
            found |= {f"F{title}": -log_z, f"U{title}": mean, f"heat capacity{title}": variance}
            found[f"-T S{title}"] = -log_z - mean
            p = self.density(beta)
            low, high = self.bin
            inside = (self.s >= low) & (self.s < high)
            found[f"population{title}"] = float(p[inside].sum() / p.sum())
        p = self.density(1.0)
        p = p / p.sum()
        step = self.s[1] - self.s[0]
        found["mean of cos s"] = float(p @ np.cos(self.s))
        found["PMF, histogram"] = -math.log(found["population"] / (high - low))
        found["PMF, kernel"] = -math.log(float(np.interp((low + high) / 2, self.s, p / step)))
        return found


def estimates(
    draws: Draws, example: Example, seed: int, kinds: Sequence[str]
) -> Iterator[tuple[str, str, Result]]:
    """(name, errors, result) of every estimator that has errors of these kinds."""
    log_w = -draws.u - draws.log_q
    inside = (draws.s >= example.bin[0]) & (draws.s < example.bin[1])
    for errors in kinds:
        options = {"errors": errors, "seed": seed}
        yield "F", errors, free_energy(log_w, **options)
        yield "U", errors, energy(draws.u, log_w, **options)
        yield "-T S", errors, minus_ts(draws.u, log_w, **options)
        yield "heat capacity", errors, heat_capacity(draws.u, log_w, **options)
        yield "mean of cos s", errors, expectation(np.cos(draws.s), log_w, **options)
    if "analytic" not in kinds:
        return
    yield "population", "analytic", probability(inside, log_w)
    (point,) = at_temperatures(draws.u, log_w, T, [OTHER], conditions={"population": inside})
    names = {"free_energy": "F", "energy": "U", "minus_ts": "-T S", "heat_capacity": "heat capacity"}
    for name, found in point.results.items():
        yield f"{names.get(name, name)} at 330 K", "analytic", found
    yield from pmf_estimates(draws, example, log_w)


def pmf_estimates(draws: Draws, example: Example, log_w: np.ndarray) -> Iterator[tuple[str, str, Result]]:
    """-ln p of one bin, and of its centre."""
    coordinate = Coordinate(draws.s, "s", "", example.period)
    for name, make in (("PMF, histogram", histogram_pmf), ("PMF, kernel", kernel_pmf)):
        size = {"n_bins": 1} if make is histogram_pmf else {"n_points": 1}
        found = make([coordinate], log_w, ranges=[example.bin], **size)
        p, low, high = (float(a[0]) for a in (found.density, found.low, found.high))
        if math.isnan(low) or p <= 0:
            continue
        yield (
            name,
            "analytic",
            Result(
                -math.log(p),
                float(found.error[0]) / p,
                -math.log(high),
                -math.log(low) if low > 0 else math.inf,
                warnings=found.warnings,
            ),
        )


def harmonic(n_dims: int, width: float) -> Example:
    """Oscillators with force constants 1 to 100, drawn from normal densities of `width` times theirs."""
    k = np.geomspace(1.0, 100.0, n_dims)

    def draw(rng: np.random.Generator, n: int) -> Draws:
        z = rng.standard_normal((n, n_dims))
        log_q = -0.5 * np.square(z).sum(1) - n_dims * math.log(width * math.sqrt(2 * math.pi))
        s = width * z[:, 0] / math.sqrt(k[0])
        return Draws(0.5 * width**2 * np.square(z).sum(1), log_q + 0.5 * np.log(k).sum(), s)

    x = np.linspace(-10.0, 10.0, 20001)
    log_step = np.full(len(x), math.log(x[1] - x[0]))
    factors = [Factor(0.5 * x**2, log_step - 0.5 * math.log(kk)) for kk in k]
    return Example(draw, factors, x, lambda beta: np.exp(-0.5 * beta * x**2), (0.5, 0.9))


def double_well() -> Example:
    """u = 4 (s^2 - 1)^2 + s / 2, drawn from two normal densities of equal shares."""

    def potential(s: np.ndarray) -> np.ndarray:
        return 4.0 * (s**2 - 1.0) ** 2 + 0.5 * s

    def draw(rng: np.random.Generator, n: int) -> Draws:
        s = 0.35 * rng.standard_normal(n) + rng.choice([-0.95, 0.95], n)
        parts = [-0.5 * ((s - c) / 0.35) ** 2 for c in (-0.95, 0.95)]
        return Draws(potential(s), np.logaddexp(*parts) - math.log(2 * 0.35 * math.sqrt(2 * math.pi)), s)

    s = np.linspace(-3.0, 3.0, 20001)
    u = potential(s)
    factor = Factor(u, np.full(len(s), math.log(s[1] - s[0])))
    return Example(draw, [factor], s, lambda beta: np.exp(-beta * u), (0.7, 0.8))


def torsional(s: np.ndarray) -> np.ndarray:
    """Energy of the torsions, in kT."""
    return 1.5 * (1.0 + np.cos(3 * s)) + 0.7 * np.cos(s - 1.0)


def rotor() -> Example:
    """A torsion in a threefold potential, drawn uniformly."""

    def draw(rng: np.random.Generator, n: int) -> Draws:
        s = rng.uniform(-math.pi, math.pi, n)
        return Draws(torsional(s), np.full(n, -math.log(2 * math.pi)), s)

    s = np.linspace(-math.pi, math.pi, 20000, endpoint=False)
    factor = Factor(torsional(s), np.full(len(s), math.log(s[1] - s[0])))
    return Example(draw, [factor], s, lambda beta: np.exp(-beta * torsional(s)), (-3.0, -2.8), 2 * math.pi)


def mixture() -> Example:
    """Three Gaussians in the plane, drawn from wider ones with other shares."""
    centres, shares = np.array([[-2.0, 0.0], [1.5, 1.0], [0.5, -2.0]]), np.array([0.6, 0.3, 0.1])

    def log_density(x: np.ndarray, shares: np.ndarray, width: float) -> np.ndarray:
        square = np.square(x[..., None, :] - centres).sum(-1) / width**2
        return logsumexp(np.log(shares) - 0.5 * square, axis=-1) - math.log(2 * math.pi * width**2)

    def draw(rng: np.random.Generator, n: int) -> Draws:
        other = np.array([0.4, 0.35, 0.25])
        x = centres[rng.choice(3, n, p=other)] + 0.85 * rng.standard_normal((n, 2))
        return Draws(-log_density(x, shares, 0.7) - 3.0, log_density(x, other, 0.85), x[:, 0])

    s = np.linspace(-7.0, 7.0, 1001)
    plane = np.stack(np.meshgrid(s, s, indexing="ij"), axis=-1)
    u = -log_density(plane, shares, 0.7) - 3.0
    factor = Factor(u, np.full(u.shape, 2 * math.log(s[1] - s[0])))
    return Example(draw, [factor], s, lambda beta: np.exp(-beta * u).sum(1), (-1.6, -1.4))


def molecule() -> Example:
    """Four atoms: harmonic bonds and angles, a torsion; u from positions, log q of positions."""
    graph = MolecularGraph.from_bonds(["H", "O", "O", "H"], [(0, 1), (1, 2), (2, 3)])
    coordinates = InternalCoordinates(ZMatrix.from_graph(graph))
    centre = np.array([0.15] * 3 + [1.95] * 2)
    sigma = np.array([0.005] * 3 + [0.08] * 2)

    def draw(rng: np.random.Generator, n: int) -> Draws:
        z = rng.standard_normal((n, 5))
        r = np.concatenate((centre + 1.15 * sigma * z, rng.uniform(-math.pi, math.pi, (n, 1))), axis=1)
        log_r = -0.5 * np.square(z).sum(1) - np.log(1.15 * sigma * math.sqrt(2 * math.pi)).sum()
        x, log_det = coordinates.forward(torch.from_numpy(r))
        q, _ = coordinates.inverse(x)
        q = q.numpy()
        u = 0.5 * np.square((q[:, :5] - centre) / sigma).sum(1) + torsional(q[:, 5])
        row = coordinates.torsion_index[:, 0]
        s = dihedral(*(x[:, int(i)] for i in row)).numpy()
        return Draws(u, log_r - math.log(2 * math.pi) - log_det.numpy(), s)

    factors = []
    for k in range(5):
        r = centre[k] + sigma[k] * np.linspace(-10.0, 10.0, 4001)
        log_measure = 2 * np.log(r) if k < 3 else np.log(np.sin(r))
        factors.append(Factor(0.5 * ((r - centre[k]) / sigma[k]) ** 2, log_measure + math.log(r[1] - r[0])))
    torsion = rotor()
    return Example(
        draw, [*factors, *torsion.factors], torsion.s, torsion.density, torsion.bin, torsion.period
    )


EXAMPLES: dict[str, Callable[[], Example]] = {
    "harmonic, 60 dimensions": lambda: harmonic(60, 1.04),
    "double well": double_well,
    "torsion rotor": rotor,
    "Gaussian mixture": mixture,
    "molecule in internal coordinates": molecule,
    "harmonic, too narrow": lambda: harmonic(6, 0.6),
}


@dataclass
class Tally:
    """Repetitions of one estimator."""

    quiet: int = 0
    hits: int = 0
    scores: float = 0.0
    squares: float = 0.0

    def add(self, found: Result, exact: float) -> None:
        if found.warnings:
            return
        self.quiet += 1
        self.hits += found.low <= exact <= found.high
        score = (found.value - exact) / found.error if found.error > 0 else 0.0
        self.scores += score
        self.squares += score**2

    def row(self, n: int) -> str:
        """Cells of the table."""
        part = 100 * self.quiet / n
        if part < 3:
            return f"- | {part:.0f} | - | {100 * (self.quiet - self.hits) / n:.1f}"
        covered, mean = 100 * self.hits / self.quiet, self.scores / self.quiet
        spread = math.sqrt(max(self.squares / self.quiet - mean**2, 0.0))
        return f"{covered:.1f} | {part:.0f} | {mean:+.2f} ({spread:.2f}) | {(100 - covered) * part / 100:.1f}"


def measure(
    name: str, n_draws: int, n: int, seed: int, kinds: Sequence[str] = ERRORS
) -> dict[tuple[str, str], Tally]:
    """Tallies of all estimators on one system, over n repetitions, by (name, errors)."""
    example = EXAMPLES[name]()
    exact, found = example.exact(), {}
    for k in range(n):
        rng = np.random.default_rng([seed, k])
        draws = example.draw(rng, n_draws)
        for title, errors, estimate in estimates(draws, example, k, kinds):
            found.setdefault((title, errors), Tally()).add(estimate, exact[title])
    return found


def overview(found: dict[str, dict[tuple[str, str], Tally]], n: int) -> None:
    """Coverage, and in brackets how many had no warning, of all systems side by side."""
    print(f"\n| estimate | errors | {' | '.join(found)} |\n|---|---|{'---|' * len(found)}")
    for key in dict.fromkeys(key for tallies in found.values() for key in tallies):
        rows = [
            tallies[key].row(n).split(" | ") if key in tallies else ["", ""] for tallies in found.values()
        ]
        print(f"| {key[0]} | {key[1]} | {' | '.join(f'{row[0]} ({row[1]})' for row in rows)} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--systems", nargs="+", choices=EXAMPLES, default=list(EXAMPLES), metavar="NAME")
    parser.add_argument("--errors", nargs="+", choices=ERRORS, default=ERRORS)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.process_time()
    every = {}
    for name in options.systems:
        every[name] = found = measure(name, options.draws, options.repetitions, options.seed, options.errors)
        print(f"\n{name}\n\n| estimate | errors | coverage | quiet | score | misled |")
        print("|---|---|---|---|---|---|")
        for (title, errors), tally in found.items():
            print(f"| {title} | {errors} | {tally.row(options.repetitions)} |", flush=True)
    overview(every, options.repetitions)
    print(
        f"\n{options.repetitions} repetitions of {options.draws} draws, seed {options.seed}, "
        f"{time.process_time() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
