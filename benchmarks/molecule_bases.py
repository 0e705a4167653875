"""What the resampled base is worth in a molecule: equal budgets with a uniform base on (phi, psi) and with a
resampled one.

    python benchmarks/molecule_bases.py FOLDER [--systems NAME ...] [--ways NAME ...] [--bases NAME ...]
    [--seeds 0 1 2] [--simulate] [--quick]

Systems: alanine_dipeptide (T-FAB, 300 K) and alanine_dipeptide_vacuum (T-RBD, 1000 K). Ways to train, each
with the same number of steps and of energies for every base:

* scratch: plain reverse KL at the target temperature from the start (`--objective reverse_kl`), 600 steps
  of 1024 draws;
* anneal: `boltzgen train SYSTEM --rounds 12`, as many steps and draws, the temperature falling from 1200 K
  over the first half of them (the target of T-RBD is so close to that that there it is the objective that
  differs from `scratch`);
* data: maximum likelihood on frames of a replica exchange, without energies.

Bases: uniform and resampled; both with six periodic couplings on the torsions, and ("small") with three of
them. Frames for `data`, and the ensemble that every generator is compared with (another simulation; for T-FAB
the shipped reference), are made at need, or beforehand by `--simulate`.

Each run leaves FOLDER/NAME/result.json; finished ones are not repeated, so that several processes can share
the work. Printed are means and ranges over seeds: the efficiency of 100,000 draws, unclipped and clipped;
over the reference the forward effective sample size, and without a thousandth of its frames where the density
is lowest; KL(p || q) in nats; the share of the basins with phi from 0 to 120 degrees (C7ax, alphaL) in the
draws, reweighted, and in the reference; then energies, and the resampled base's expected proposals per draw.
"""

import argparse
import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.evaluation.metrics import forward_ess
from boltzgen.evaluation.reference import Reference
from boltzgen.flow.elementary import Product
from boltzgen.flow.resampled import Resampled
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.basins import assign_basins
from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.training.run import train
from boltzgen.training.settings import Settings
from boltzgen.weights import clip_log_weights, sampling_efficiency

SYSTEMS = ("alanine_dipeptide", "alanine_dipeptide_vacuum")
WAYS = ("scratch", "anneal", "data")
BASES: dict[str, dict[str, Any]] = {
    "uniform": {"resampled": False},
    "resampled": {"resampled": True},
    "uniform, small": {"resampled": False, "torsion_layers": 3},
    "resampled, small": {"resampled": True, "torsion_layers": 3},
}
ANNEAL = Settings(rounds=12)
#: Plain reverse KL at the target's temperature from the first step on.
SCRATCH = {"objective": "reverse_kl", "start_temperature": 0.0, "annealing": 0.0, "learning_rate": 2e-3}
QUICK = Settings(rounds=1, steps=2, batch=64, data_rounds=1, data_steps=2, data_batch=64)
#: Share of the reference's frames, those of lowest density, that the second forward effective sample size
#: leaves out.
OMITTED = 1e-3


def simulation(folder: Path, system: str, seed: int, n: int) -> Path:
    """A folder with `reference.h5` and `frames.h5` of a replica exchange, made at need."""
    place = folder / f"{system}_simulation_{seed}"
    if not (place / "frames.h5").exists():
        highest = "1200" if System.load(system).temperature < 1200 else "2400"
        command = [
            sys.executable,
            "-c",
            "import sys; from boltzgen.cli import main; sys.exit(main())",
            "simulate",
            system,
            "-n",
            str(n),
            "-o",
            str(place),
            "--seed",
            str(seed),
            "--highest",
            highest,
        ]
        command += ["-t", str(place / "frames.h5")] + (
            ["--resume"] if (place / "simulation.json").exists() else []
        )
        subprocess.run(command, check=True)
    return place


def reference_for(folder: Path, system: System, n: int) -> Reference:
    """The shipped one, or a simulation whose frames nothing is trained on."""
    shipped = (system.folder or Path()) / "reference.h5"
    return Reference.load(
        shipped if shipped.exists() else simulation(folder, system.name, 1, n) / "reference.h5", system
    )


def run(folder: Path, name: str, way: str, base: str, seed: int, quick: bool, n: int) -> None:
    """Train and compare with the reference, unless that is done."""
    place = folder / f"{name}_{way}_{base.replace(', ', '_')}_{seed}"
    if (place / "result.json").exists():
        return
    system, options, frames = System.load(name), BASES[base], 4 if quick else 240
    settings = QUICK if quick else ANNEAL
    if way == "scratch":
        settings = dataclasses.replace(settings, **SCRATCH)
    if not (place / "summary.json").exists():
        data = simulation(folder, name, 0, frames) / "frames.h5" if way == "data" else None
        resume = (place / "state.safetensors").exists()
        if resume:
            train(system, place, resume=True)
        else:
            train(system, place, seed=seed, settings=settings, data=data, **options)
    generator, energy = BoltzmannGenerator.load(place, system), CountedEnergy(energy_for(system))
    reference = reference_for(folder, system, frames)
    samples = WeightedSamples.concatenate(list(generator.sample_chunks(n, energy, seed=2**31)))
    with torch.no_grad():
        # The reference has the labels of equivalent atoms of another structure's domain.
        log_q = torch.cat(
            [generator.log_prob(generator.coordinates.canonical(x.double())) for x in reference.x.split(2048)]
        )
    log_w = (-reference.u - log_q).double().numpy()
    weight = torch.softmax(samples.log_w.double(), 0).numpy()
    left = [k for k, b in enumerate(reference.basins) if b.intervals.get("phi", (-180.0,))[0] >= 0]
    torsions = {name: samples.torsion(name).numpy() for name in ("phi", "psi")}
    here = np.isin(assign_basins(torsions, reference.basins), left)
    assert reference.populations is not None
    resampled = (
        [f for f in generator.flow.leading.base.factors if isinstance(f, Resampled)]
        if isinstance(generator.flow.leading.base, Product)
        else []
    )
    result = {
        "system": name,
        "way": way,
        "base": base,
        "seed": seed,
        "efficiency": sampling_efficiency(samples.log_w),
        "clipped": sampling_efficiency(clip_log_weights(samples.log_w)),
        "forward_ess": forward_ess(log_w),
        "forward_ess_omitted": forward_ess(np.sort(log_w)[: math.floor((1 - OMITTED) * len(log_w))]),
        "forward_kl": float(log_w.mean()) - samples.log_z.value,
        "drawn_left": float(here.mean()),
        "weighted_left": float(weight[here].sum()),
        "reference_left": float(sum(reference.populations.probability[k] for k in left)),
        "log_z": samples.log_z.value,
        "energies": json.loads((place / "summary.json").read_text())["n_energy_evaluations"] - 100_000,
        "acceptance_rate": float(resampled[0].log_acceptance_rate().detach().exp()) if resampled else None,
        "proposals": float(resampled[0].expected_proposals().detach()) if resampled else None,
    }
    (place / "result.json").write_text(json.dumps(result))
    print(json.dumps(result), flush=True)


def table(folder: Path) -> str:
    results = [json.loads(file.read_text()) for file in sorted(folder.glob("*/result.json"))]
    heads = [
        "system",
        "trained by",
        "base",
        "seeds",
        "efficiency, %",
        "clipped, %",
        "forward ESS, %",
        "without 0.1 % of frames, %",
        "KL(p, q)",
        "C7ax + alphaL drawn, %",
        "reweighted, %",
        "reference, %",
        "energies",
        "proposals",
    ]
    lines = ["| " + " | ".join(heads) + " |", "|" + len(heads) * "---|"]
    for name in SYSTEMS:
        for way in WAYS:
            for base in BASES:
                rows = [r for r in results if (r["system"], r["way"], r["base"]) == (name, way, base)]
                if not rows:
                    continue

                def span(key: str, unit: float = 100.0, rows: list[dict[str, Any]] = rows) -> str:
                    values = [unit * r[key] for r in rows]
                    return f"{sum(values) / len(values):.3g} ({min(values):.3g} to {max(values):.3g})"

                def mean(key: str, form: str, rows: list[dict[str, Any]] = rows) -> str:
                    values = [r[key] for r in rows]
                    return "" if None in values else f"{sum(values) / len(values):{form}}"

                cells = [name, way, base, str(len(rows)), *(span(k) for k in ("efficiency", "clipped"))]
                cells += [span(k) for k in ("forward_ess", "forward_ess_omitted")]
                cells += [span("forward_kl", 1.0), span("drawn_left"), span("weighted_left")]
                cells += [
                    f"{100 * rows[0]['reference_left']:.3g}",
                    mean("energies", ".2e"),
                    mean("proposals", ".1f"),
                ]
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--bases", nargs="+", choices=BASES, default=list(BASES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--simulate", action="store_true", help="only make the simulations")
    parser.add_argument("--quick", action="store_true", help="a few steps: does it run?")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.simulate:
        for name in options.systems:
            for seed in (0, 1):
                simulation(options.folder, name, seed, 4 if options.quick else 240)
        return
    for seed in options.seeds:
        for name in options.systems:
            for way in options.ways:
                for base in options.bases:
                    run(
                        options.folder,
                        name,
                        way,
                        base,
                        seed,
                        options.quick,
                        2048 if options.quick else 100_000,
                    )
    print(table(options.folder))


if __name__ == "__main__":
    main()
