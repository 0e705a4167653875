"""What limits a generator's efficiency: its torsions, or the rest given them; in which states, by which
coordinates.

    python benchmarks/what_limits.py SYSTEM [RUN] [--torsions 1000] [--rest 32] [--seed 0] [--top 12]

So many torsions t are drawn, and so many draws of the rest r for each. 1/efficiency is the mean of w^2, w =
p(t, r)/q(t, r) in units of its mean. It is the mean of (p(t)/q(t))^2, the inverse of the efficiency that
torsions alone would leave, times a factor, the inverse of what the rest leaves. The first is estimated by
products of two draws for one t, without the noise of a mean of few. Standard errors are by the bootstrap over
torsions.

Then, for each state of each division of the conformations: its share of the draws, of the weight, and of the
mean of w^2 (what a state costs is what it has more of that than of the weight), and what the rest leaves
there. Where one is short of draws, single torsions decide. Then the coordinates of the rest whose own forces
are most at odds: the mean over draws, each with its weight w, of the square of d(log q + u)/dr times the
standard deviation of r. It is zero where q(r | t) = p(r | t).

Last, standard deviations of log|det| of each coupling of the torsions, over 8,192 draws. Torsions that
come loose have large ones: couplings and base undo each other's work.
"""

import argparse

import numpy as np
import torch

from boltzgen.coordinates.names import coordinate_names
from boltzgen.energy.choose import energy_for
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.flow import Flow
from boltzgen.flow.mixture import DefensiveMixture
from boltzgen.flow.transform import Chain, Transform
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.target import PullbackEnergy
from boltzgen.molecule.system import System
from boltzgen.seeding import random_stream

_DRAWS = 4096
_BOOTSTRAP = 200


def moments(w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of weights w (n, m), m for each of n torsions: mean squares, mean products of two draws, means (n,)."""
    m = w.shape[1]
    squares = (w**2).mean(1)
    return squares, (w.sum(1) ** 2 - m * squares) / (m * (m - 1)), w.mean(1)


def efficiencies(squares: np.ndarray, products: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Of all, of the torsions alone and of the rest: (..., 3), from sums over torsions on the last axis."""
    of_all, of_torsions = mean.mean(-1) ** 2 / squares.mean(-1), mean.mean(-1) ** 2 / products.mean(-1)
    return np.stack([of_all, of_torsions, of_all / of_torsions], -1)


def coupling_deviations(torsions: Distribution, n: int, seed: int) -> list[float]:
    """Standard deviations of the log-determinants of a torsions' flow's layers, over n draws of its base."""
    flow = torsions.main if isinstance(torsions, DefensiveMixture) else torsions
    if not isinstance(flow, Flow) or not isinstance(flow.transform, Chain):
        raise TypeError(f"expected a flow with a chain of layers, got {type(flow).__name__}")
    found = []
    with torch.no_grad():
        z = flow.base.draw((n,), generator=random_stream("cpu", seed))[0]
        for layer in flow.transform.transforms:
            assert isinstance(layer, Transform)
            z, log_det = layer(z)
            found.append(float(log_det.std()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("system")
    parser.add_argument("run", nargs="?")
    parser.add_argument("--torsions", type=int, default=1000)
    parser.add_argument("--rest", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--top", type=int, default=12)
    options = parser.parse_args()
    n, m = options.torsions, options.rest
    if n < 2 or m < 2:
        parser.error(f"expected at least two torsions and two draws of the rest, got {n} and {m}")
    system = System.load(options.system)
    generator = BoltzmannGenerator.load(options.run or system.folder, system)
    flow, coordinates = generator.flow, generator.coordinates
    target = PullbackEnergy(energy_for(system), coordinates)
    stream = random_stream("cpu", options.seed)
    with torch.no_grad():
        t, log_q_t, _ = flow.leading.draw((n,), generator=stream)
    many, log_w, rests, odds = t.repeat_interleave(m, 0), [], [], []
    for part, log_q in zip(many.split(_DRAWS), log_q_t.repeat_interleave(m).split(_DRAWS), strict=True):
        r, log_rest, _, score = flow.conditional.draw_with_score(
            (len(part),), generator=stream, context=flow.features(part)
        )
        r = r.detach()
        u, gradient = target.value_and_gradient(torch.cat((part, r), -1))
        log_w.append(-(log_q + log_rest.detach() + u).double())
        rests.append(r)
        odds.append((score + gradient[:, flow.n_leading :]).double())
    every = torch.cat(log_w)
    w = torch.exp(every - torch.logsumexp(every, 0) + np.log(n * m)).nan_to_num().view(n, m).numpy()

    squares, products, mean = moments(w)
    found = efficiencies(squares, products, mean)
    again = np.random.default_rng(options.seed).integers(n, size=(_BOOTSTRAP, n))
    errors = efficiencies(squares[again], products[again], mean[again]).std(0, ddof=1)
    for label, value, error in zip(("all", "torsions alone", "rest given them"), found, errors, strict=True):
        print(f"{label:16} {100 * value:5.1f} +- {100 * error:.1f} %")

    rest, at_odds = torch.cat(rests).double(), torch.cat(odds)
    with torch.no_grad():
        x = coordinates(torch.cat((t, rest.view(n, m, -1)[:, 0].to(t)), -1))[0].double()
    print("\nstate, % of: draws, weight, squared weight; the rest there, %")
    for name, states in system.states.items():
        labels = states.labels(x)
        for code, state in enumerate(states.names):
            here = labels == code
            if here.any():
                shares = [here.mean(), *(v[here].sum() / v.sum() for v in (mean, squares))]
                left = 100 * products[here].sum() / squares[here].sum()
                cells = "".join(f"{100 * share:7.2f}" for share in shares)
                print(f"{name + ' ' + state:28} {cells} {left:7.1f}")

    usable = torch.from_numpy(w.ravel() > 0) & at_odds.isfinite().all(-1)
    scaled = (at_odds * rest.std(0))[usable].square()
    worst = torch.from_numpy(w.ravel())[usable] @ scaled / len(w.ravel())
    print(f"\nforces of the rest at odds, in all {float(worst.sum()):.2f}")
    names = coordinate_names(coordinates, system)[flow.n_leading :]
    for k in worst.argsort(descending=True)[: options.top].tolist():
        print(f"{float(worst[k]):8.3f}  {names[k]}")

    deviations = coupling_deviations(flow.leading, 2 * _DRAWS, options.seed)
    print("\nstandard deviations of log|det| of the torsions' couplings:", *(f"{d:.2f}" for d in deviations))


if __name__ == "__main__":
    main()
