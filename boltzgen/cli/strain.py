"""`boltzgen strain`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from boltzgen.cli.common import Json, print_fields, system_names, warn
from boltzgen.cli.free_energy.common import SamplesFile, Unit, Units
from boltzgen.cli.progress import progress


def strain(
    file: SamplesFile,
    pose: Annotated[Path, typer.Argument(metavar="POSE", help="SDF file of a pose, with all hydrogens.")],
    system: Annotated[
        str,
        typer.Option(
            "--system",
            metavar="SYSTEM",
            autocompletion=system_names,
            help="The molecule of the samples, a name or a folder.",
        ),
    ],
    barrier: Annotated[
        float,
        typer.Option("--barrier", metavar="KT", help="Barrier in kT that makes two wells two conformers."),
    ] = 1.0,
    units: Units = Unit.KJ_PER_MOL,
    as_json: Json = False,
) -> None:
    """Say what a pose costs: its strain energy, and the population of its conformer.

    Examples:
        boltzgen strain samples.h5 pose.sdf --system ibuprofen
        boltzgen strain samples.h5 pose.sdf --system ibuprofen --units kcal/mol --json
    """
    from boltzgen.analysis.strain import strain as strain_of
    from boltzgen.storage import finite_or_none
    from boltzgen.weights import with_error

    with progress("reading samples and minimising energies"):
        found = strain_of(file, pose, system, unit=units.value, barrier=barrier)
    if as_json:
        typer.echo(json.dumps(finite_or_none(found.to_dict()), allow_nan=False))
        return
    for warning in found.population.warnings:
        warn(f"population of the pose's conformer: {warning}")
    share, cost, unit = found.population, found.free_energy, found.unit
    interval = (
        "not estimated" if share.low < 0 else f"{100 * max(share.low, 0):.3g} to {100 * share.high:.3g} %"
    )
    rare = share.value == 0
    print_fields(
        {
            "pose": f"{found.pose_energy:.1f} {unit}",
            "relaxed": f"{found.relaxed_energy:.1f} {unit}, {found.moved:.3f} nm from the pose",
            "lowest minimum": f"{found.lowest_energy:.1f} {unit}, in {found.lowest_conformer}",
            "strain energy": f"{found.strain:.2f} {unit}",
            "conformer": found.conformer,
            "population": f"{100 * share.value:.3g} % ({interval})",
            "-kT ln of it": f"above {cost.low:.2g} {unit}"
            if rare
            else f"{with_error(cost.value, cost.error)} {unit}",
        }
    )
