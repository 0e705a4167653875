"""The pictures of docs/gallery.md, drawn anew.

    python benchmarks/gallery.py [--n 100000] [--steps 1000] [--folder docs/pictures]

`--n` are the draws of alanine dipeptide, and of alanine tetrapeptide; `--steps` those of training on two
rings. Seed 0. Writes gallery_*.png, each below 100 kB.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from boltzgen import (
    BoltzmannGenerator,
    Reference,
    WeightedSamples,
    energy_for,
    plot_ramachandran,
    state_energies,
)
from boltzgen.analysis.panels import ramachandran_grid
from boltzgen.analysis.ramachandran import ramachandran, suitable_bins
from boltzgen.analysis.states_report import StatesReport
from boltzgen.evaluation.reference import reference_path
from boltzgen.figures import GENERATOR, INK, TARGET, ShownFigure, light_frame, symbol
from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.coupling import real_nvp
from boltzgen.flow.elementary import StandardNormal
from boltzgen.flow.flow import Flow
from boltzgen.flow.resampled import Resampled
from boltzgen.flow.toy import TwoRings
from boltzgen.molecule.graph import backbone_pairs
from boltzgen.training.fit import fit
from boltzgen.training.likelihood_objective import LikelihoodObjective
from boltzgen.training.optimizer import MatrixOptimizer
from boltzgen.units import kt

#: Levels of contours, kJ/mol, and the largest picture in bytes.
LEVELS, LARGEST = np.arange(0, 22, 2), 100_000
TICKS = np.arange(-180, 181, 60)


def drawn(name: str, n: int) -> WeightedSamples:
    generator = BoltzmannGenerator.load(name)
    return generator.sample(n, energy_for(generator.system), seed=0)


def panels(width: float, height: float, n: int = 1) -> tuple[ShownFigure, list]:
    figure = ShownFigure(width, height, dpi=150, layout="constrained")
    return figure, list(figure.subplots(1, n, squeeze=False)[0])


def contours(samples: WeightedSamples) -> Figure:
    """The surface as lines of equal free energy, from a weighted kernel density."""
    surface = samples.kernel_pmf("phi", "psi", n_points=120)
    told = surface.free_energy_error < 0.5  # kT: farther up a few draws decide
    f = kt(300.0) * np.where(told, surface.free_energy, np.nan)
    figure, (axes,) = panels(4.4, 3.6)
    grid = [np.degrees(centre) for centre in surface.centres]
    filled = axes.contourf(*grid, f.T, levels=LEVELS, cmap="viridis", extend="max")
    axes.contour(*grid, f.T, levels=LEVELS, colors="white", linewidths=0.5)
    axes.set(xlim=(-180, 180), ylim=(-180, 180), xticks=TICKS, yticks=TICKS, aspect="equal")
    axes.set_xlabel(f"{symbol('phi')} / degrees", color=INK)
    axes.set_ylabel(f"{symbol('psi')} / degrees", color=INK)
    figure.colorbar(filled, ax=axes, ticks=LEVELS[::2]).set_label("F / kJ mol⁻¹", color=INK)
    light_frame(axes)
    return figure


def profile(samples: WeightedSamples) -> Figure:
    """F along phi with its 95 % band, beside frames of an independent replica exchange."""
    figure, (axes,) = panels(4.6, 3.2)
    found = samples.kernel_pmf("phi")
    phi = np.degrees(found.centres[0])
    low, high = kt(300.0) * found.free_energy_low, kt(300.0) * found.free_energy_high
    axes.fill_between(phi, low, high, color=TARGET, alpha=0.3, lw=0)
    axes.plot(phi, kt(300.0) * found.free_energy, color=TARGET, lw=1.3, label="generator, weighted")
    system = samples.system
    reference = Reference.load(reference_path(system), system)
    (surface,) = (table for table in reference.surfaces if len(table.probability) == 64)
    share = surface.probability.sum(axis=1)
    error = np.sqrt(share * (1 - share) / surface.n_effective)
    known = share > 3 * error  # where the simulation has some independent visits
    f = -kt(300.0) * np.log(share[known] * 64 / (2 * np.pi * found.density.max()))
    centres = -180 + (np.arange(64) + 0.5) * 360 / 64
    axes.errorbar(
        centres[known], f, 1.96 * kt(300.0) * (error / share)[known],
        fmt="o", ms=2.5, lw=0.8, color=GENERATOR, label="replica exchange",
    )  # fmt: skip
    axes.set(xlim=(-180, 180), ylim=(-1, 30), xticks=TICKS)
    axes.set_xlabel(f"{symbol('phi')} / degrees", color=INK)
    axes.set_ylabel("F / kJ mol⁻¹", color=INK)
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    light_frame(axes)
    return figure


def weights(samples: WeightedSamples) -> Figure:
    """How unequal the weights are, and what they do to the energies."""
    figure, (left, right) = panels(7.2, 2.9, 2)
    log_w = samples.log_w - samples.log_w.logsumexp(0) + np.log(len(samples))
    left.hist(log_w.clamp(-1.0, 1.0).numpy(), bins=80, color=TARGET, alpha=0.7)
    left.set_xlabel("log w, in units of the mean weight", color=INK)
    left.set_ylabel("draws", color=INK)
    right.hist(samples.u.numpy(), bins=80, histtype="step", color=INK, lw=1.0, label="generator, as drawn")
    weight = samples.weights.numpy() * len(samples)
    right.hist(samples.u.numpy(), bins=80, weights=weight, color=TARGET, alpha=0.4, label="target, weighted")
    right.set_xlabel("u / kT", color=INK)
    right.legend(frameon=False, fontsize=8, labelcolor=INK)
    for axes in (left, right):
        light_frame(axes)
    return figure


def temperatures(samples: WeightedSamples) -> Figure:
    """Populations of phi > 0 and the heat capacity, from the draws of one temperature."""
    figure, (left, right) = panels(7.2, 2.9, 2)
    at = np.arange(270.0, 381.0, 10.0)
    found = samples.at_temperatures(300.0, at.tolist())
    for axes, label, results in (
        (left, "F / kJ mol⁻¹", [one.free_energy.to("kJ/mol") for one in found]),
        (right, "heat capacity / k", [one.heat_capacity for one in found]),
    ):
        low, high = ([getattr(result, end) for result in results] for end in ("low", "high"))
        axes.fill_between(at, low, high, color=TARGET, alpha=0.3, lw=0)
        axes.plot(at, [result.value for result in results], "o-", ms=3, lw=1.2, color=TARGET)
        axes.axvline(300.0, color=GENERATOR, lw=0.9, ls="--")
        axes.set_xlabel("T / K", color=INK)
        axes.set_ylabel(label, color=INK)
        light_frame(axes)
    return figure


def tetrapeptide(n: int) -> Figure:
    samples = drawn("alanine_tetrapeptide", n)
    w, bins = samples.weights.numpy(), suitable_bins(samples.effective_sample_size)
    surfaces = []
    for pair in backbone_pairs(samples.system.torsions):
        phi, psi = (samples.torsion(name).numpy() for name in pair)
        surfaces.append((f"residue {pair[0].removeprefix('phi')}", pair, ramachandran(phi, psi, w, bins)))
    return ramachandran_grid(surfaces, unit="kJ/mol", temperature=300.0)


def rings(steps: int) -> Figure:
    """Two rings, a flow over a normal base, and one over a resampled base with what the base alone draws."""
    torch.manual_seed(0)
    target = TwoRings()
    grid, cell = target.grid(160)
    pictures = {"target": target.log_prob(grid).exp()}
    resampled = Resampled(StandardNormal(2), Acceptance(2, start=0.9))
    for name, base in (("normal base", StandardNormal(2)), ("resampled base", resampled)):
        flow = Flow(base, real_nvp(2))
        objective = LikelihoodObjective(flow, lambda flow=flow: flow.log_prob(target.sample(1024)))
        fit(objective, MatrixOptimizer(flow, learning_rate=1e-2), lambda s: 1 - s / steps, range(steps))
        with torch.no_grad():
            log_p, log_q = target.log_prob(grid), flow.log_prob(grid.float())
            kl = float((log_p.exp() * (log_p - log_q)).sum() * cell)
        pictures[name] = log_q.exp()
        print(f"{name}: KL(p || q) = {kl:.3f} after {steps} steps")
    with torch.no_grad():
        pictures["its base alone"] = resampled.log_prob(grid.float()).exp()
    figure, axes = panels(8.0, 2.3, len(pictures))
    for panel, (name, density) in zip(axes, pictures.items(), strict=True):
        top = float(pictures["target"].max()) if name != "its base alone" else float(density.max())
        panel.imshow(density.reshape(160, 160).T.numpy(), origin="lower", vmin=0, vmax=top, cmap="viridis")
        panel.set(xticks=[], yticks=[])
        panel.set_title(name, fontsize=9.5, color=INK)
        light_frame(panel)
    return figure


def pictures(n: int, steps: int) -> Iterator[tuple[str, Figure]]:
    samples = drawn("alanine_dipeptide", n)
    print(f"alanine dipeptide: efficiency {100 * samples.sampling_efficiency:.2f} % of {n:,} draws")
    yield "ramachandran", plot_ramachandran(samples, unit="kJ/mol", temperature=300.0).figure
    yield "contours", contours(samples)
    yield "profile", profile(samples)
    yield "weights", weights(samples)
    yield "states", StatesReport(state_energies(samples), unit="kJ/mol").figure()
    yield "temperatures", temperatures(samples)
    yield "tetrapeptide", tetrapeptide(n)
    yield "rings", rings(steps)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=Path("docs/pictures"))
    arguments = parser.parse_args()
    for name, figure in pictures(arguments.n, arguments.steps):
        path = arguments.folder / f"gallery_{name}.png"
        figure.savefig(path, dpi=100, pil_kwargs={"optimize": True})
        size = path.stat().st_size
        print(f"{path}: {size / 1000:.0f} kB")
        if size > LARGEST:
            raise SystemExit(f"expected at most {LARGEST} bytes, got {size}: lower the resolution")


if __name__ == "__main__":
    main()
