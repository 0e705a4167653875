"""`boltzgen export`."""

from pathlib import Path
from typing import Annotated

import typer

from boltzgen.cli.common import Seed, warn


def export(
    file: Annotated[Path, typer.Argument(help="Samples file made by `boltzgen sample`.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Trajectory to write: .dcd, .xtc or .pdb.")],
    resample: Annotated[
        int | None, typer.Option(min=1, help="Draw this many frames of equal weight, with replacement.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Write samples as a trajectory for other programs."""
    from boltzgen.samples.export import export as write
    from boltzgen.samples.export import topology_path

    n_frames = write(file, target, resample=resample, seed=seed)
    if resample is None:
        warn(
            f"the frames of {target} do not have equal weight: averages over them need log_w of {file}; use "
            "--resample N for equal weights"
        )
    beside = topology_path(target)
    typer.echo(
        f"{n_frames} frames written to {target}" + (f", the molecule's atoms to {beside}" if beside else "")
    )
