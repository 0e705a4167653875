"""What the rest given the torsions lacks: its mean, its covariance, or what no Gaussian map can give.

    python benchmarks/orders.py SYSTEM [RUN] [--torsions 40] [--rest 2048] [--seed 3]

So many torsions t are chosen from draws by their weight. At each, draws of the rest are r = g(z; t), z
standard normals, g the flow without its broad component, and f(z) = log p(t, r) - log q(r | t) is the error.
By Hermite's expansion its variance is a sum over orders: the first, |E f'|^2, is what a shift of z would take
away, the second, half the squares of E f'', what a linear map of z would. Both are estimated by products of
two halves of the draws, without the noise of either; draws whose f is 8 or more below the median, clashes,
are left out of all but the efficiencies.

Then z is moved, at each torsions, by the shift that the draws of one sample say, or by shift and linear map,
and the efficiency of other draws is taken: what the rest would leave if the flow knew its mean, or its mean
and covariance, at every torsions exactly. Printed are means, medians and quartiles over the torsions; last,
the stiff coordinates by their share of the first order and the pairs by their share of the second.
"""

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from fixed_torsions import chosen
from torch import Tensor

from boltzgen.coordinates.names import coordinate_names
from boltzgen.energy.choose import energy_for
from boltzgen.flow.mixture import DefensiveMixture
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.target import PullbackEnergy
from boltzgen.molecule.system import System
from boltzgen.seeding import random_stream
from boltzgen.weights import sampling_efficiency

#: Draws so far below the median error are clashes.
_CLASH = 8.0
#: Largest eigenvalue of the second order that is corrected: that of a variance five times as large.
_LARGEST = 0.8
#: Coordinates and pairs that are listed.
_TOP = 10

#: The error f (n,) of z (n, n_stiff), float64, at one set of torsions.
Error = Callable[[Tensor], Tensor]


class Orders(NamedTuple):
    """The error at one set of torsions.

    Attributes:
        variance: of f.
        first, second: what its first and second order have of that.
        shift, curvature: E f' (n_stiff,) and E f'' (n_stiff, n_stiff).
    """

    variance: float
    first: float
    second: float
    shift: Tensor
    curvature: Tensor


def orders(f: Tensor, gradient: Tensor, z: Tensor) -> Orders:
    """Of errors f (n,) with their gradients (n, n_stiff) at standard normals z (n, n_stiff)."""

    def moments(rows: slice) -> tuple[Tensor, Tensor]:
        mean = gradient[rows].mean(0)
        curvature = z[rows].T @ (gradient[rows] - mean) / len(z[rows])
        return mean, (curvature + curvature.T) / 2

    (b, h), (c, k) = moments(slice(0, None, 2)), moments(slice(1, None, 2))
    shift, curvature = moments(slice(None))
    return Orders(float(f.var()), float(b @ c), 0.5 * float((h * k).sum()), shift, curvature)


def corrected(error: Error, z: Tensor, found: Orders) -> Tensor:
    """Log-weights (n,) of draws z moved by the Gaussian that the first two orders say, up to a constant."""
    values, vectors = torch.linalg.eigh(found.curvature)
    variances = 1 / (1 - values.clamp(max=_LARGEST))
    root = vectors * variances.sqrt() @ vectors.T
    moved = z @ root + root @ root @ found.shift
    return error(moved) - 0.5 * moved.square().sum(-1) + 0.5 * z.square().sum(-1)


def error_at(generator: BoltzmannGenerator, target: PullbackEnergy, t: Tensor) -> Error:
    """f at torsions t (n_leading,)."""
    flow, conditional = generator.flow, generator.flow.conditional
    base, maps = conditional.base, [conditional.transform]
    if isinstance(base, DefensiveMixture):
        maps.insert(0, base.main.transform)

    def error(z: Tensor) -> Tensor:
        z = z.to(t.dtype)
        many = t.expand(len(z), -1)
        context = flow.features(many)
        r, log_det = z, 0.0
        for each in maps:
            r, more = each(r, context)
            log_det = log_det + more
        return (0.5 * z.square().sum(-1) + log_det - target(torch.cat((many, r), -1))).double()

    return error


def with_gradient(error: Error, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """f, its gradient and z itself, of the draws that are no clashes."""
    leaf = z.clone().requires_grad_()
    f = error(leaf)
    (gradient,) = torch.autograd.grad(torch.where(f.isfinite(), f, 0.0).sum(), leaf)
    f = f.detach()
    good = (f > f[f.isfinite()].median() - _CLASH) & gradient.isfinite().all(-1)
    return f[good], gradient[good].double(), z[good].double()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("system")
    parser.add_argument("run", nargs="?")
    parser.add_argument("--torsions", type=int, default=40)
    parser.add_argument("--rest", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    system = System.load(options.system)
    generator = BoltzmannGenerator.load(options.run or system.folder, system)
    target = PullbackEnergy(energy_for(system), generator.coordinates)
    n_stiff, stream = generator.coordinates.n_stiff, random_stream("cpu", options.seed, 1)
    rows, shifts, curvatures = [], torch.zeros(n_stiff).double(), torch.zeros(n_stiff, n_stiff).double()
    for t in chosen(generator.flow, target, options.torsions, options.seed):
        error = error_at(generator, target, t)
        fitted, other = torch.randn(2, options.rest, n_stiff, generator=stream, dtype=torch.float64)
        found = orders(*with_gradient(error, fitted))
        with torch.no_grad():
            by_mean = found._replace(curvature=torch.zeros_like(found.curvature))
            log_w = error(other), corrected(error, other, by_mean), corrected(error, other, found)
        left = [100 * sampling_efficiency(each) for each in log_w]
        rows.append([found.variance, found.first, found.second, *left])
        shifts += found.shift.square()
        curvatures += found.curvature.square()
    table = np.array(rows)
    print(f"{len(table)} torsions, {options.rest} draws of the rest at each\n")
    print(f"{'':38} {'mean':>8} {'median':>8} {'quartiles':>17}")
    labels = (
        "variance of the error",
        "of it first order, the mean",
        "second order, the covariance",
        "efficiency of the rest, %",
        "with the exact mean",
        "with the exact mean and covariance",
    )
    for label, column in zip(labels, table.T, strict=True):
        low, middle, high = np.quantile(column, (0.25, 0.5, 0.75))
        print(f"{label:38} {column.mean():8.2f} {middle:8.2f} {low:8.2f} {high:8.2f}")
    names = coordinate_names(generator.coordinates, system)[generator.flow.n_leading :]
    print("\nfirst order, share of coordinates, %")
    for k in shifts.argsort(descending=True)[:_TOP].tolist():
        print(f"{100 * float(shifts[k] / shifts.sum()):8.1f}  {names[k]}")
    print("\nsecond order, share of coordinates and pairs, %")
    both = torch.triu(2 * curvatures, 1) + curvatures.diagonal().diag()
    for place in both.flatten().argsort(descending=True)[:_TOP].tolist():
        i, j = divmod(place, n_stiff)
        pair = names[i] if i == j else f"{names[i]}, {names[j]}"
        print(f"{100 * float(both[i, j] / both.sum()):8.1f}  {pair}")


if __name__ == "__main__":
    main()
