"""Which errors two trainings of one molecule have in common, and what they are at single torsions.

    python benchmarks/shared_errors.py SYSTEM RUN RUN [-n 102400] [--torsions 6] [--rest 16384] [--seed 7]

The error of a draw is log p - log q, its log-weight up to a constant. n draws of either run have the
densities of both. Printed are the efficiency of each run and of their mixture, whose draws are both runs' and
whose density is the mean of both; then, under the target (by the mixture's weights, clipped at the top 1e-4),
the variances of both errors, their correlation, and the variance of their difference in the torsions t and in
the rest r given them. Errors that were noise of a training would not be correlated.

Then so many torsions are chosen by their weight, and the error of so many draws of the rest is fitted at each
of them, for the first run: by a linear function of the stiff coordinates, by squares as well, and by products
of two coordinates that change the shape of the chain as well: angles and torsions with at least three heavy
atoms on either side. What is given is the share of the error's variance that each explains on a fifth of the
draws that took no part in the fit. Errors below -4 are taken as -4: those of clashes.
"""

import argparse
import itertools
import math

import torch
from torch import Tensor

from boltzgen.coordinates.names import coordinate_names
from boltzgen.coordinates.zmatrix import TorsionKind
from boltzgen.energy.choose import energy_for
from boltzgen.flow.flow import HierarchicalFlow
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.target import PullbackEnergy
from boltzgen.molecule.system import System
from boltzgen.seeding import random_stream
from boltzgen.weights import clip_log_weights, sampling_efficiency

_BATCH = 4096
#: Heavy atoms on either side of a coordinate that changes the shape of the chain.
_SIDE = 3
#: Errors are cut off here, and the ridge of the fits in units of each feature's mean square.
_LEAST, _RIDGE = -4.0, 3e-3
#: Products that are listed.
_TOP = 8


def chain_coordinates(generator: BoltzmannGenerator) -> list[int]:
    """The stiff coordinates that change the shape of the chain, by their place among them."""
    coordinates, graph = generator.coordinates, generator.system.graph
    zmatrix = coordinates.zmatrix
    n = coordinates.n_atoms
    below = {row.atom: {row.atom} for row in zmatrix.rows}
    for row in reversed(zmatrix.rows[1:]):
        below[row.bonded] |= below[row.atom]
    heavy = {i for i, element in enumerate(graph.elements) if element != "H"}
    found = []
    for place, k in enumerate(coordinates.order[coordinates.n_periodic :]):
        if k < n - 1:
            continue
        is_angle, row = k < 2 * n - 3, zmatrix.row_of(k)
        if not is_angle and row.kind is not TorsionKind.PROPER:
            continue
        moved = heavy & (below[row.atom] if is_angle else below[row.bonded] - {row.bonded})
        if len(moved) >= _SIDE and len(heavy - moved - {row.bonded}) >= _SIDE:
            found.append(place)
    return found


def parts(flow: HierarchicalFlow, y: Tensor) -> tuple[Tensor, Tensor]:
    """log q(t) and log q(r | t) of y (n, n_dims), float64 (n,)."""
    t, r = y[:, : flow.n_leading], y[:, flow.n_leading :]
    of_t = torch.cat([flow.leading.log_prob(some) for some in t.split(_BATCH)])
    of_r = [
        flow.conditional.log_prob(some, flow.features(at))
        for some, at in zip(r.split(_BATCH), t.split(_BATCH), strict=True)
    ]
    return of_t.double(), torch.cat(of_r).double()


def between(flows: list[HierarchicalFlow], target: PullbackEnergy, n: int, seed: int) -> None:
    """What both runs' errors have in common."""
    frozen = [flow.frozen() for flow in flows]
    drawn = []
    for k, flow in enumerate(frozen):
        stream = random_stream("cpu", seed, k)
        drawn.append(torch.cat([flow.sample((_BATCH,), generator=stream) for _ in range(-(-n // _BATCH))]))
    y = torch.cat(drawn)
    u = torch.cat([target(some) for some in y.split(_BATCH)]).double()
    of_t, of_r = (torch.stack(each) for each in zip(*(parts(flow, y) for flow in frozen), strict=True))
    log_w = -u - (of_t + of_r)
    for k, own in enumerate(log_w.split(len(drawn[0]), dim=1)):
        print(f"run {k}: efficiency {line(own[k])}")
    mixed = -u - torch.logsumexp(of_t + of_r, 0) + math.log(2)
    print(f"mixture: efficiency {line(mixed)}")
    good = mixed.isfinite()
    weight = torch.softmax(clip_log_weights(mixed[good]), 0)
    error = log_w[:, good]
    centred = error - (error @ weight)[:, None]
    covariance = (centred * weight) @ centred.T
    first, second = covariance.diagonal().tolist()
    print(
        f"variance of the errors {first:.3f} and {second:.3f}, correlation "
        f"{float(covariance[0, 1]) / math.sqrt(first * second):.2f}"
    )
    for name, of in (("torsions", of_t), ("rest given them", of_r)):
        apart = (of[0] - of[1])[good]
        print(f"variance of their difference, {name}: {float(weight @ (apart - weight @ apart) ** 2):.3f}")


def line(log_w: Tensor) -> str:
    clipped = sampling_efficiency(clip_log_weights(log_w))
    return f"{100 * sampling_efficiency(log_w):.1f} %, clipped {100 * clipped:.1f} %, of {len(log_w)} draws"


def explained(features: Tensor, error: Tensor) -> tuple[float, Tensor]:
    """Share of the variance of the last fifth that a fit to the others explains, and its coefficients."""
    n = 4 * len(error) // 5
    columns = torch.cat((features, torch.ones(len(features), 1).to(features)), 1)
    gram = columns[:n].T @ columns[:n]
    ridge = _RIDGE * gram.diagonal().diag()
    found = torch.linalg.solve(gram + ridge, columns[:n].T @ error[:n])
    left = error[n:] - columns[n:] @ found
    return 1 - float(left.var() / error[n:].var()), found[:-1]


def at_torsions(generator: BoltzmannGenerator, target: PullbackEnergy, options: argparse.Namespace) -> None:
    """What the error of the rest is made of at single torsions."""
    flow, stream = generator.flow, random_stream("cpu", options.seed, 2)
    names = coordinate_names(generator.coordinates, generator.system)[flow.n_leading :]
    chain = chain_coordinates(generator)
    pairs = list(itertools.combinations_with_replacement(chain, 2))
    y, log_q, _ = flow.draw((_BATCH,), generator=stream)
    log_w = clip_log_weights(-(log_q + target(y)).double(), 0.01)
    chosen = torch.multinomial(torch.softmax(log_w, 0), options.torsions, generator=stream)
    print(
        f"\n{len(chain)} coordinates change the shape of the chain\n"
        "efficiency of the rest at single torsions, %; variance of its error; share explained by: linear, "
        "squares, products"
    )
    total = torch.zeros(len(pairs), dtype=torch.float64)
    for t in y[chosen, : flow.n_leading]:
        rests, errors = [], []
        for n in [_BATCH] * -(-options.rest // _BATCH):
            here = t.expand(n, -1)
            r, log_rest, _ = flow.conditional.draw((n,), generator=stream, context=flow.features(here))
            rests.append(r.double())
            errors.append(-(log_rest + target(torch.cat((here, r), -1))).double())
        r, error = torch.cat(rests), torch.cat(errors)
        left = 100 * sampling_efficiency(error)
        r, error = r[error.isfinite()], error[error.isfinite()]
        error = (error - error.median()).clamp(min=_LEAST)
        r = (r - r.mean(0)) / r.std(0)
        products = torch.stack([r[:, i] * r[:, j] for i, j in pairs], 1)
        sets = (r, torch.cat((r, r**2), 1), torch.cat((r, r**2, products), 1))
        found = [explained(features, error) for features in sets]
        total += found[-1][1][-len(pairs) :].square() * products.var(0) / error.var()
        shares = " ".join(f"{share:6.2f}" for share, _ in found)
        print(f"{left:6.1f} {float(error.var()):8.3f}   {shares}", flush=True)
    print("products of the largest coefficients, share of the variance each, mean over the torsions:")
    for k in total.argsort(descending=True)[:_TOP].tolist():
        i, j = pairs[k]
        print(f"{float(total[k]) / options.torsions:8.3f}  {names[i]} x {names[j]}")


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("system")
    parser.add_argument("runs", nargs=2, metavar="RUN")
    parser.add_argument("-n", type=int, default=102_400)
    parser.add_argument("--torsions", type=int, default=6)
    parser.add_argument("--rest", type=int, default=16_384)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    system = System.load(options.system)
    generators = [BoltzmannGenerator.load(run, system) for run in options.runs]
    first, second = (generator.coordinates for generator in generators)
    if not (torch.allclose(first.reference, second.reference) and torch.allclose(first.scale, second.scale)):
        parser.error("the runs have different references: train both on one machine")
    target = PullbackEnergy(energy_for(system), first)
    between([generator.flow for generator in generators], target, options.n, options.seed)
    at_torsions(generators[0], target, options)


if __name__ == "__main__":
    main()
