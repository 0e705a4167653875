"""`boltzgen free-energy difference`."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boltzgen.cli.common import (
    Device,
    Force,
    Json,
    Seed,
    Unfinished,
    check_device,
    new_table,
    system_names,
    warn_of_stage,
)
from boltzgen.cli.free_energy.common import (
    Html,
    Picture,
    Said,
    Unit,
    Units,
    check_outputs,
    print_said,
    print_warnings,
    save_figure,
    save_html,
    value_and_interval,
)
from boltzgen.cli.progress import progress

if TYPE_CHECKING:
    from boltzgen.figures import ShownFigure
    from boltzgen.free_energy.result import Result

#: What each estimator does, in the order of `thermodynamics.hamiltonians.METHODS`.
METHODS = {
    "mixture": "draws of both generators together, with the densities of both",
    "mbar": "the same by pymbar, the generators as sampled states",
    "independent": "log Z of each from its own generator's draws",
    "targeted": "draws mapped by both flows, in both directions, and BAR",
    "targeted_forward": "draws of A mapped to B",
    "targeted_reverse": "draws of B mapped to A",
    "forward": "exponential averaging over A's draws",
    "reverse": "exponential averaging over B's draws",
}


def difference(
    first: Annotated[
        str,
        typer.Argument(
            metavar="FIRST",
            autocompletion=system_names,
            help="A shipped system that comes trained, a trained system's folder, or a run's folder.",
        ),
    ],
    second: Annotated[
        str, typer.Argument(metavar="SECOND", autocompletion=system_names, help="Another one, likewise.")
    ],
    n: Annotated[
        int,
        typer.Option(
            "-n", "--n-samples", min=100, metavar="N", help="Number of conformations to draw from each."
        ),
    ] = 20_000,
    temperature: Annotated[
        float | None,
        typer.Option("--temperature", metavar="T", help="Of both, in K (default: the first generator's)."),
    ] = None,
    units: Units = Unit.KT,
    figure: Picture = None,
    html: Html = None,
    unfinished: Unfinished = False,
    force: Force = False,
    seed: Seed = 0,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Free energy between two force fields, or solvents, of one molecule: F(second) - F(first).

    Each has a generator of its own, A and B. All estimators are printed: they should agree, and the first one
    has the smallest error.

    Examples:
        boltzgen free-energy difference vacuum_run alanine_dipeptide --units kJ/mol
        boltzgen free-energy difference run_a run_b -n 100000 --figure dF.png
    """
    from boltzgen.analysis.free_energy_figures import difference_label, free_energy_figure
    from boltzgen.energy.choose import energy_for
    from boltzgen.generator.generator import BoltzmannGenerator
    from boltzgen.generator.locate import locate
    from boltzgen.storage import finite_or_none
    from boltzgen.thermodynamics.convergence import hamiltonian_convergence
    from boltzgen.thermodynamics.hamiltonians import METHODS as KNOWN
    from boltzgen.thermodynamics.hamiltonians import HamiltonianDifference

    check_device(device)
    check_outputs(figure, html, force=force)
    generators = []
    for source in (first, second):
        system, folder = locate(source, unfinished=unfinished)
        generators.append(BoltzmannGenerator.load(folder, system, device=device))
        warn_of_stage(generators[-1])
    a, b = generators
    at = a.temperature if temperature is None else temperature
    energies = (energy_for(a.system, at).to(a.device), energy_for(b.system, at).to(b.device))
    with progress("drawing conformations", 2 * n) as move:
        found = HamiltonianDifference.draw(
            a, b, n, energies=energies, seed=seed, on_draws=lambda done: move(completed=done)
        )
        move("estimating")
        results = {name: result.to(units.value) for name, result in found.estimates().items()}
        curve = hamiltonian_convergence(found, KNOWN[0]).to(units.value)
        title = f"F({b.system.name}) - F({a.system.name}), {at:g} K: {n:,} draws of each"
        label = difference_label(units.value)

        def draw(text: str) -> "ShownFigure":
            return free_energy_figure(results, {KNOWN[0]: curve}, label=label, title=text)

        save_figure(figure, draw, title)
        best = results[KNOWN[0]]
        warnings, said = [*best.warnings, *curve.warnings], _said(results, best, title, units.value)
        save_html(html, title, said, warnings, draw)
    print_warnings(warnings)
    if as_json:
        answer: dict[str, Any] = {
            "first": a.system.name,
            "second": b.system.name,
            "temperature": at,
            "unit": units.value,
            "n_samples": n,
            "seed": seed,
            "best": KNOWN[0],
            "estimates": {name: result.to_dict() for name, result in results.items()},
            "convergence": curve.to_dict(),
            "warnings": warnings,
        }
        typer.echo(json.dumps(finite_or_none(answer), allow_nan=False))
        return
    print_said(said, figure, html)


def _said(results: "dict[str, Result]", best: "Result", title: str, unit: str) -> Said:
    table = new_table("estimator", "ΔF", "interval", "", "what it uses")
    table.columns[4].justify = "left"
    for name, result in results.items():
        mark = "" if result.is_trusted else "doubtful"
        table.add_row(name, *value_and_interval(result, 5), mark, METHODS[name])
    return [f"{title}; in {unit}, intervals of 95 %", table, *(f"note: {line}" for line in best.notes)]
