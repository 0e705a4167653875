"""`boltzgen export`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from boltzgen.cli.common import Force, Json, Seed, check_replaceable, system_names, warn
from boltzgen.cli.progress import progress


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Samples file made by `boltzgen sample`.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="What to write: .dcd, .xtc, .pdb or .sdf.")],
    resample: Annotated[
        int | None,
        typer.Option(
            "--resample",
            min=1,
            metavar="N",
            help="Draw so many frames of equal weight, with replacement (default: all samples, in order).",
        ),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(
            "--system",
            metavar="SYSTEM",
            autocompletion=system_names,
            help="For .sdf: the small molecule's folder, or its SDF file, which has the orders of bonds.",
        ),
    ] = None,
    force: Force = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write samples as a trajectory or an SDF file for other programs.

    Examples:
        boltzgen export samples.h5 frames.xtc --resample 1000
        boltzgen export samples.h5 all.pdb
        boltzgen export samples.h5 conformers.sdf --resample 100 --system ibuprofen
    """
    from boltzgen.samples.contents import read_topology
    from boltzgen.samples.export import export as write
    from boltzgen.samples.export import holds_topology, topology_path

    topology = topology_path(target)
    check_replaceable(target, force=force)
    # Frames in another format may be there under the same name.
    if topology is not None and topology.exists() and not holds_topology(topology, read_topology(file)):
        check_replaceable(topology, force=force)
    with progress("writing frames"):
        n_frames = write(file, target, resample=resample, seed=seed, system=system)
    if resample is None:
        warn(
            f"the frames of {target} do not have equal weight: averages over them need log_w of {file}; use "
            "--resample N for equal weights"
        )
    if as_json:
        beside = None if topology is None else str(topology)
        result = {"file": str(target), "topology": beside, "n_frames": n_frames}
        typer.echo(json.dumps(result | {"equal_weights": resample is not None}))
        return
    typer.echo(f"{n_frames} frames written to {target}")
    if topology is not None:
        typer.echo(f"a trajectory of this format holds no topology, which is in {topology}")
