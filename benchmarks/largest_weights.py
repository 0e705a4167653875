"""The draws of the largest weights: where they are, and what of them the flow has too little of.

    python benchmarks/largest_weights.py SYSTEM [RUN] [-n 200000] [--top 20] [--seed 5] [--simulation FOLDER]

log p(t) of a draw's torsions t is estimated from 2000 draws of the rest given t. Printed for each of the
largest weights: its size in units of the mean weight, log p(t)/q(t) and log p(r|t)/q(r|t), both up to a
constant of which the median draw has about zero in their sum, the efficiency of the rest given its t, which
parts of q(t) and of q(r|t) their broad components are (nan where there are none), and its named torsions in
degrees. Before that, the efficiency with and without these draws, how many of them have a phi > 0, and for
each set of residues at phi > 0 its share of the draws, of the weight, and of the mean squared weight, whose
inverse is the efficiency. A folder of `boltzgen simulate` adds the share of the second half of its frames, by
MBAR, with its error by a bootstrap over walkers.
"""

import argparse
import math
from pathlib import Path

import torch

from boltzgen.energy.choose import energy_for
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.flow import Flow, HierarchicalFlow
from boltzgen.flow.mixture import DefensiveMixture
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.target import PullbackEnergy
from boltzgen.geometry import dihedrals
from boltzgen.molecule.system import System
from boltzgen.seeding import random_stream
from boltzgen.simulation.ensemble import Ensemble
from boltzgen.simulation.estimates import WalkerBootstrap
from boltzgen.weights import sampling_efficiency

_BATCH, _INNER = 4096, 2000


def pattern(x: torch.Tensor, system: System, phis: list[str]) -> torch.Tensor:
    """Which phis of positions (n, n_atoms, 3) are positive, a bit for each, int64 (n,)."""
    return sum(
        ((dihedrals(x, system.torsions[name]) > 0).long() << k for k, name in enumerate(phis)),
        torch.zeros(len(x), dtype=torch.int64),
    )


def simulation(folder: Path, system: System, phis: list[str]) -> dict[int, tuple[float, float]]:
    """Share of each pattern that was visited, and its error; the first half of the frames is left for
    equilibration.
    """
    ensemble = Ensemble.load(folder, system)
    first = ensemble.n_frames // 2
    x, potential = ensemble.x[first:], ensemble.potential[first:].numpy()
    labels = (
        torch.cat([pattern(part, system, phis) for part in x.flatten(0, 2).split(_BATCH)])
        .view(x.shape[:3])
        .numpy()
    )
    names = tuple(map(str, range(2 ** len(phis))))
    found = WalkerBootstrap(potential, ensemble.temperatures.numpy(), system.temperature).populations(
        labels, names
    )
    return {
        code: (float(found.share[code]), float(found.error[code]))
        for code in range(len(names))
        if (labels == code).any()
    }


def broad_part(mixture: Distribution, z: torch.Tensor, context: torch.Tensor | None = None) -> float:
    """Which part of a density at z (1, n) is that of its broad component; nan where it has none."""
    if not isinstance(mixture, DefensiveMixture):
        return math.nan
    return mixture.share * math.exp(float(mixture.broad.log_prob(z) - mixture.log_prob(z, context)))


def broad_parts(flow: HierarchicalFlow, y: torch.Tensor) -> tuple[float, float]:
    """`broad_part` of the torsions and of the rest given them, at flow coordinates y (1, n)."""
    t, r, rest = y[:, : flow.n_leading], y[:, flow.n_leading :], flow.conditional
    assert isinstance(rest, Flow)
    context = flow.features(t)
    return broad_part(flow.leading, t), broad_part(rest.base, rest.transform.inverse(r, context)[0], context)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("system")
    parser.add_argument("run", nargs="?")
    parser.add_argument("-n", type=int, default=200_000)
    parser.add_argument("--top", type=int, default=20)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--simulation", type=Path)
    options = parser.parse_args()
    system = System.load(options.system)
    generator = BoltzmannGenerator.load(options.run or system.folder, system)
    flow, target = generator.flow, PullbackEnergy(energy_for(system), generator.coordinates)
    stream = random_stream("cpu", options.seed)
    phis = sorted(name for name in system.torsions if name.startswith("phi"))
    drawn = []
    for start in range(0, options.n, _BATCH):
        y, log_q, _ = flow.draw((min(_BATCH, options.n - start),), generator=stream)
        drawn.append((y, log_q, target(y), pattern(generator.coordinates(y)[0], system, phis)))
    y, log_q, u, left = (torch.cat(part) for part in zip(*drawn, strict=True))
    log_w = -(log_q + u).double()
    order = log_w.argsort(descending=True)
    top, others = order[: options.top], log_w[order[options.top :]]
    print(
        f"efficiency {100 * sampling_efficiency(log_w):.1f} % of {options.n} draws, "
        f"{100 * sampling_efficiency(others):.1f} % without the largest weights"
    )
    x = generator.coordinates(y[top])[0].double()
    chosen = {name: atoms for name, atoms in system.torsions.items() if not name.startswith("omega")}
    angles = {name: torch.rad2deg(dihedrals(x, atoms)) for name, atoms in chosen.items()}
    print(f"{int((left[top] > 0).sum())} of {options.top} have a phi > 0")
    w = torch.exp(log_w - torch.logsumexp(log_w, 0) + math.log(len(log_w)))
    simulated = {} if options.simulation is None else simulation(options.simulation, system, phis)
    for code in range(2 ** len(phis)):
        here = left == code
        if not here.any() and code not in simulated:
            continue
        where = ", ".join(name for k, name in enumerate(phis) if code >> k & 1) or "none"
        share, weight, squared = (float(v[here].sum()) / len(w) for v in (torch.ones_like(w), w, w.square()))
        beside = "  simulated {:.5f} +- {:.5f}".format(*simulated[code]) if code in simulated else ""
        print(
            f"{where:20s} {int(here.sum()):8d} draws {share:.5f}  weight {weight:.5f}  squared "
            f"{squared:.4f}{beside}"
        )
    mean = float(torch.logsumexp(log_w, 0)) - math.log(len(log_w))
    for k, i in enumerate(top):
        t = y[i, : flow.n_leading]
        many = t.expand(_INNER, -1)
        r, log_rest, _ = flow.conditional.draw((_INNER,), generator=stream, context=flow.features(many))
        inner = -(log_rest + target(torch.cat((many, r), dim=-1))).double()
        of_torsions = float(torch.logsumexp(inner, 0)) - math.log(_INNER) - float(flow.leading.log_prob(t))
        weight = float(log_w[i])
        where = ", ".join(f"{name} {float(value[k]):.0f}" for name, value in angles.items())
        of_t, of_rest = broad_parts(flow, y[i : i + 1])
        print(
            f"{math.exp(weight - mean):8.1f}  {of_torsions - float(log_w.median()):6.2f}  "
            f"{weight - of_torsions:6.2f}  {100 * sampling_efficiency(inner):5.1f} %  {of_t:5.3f}  "
            f"{of_rest:5.3f}  {where}"
        )


if __name__ == "__main__":
    main()
