"""How often 95 % intervals of populations and free-energy differences hold what they are to hold.

    python benchmarks/interval_coverage.py intervals [--share 0.03] [--effective 3 5 10 20 30 100 1000]
    python benchmarks/interval_coverage.py methods [--share 0.03] [--effective 10 20 30 100]

A basin gets a share of n draws, and its draws weights of a law; the other draws have weights of the same law
or of another, and six tenths of them are the reference basin of the free-energy difference. n is chosen so
that the median of Kish's effective number of draws in the basin is the given one. Each case is drawn 1000
times; cases of more than 400,000 draws are left empty.

`intervals` measures those of the package. A cell is "coverage in percent / percent of the repetitions with an
interval", which need at least 10 effective draws in the basin. Those with fewer have a one-sided 95 % bound,
in a table of its own; a last table has either, and what its cells lack to 100 % is not estimated. `methods`
compares ways to make such intervals for the population, on the same draws. A cell has the misses as well:
"coverage (truth below, truth above)".
"""

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import special, stats

from boltzgen.free_energy.intervals import Interval, WeightSum, log_ratio_interval, share_interval

_MOST_DRAWS = 400_000
_REPLICATES = 500

Draw = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class Law:
    """Weights: a sampler (generator, n) -> (n,), and the mean of what it draws."""

    draw: Draw
    mean: float


def log_normal(sigma: float, scale: float = 1.0) -> Law:
    return Law(lambda rng, n: scale * np.exp(sigma * rng.standard_normal(n)), scale * math.exp(sigma**2 / 2))


def pareto(k: float, scale: float = 1.0) -> Law:
    return Law(lambda rng, n: scale * (1 - rng.random(n)) ** -k, scale / (1 - k))


def narrow(width: float, scale: float) -> Law:
    """N(0, 1) drawn from N(0, width^2): a q too thin at the edges of the basin, Pareto's k = 1 - width^2."""

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        z = rng.standard_normal(n)
        return scale * width * np.exp(0.5 * z**2 * (1 - width**2))

    return Law(draw, scale)


def mixture(share: float, ratio: float) -> Law:
    """Weight 1, and `ratio` of a share of the draws."""
    return Law(lambda rng, n: np.where(rng.random(n) < share, ratio, 1.0), 1 + share * (ratio - 1))


EQUAL = log_normal(0.0)
#: Law of the basin's weights, and of the others'.
CASES: dict[str, tuple[Law, Law]] = {
    "equal": (EQUAL, EQUAL),
    **{f"log-normal {s:g}": (log_normal(s), log_normal(s)) for s in (0.5, 1.0, 1.5)},
    **{f"Pareto {k:g}": (pareto(k), pareto(k)) for k in (0.3, 0.5, 0.7, 0.9)},
    "light in the basin": (log_normal(0.5, 0.1), log_normal(1.5)),
    "thin edges in the basin": (narrow(0.7, 10.0), log_normal(0.5)),
    "Pareto 0.5 in the basin": (pareto(0.5), log_normal(0.5)),
    "Pareto 0.7 in the basin": (pareto(0.7), log_normal(0.5)),
    "one in ten weighs tenfold": (mixture(0.1, 10.0), log_normal(0.5)),
}


TITLES = (
    "population",
    "free-energy difference",
    "bound of the population",
    "interval or bound of the population",
)


def mean_draws(law: Law, effective: float, seed: int = 0) -> float:
    """Mean number of draws of which the median effective number is the given one; inf if too many."""
    low, high = effective, 4 * effective
    while _median_effective(law, high, seed) < effective:
        low, high = high, 4 * high
        if low > _MOST_DRAWS:
            return math.inf
    for _ in range(12):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _median_effective(law, middle, seed) < effective else (low, middle)
    return math.sqrt(low * high)


def _median_effective(law: Law, mean: float, seed: int) -> float:
    rng = np.random.default_rng(seed)
    repeats = max(40, min(1000, int(2e6 / mean)))
    samples = (law.draw(rng, int(rng.poisson(mean))) for _ in range(repeats))
    return float(np.median([w.sum() ** 2 / np.square(w).sum() if len(w) else 0.0 for w in samples]))


@dataclass(frozen=True)
class Drawn:
    """One repetition: weights in the basin, elsewhere, and in the reference basin, which is part of it."""

    basin: np.ndarray
    others: np.ndarray
    reference: np.ndarray


def repetitions(name: str, effective: float, share: float, n: int, seed: int):
    """(exact population, exact ln of basin over reference, repetitions); None where they are too many."""
    law, other = CASES[name]
    n_expected = mean_draws(law, effective) / share
    if n_expected > _MOST_DRAWS:
        return None
    n_draws = round(n_expected)
    odds = share * law.mean / ((1 - share) * other.mean)

    def draw():
        for k in range(n):
            rng = np.random.default_rng([seed, k])
            inside = int(rng.binomial(n_draws, share))
            basin, others = law.draw(rng, inside), other.draw(rng, n_draws - inside)
            yield Drawn(basin, others, others[: rng.binomial(len(others), 0.6)])

    return odds / (1 + odds), math.log(odds / 0.6), draw()


def covers(found: Interval | None, exact: float) -> bool:
    return found is not None and found.low <= exact <= found.high


def measure(name: str, effective: float, share: float, n: int, seed: int) -> dict[str, str]:
    """Cells of the tables of `intervals` by their title."""
    case = repetitions(name, effective, share, n, seed)
    if case is None:
        return {}
    population, log_ratio, draws = case
    hits: dict[str, list[bool]] = {title: [] for title in TITLES}
    for drawn in draws:
        basin, others, reference = map(WeightSum.build, (drawn.basin, drawn.others, drawn.reference))
        largest = max(basin.largest, others.largest)
        found = share_interval(basin, others, largest)
        if found is None:
            continue
        hits["interval or bound of the population"].append(covers(found, population))
        if basin.is_rare:
            hits["bound of the population"].append(covers(found, population))
        elif not others.is_rare:
            hits["population"].append(covers(found, population))
            delta = log_ratio_interval(basin, reference, largest)
            if math.isfinite(delta.low) and math.isfinite(delta.high):
                hits["free-energy difference"].append(covers(delta, log_ratio))
    return {title: cell(found, n) for title, found in hits.items()}


def cell(hits: list[bool], n: int) -> str:
    """Coverage and how many there are of n, in percent; no coverage of fewer than 3 %."""
    part = 100 * len(hits) / n
    return f"{100 * np.mean(hits):.1f} / {part:.0f}" if part >= 3 else f"- / {part:.0f}"


def intervals(names: list[str], sizes: list[float], share: float, n: int, seed: int) -> None:
    cells = {name: {size: measure(name, size, share, n, seed) for size in sizes} for name in names}
    for title in TITLES:
        print(f"\n{title}, {100 * share:g} % of the draws in the basin\n")
        print(f"| weights | {' | '.join(f'{s:g}' for s in sizes)} |\n|---|{'---|' * len(sizes)}")
        for name in names:
            print(f"| {name} | {' | '.join(cells[name][s].get(title, '') for s in sizes)} |")


Limits = tuple[float, float]


def gamma(basin: np.ndarray, others: WeightSum, largest: float) -> Limits:
    """Fay and Feuer's limits, with the largest weight of the basin."""
    a, b, centre = WeightSum.build(basin), others, math.log(basin.sum() / others.total)
    lower = [s.total / s.n_effective * special.gammaincinv(s.n_effective, 0.025) for s in (a, b)]
    upper = [s.bound(0.025, s.largest) for s in (a, b)]
    down = math.hypot(math.log(a.total / lower[0]), math.log(upper[1] / b.total))
    return centre - down, centre + math.hypot(math.log(upper[0] / a.total), math.log(b.total / lower[1]))


def mid_gamma(basin: np.ndarray, others: WeightSum, largest: float) -> Limits:
    """Fay and Kim's, with the largest weight of the basin: the package's without k-hat."""
    a, b = (replace(s, k_hat=math.nan) for s in (WeightSum.build(basin), others))
    found = log_ratio_interval(a, b, largest)
    return found.low, found.high


def chosen(basin: np.ndarray, others: WeightSum, largest: float) -> Limits:
    """The package's."""
    found = log_ratio_interval(WeightSum.build(basin), others, largest)
    return found.low, found.high


def log_normal_limits(basin: np.ndarray, others: WeightSum, largest: float) -> Limits:
    """Delta method on the logarithmic scale, normal quantile."""
    return _around(basin, others, 1.96)


def log_student(basin: np.ndarray, others: WeightSum, largest: float) -> Limits:
    """The same with Student's quantile and Satterthwaite's degrees of freedom, 2 (sum w^2)^2 / sum w^4."""
    square = np.square(basin)
    return _around(basin, others, float(stats.t.ppf(0.975, 2 * square.sum() ** 2 / np.square(square).sum())))


def _around(basin: np.ndarray, others: WeightSum, quantile: float) -> Limits:
    width = quantile * math.sqrt(np.square(basin).sum() / basin.sum() ** 2 + 1 / others.n_effective)
    centre = math.log(basin.sum() / others.total)
    return centre - width, centre + width


def bootstraps(basin: np.ndarray, others: WeightSum, largest: float) -> dict[str, Limits]:
    """Percentile, BCa and studentised bootstrap of the log ratio; the sum of the many others is normal."""
    rng = np.random.default_rng(len(basin))
    counts = rng.poisson(1.0, (_REPLICATES, len(basin)))
    sums, squares = counts @ basin, counts @ np.square(basin)
    error = others.total / math.sqrt(others.n_effective)
    rest = others.total + error * rng.standard_normal(_REPLICATES)
    centre = math.log(basin.sum() / others.total)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(sums) - np.log(rest)
        errors = np.sqrt(squares / sums**2 + (error / rest) ** 2)
        score = np.where(sums > 0, (ratio - centre) / errors, -np.inf)
    low, high = np.quantile(score, (0.025, 0.975))
    width = math.sqrt(np.square(basin).sum() / basin.sum() ** 2 + 1 / others.n_effective)
    bias = float(stats.norm.ppf(np.clip(np.mean(ratio < centre), 1e-3, 1 - 1e-3)))
    skew = float((basin**3).sum() / np.square(basin).sum() ** 1.5 / 6)
    levels = [
        float(stats.norm.cdf(bias + (bias + z) / (1 - skew * (bias + z)))) if skew * (bias + z) < 1 else 1.0
        for z in (-1.96, 1.96)
    ]
    return {
        "percentile bootstrap": tuple(np.quantile(ratio, (0.025, 0.975))),
        "BCa bootstrap": tuple(np.quantile(ratio, levels)),
        "studentised bootstrap": (centre - high * width, centre - low * width),
    }


CLOSED = {
    "log-normal": log_normal_limits,
    "log-Student": log_student,
    "gamma": gamma,
    "mid-p gamma": mid_gamma,
    "mid-p gamma, largest / (1 - k)": chosen,
}


def compare(name: str, effective: float, share: float, n: int, seed: int) -> dict[str, str]:
    """Cells of one column of `methods`."""
    case = repetitions(name, effective, share, n, seed)
    if case is None:
        return {}
    population, _, draws = case
    exact = math.log(population / (1 - population))
    below, above, count = {}, {}, 0
    for drawn in draws:
        basin, others = WeightSum.build(drawn.basin), WeightSum.build(drawn.others)
        largest = max(basin.largest, others.largest)
        if basin.is_rare or not math.isfinite(chosen(drawn.basin, others, largest)[0]):
            continue
        arguments = drawn.basin, others, largest
        found = bootstraps(*arguments) | {title: limits(*arguments) for title, limits in CLOSED.items()}
        count += 1
        for title, (low, high) in found.items():
            below[title] = below.get(title, 0) + (exact < low)
            above[title] = above.get(title, 0) + (exact > high)
    if count < 0.03 * n:
        return {}
    return {
        title: f"{100 - 100 * (below[title] + above[title]) / count:.0f} "
        f"({100 * below[title] / count:.0f}, {100 * above[title] / count:.0f})"
        for title in below
    }


def methods(names: list[str], sizes: list[float], share: float, n: int, seed: int) -> None:
    titles = ["percentile bootstrap", "BCa bootstrap", "studentised bootstrap", *CLOSED]
    print(f"\npopulation, {100 * share:g} % of the draws in the basin\n")
    print(f"| weights | effective | {' | '.join(titles)} |\n|---|---|{'---|' * len(titles)}")
    for name in names:
        for size in sizes:
            cells = compare(name, size, share, n, seed)
            print(f"| {name} | {size:g} | {' | '.join(cells.get(t, '') for t in titles)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=("intervals", "methods"))
    parser.add_argument("--effective", nargs="+", type=float)
    parser.add_argument("--share", type=float, default=0.03)
    parser.add_argument("--weights", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.process_time()
    sizes = options.effective or (
        [10, 20, 30, 100] if options.table == "methods" else [3, 5, 10, 20, 30, 100, 1000]
    )
    table = methods if options.table == "methods" else intervals
    table(options.weights, sizes, options.share, options.repetitions, options.seed)
    print(f"\n{options.repetitions} repetitions, seed {options.seed}, {time.process_time() - start:.0f} s")


if __name__ == "__main__":
    main()
