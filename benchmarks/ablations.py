"""Train a molecule, alanine dipeptide by default, with one thing changed at a time, and compare what comes
out.

    python benchmarks/ablations.py FOLDER [--variants NAME ...] [--seeds 0 1 2] [--rounds 12] [--system NAME]

Every run is `boltzgen train NAME` with as many rounds as said, in FOLDER/NAME_SEED; finished ones are not
repeated and interrupted ones go on, so that several processes can share the work by `--variants`. Printed is
a table of all finished runs in FOLDER: mean and range over seeds of the efficiency of each run's 1e5
validation draws, unclipped; with the top 1e-4 of the weights clipped; the largest weight's share, log Z,
energy evaluations, parameters and minutes (comparable only between runs made on an equally busy machine).
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from torch import Tensor, nn
from torch.optim import Adam

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.flow.coupling import SplineCoupling
from boltzgen.flow.triangular import TriangularAffine
from boltzgen.generator import architecture as molecular
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.locate import SUMMARY
from boltzgen.molecule.system import System
from boltzgen.training import energy_objective, optimizer
from boltzgen.training.checkpoint import STATE
from boltzgen.training.losses import log_variance_loss
from boltzgen.training.ranks import Ranks
from boltzgen.training.run import train
from boltzgen.training.settings import Settings, learning_rate_for


class ConstantAffine(TriangularAffine):
    """One mean and one precision matrix, whatever the context."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for net in self.net.nets:
            nn.init.zeros_(net.last.weight)
            net.last.weight.requires_grad_(False)


def adam_alone(parameters: list[nn.Parameter], **options: Any) -> Adam:
    """In Muon's place."""
    return Adam(parameters, lr=options["lr"])


def log_variance(log_q: Tensor, u: Tensor, log_z: Tensor, *, ranks: Ranks) -> Tensor:
    """In `importance_kl`'s place, of the same draws."""
    return log_variance_loss(log_q, u, -log_z, ranks=ranks)


@dataclass(frozen=True)
class Variant:
    """What is changed: settings, options of the flow, and names replaced for as long as the run lasts. `rate`
    is a factor of the learning rate that molecules of this size have.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    replaced: tuple[tuple[Any, str, Any], ...] = ()
    rate: float = 1.0

    def of(self, settings: Settings, system: System) -> Settings:
        """The settings of a run."""
        changed = dataclasses.replace(settings, **self.settings)
        if self.rate == 1:
            return changed
        coordinates = MolecularCoordinates(system)
        usual = learning_rate_for(coordinates.n_periodic + coordinates.n_stiff)
        return dataclasses.replace(changed, learning_rate=self.rate * usual)

    @contextmanager
    def active(self) -> Iterator[None]:
        patches = [patch.object(*replacement) for replacement in self.replaced]
        for each in patches:
            each.start()
        try:
            yield
        finally:
            patch.stopall()


def couplings(**options: Any) -> tuple[tuple[Any, str, Any], ...]:
    return ((molecular, "SplineCoupling", partial(SplineCoupling, **options)),)


_features = molecular.TorsionFeatures
_ADAM = ((optimizer, "Muon", adam_alone),)
VARIANTS: dict[str, Variant] = {
    "default": Variant(),
    "uniform base": Variant(options={"resampled": False}),
    "Adam, learning rate 1e-3": Variant({"learning_rate": 1e-3}, replaced=_ADAM),
    "Adam, learning rate 3e-3": Variant({"learning_rate": 3e-3}, replaced=_ADAM),
    "half the learning rate": Variant(rate=0.5),
    "twice the learning rate": Variant(rate=2.0),
    "no annealing": Variant({"annealing": 0.0}),
    "annealing over a quarter": Variant({"annealing": 0.25}),
    "from 600 K": Variant({"start_temperature": 600.0}),
    "learning rate falls at once": Variant({"hold": 0.0}),
    "reverse KL": Variant({"objective": "reverse_kl"}),
    "reverse KL, path gradient": Variant({"objective": "reverse_kl_path"}),
    "no walkers": Variant({"walker_share": 0.0}),
    "no replays": Variant({"replays": 0}),
    "one replay": Variant({"replays": 1}),
    "four replays": Variant({"replays": 4}),
    "replays of the last eight steps": Variant(replaced=((energy_objective, "_REPLAYED_STEPS", 8),)),
    "own draws, too, by log-variance": Variant(replaced=((energy_objective, "importance_kl", log_variance),)),
    "two harmonics, no pairs": Variant(
        replaced=((_features, "HARMONICS", 2), (_features, "PAIR_HARMONICS", 0))
    ),
    "networks of 2 x 256": Variant(options={"stiff_width": 256}),
    "networks of 2 x 64": Variant(options={"stiff_width": 64}),
    "8 bins": Variant(replaced=couplings(bins=8)),
    "8 spline layers": Variant(options={"stiff_layers": 8}),
    "3 torsion layers": Variant(options={"torsion_layers": 3}),
    "whole covariance": Variant(options={"covariance": "whole"}),
    "constant triangular layer": Variant(replaced=((molecular, "TriangularAffine", ConstantAffine),)),
}


def run(folder: Path, name: str, seed: int, settings: Settings, system: System) -> None:
    """Train unless that is done."""
    place = folder / f"{name.replace(' ', '_').replace(',', '')}_{seed}"
    if (place / SUMMARY).exists():
        return
    variant = VARIANTS[name]
    with variant.active():
        if (place / STATE).exists():
            train(system, place, resume=True)
        else:
            train(
                system,
                place,
                seed=seed,
                settings=variant.of(settings, system),
                **variant.options,
            )
        n_parameters = sum(p.numel() for p in BoltzmannGenerator.load(place, system).flow.parameters())
    (place / "variant.json").write_text(json.dumps({"variant": name, "n_parameters": n_parameters}))


def table(folder: Path) -> str:
    """Rows of all finished runs, one for each variant."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(folder.glob("*/variant.json")):
        about = json.loads(file.read_text())
        found.setdefault(about["variant"], []).append(about | json.loads(file.with_name(SUMMARY).read_text()))
    rows = [
        "| | seeds | efficiency, % (range) | clipped, % | largest weight, % | log Z | evaluations | "
        "parameters | minutes |",
        "|---|" + 8 * "---|",
    ]
    for name in sorted(found, key=list(VARIANTS).index):
        runs = found[name]

        def mean(key: str, form: Callable[[float], str], runs: list[dict[str, Any]] = runs) -> str:
            return form(sum(r[key] for r in runs) / len(runs))

        every = [100 * r["sampling_efficiency"] for r in runs]
        cells = [
            name,
            str(len(runs)),
            f"{sum(every) / len(every):.2f} ({min(every):.2f} to {max(every):.2f})",
            mean("sampling_efficiency_clipped", lambda v: f"{100 * v:.2f}"),
            f"{100 * max(r['largest_weight_share'] for r in runs):.3f}",
            mean("log_z", lambda v: f"{v:.4f}"),
            mean("n_energy_evaluations", lambda v: f"{v:.2e}"),
            str(runs[0]["n_parameters"]),
            mean("seconds", lambda v: f"{v / 60:.1f}"),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--variants",
        nargs="*",
        choices=VARIANTS,
        default=list(VARIANTS),
        metavar="NAME",
        help=f"of {', '.join(VARIANTS)}",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--system", default="alanine_dipeptide")
    parser.add_argument("--quick", action="store_true", help="rounds of a few steps: does it run?")
    options = parser.parse_args()
    settings = Settings(rounds=2, steps=2, batch=64) if options.quick else Settings(rounds=options.rounds)
    for seed in options.seeds:
        for name in options.variants:
            run(options.folder, name, seed, settings, System.load(options.system))
    print(table(options.folder))


if __name__ == "__main__":
    main()
