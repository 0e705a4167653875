"""`boltzgen prepare`."""

import json
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from boltzgen.cli.common import Json, note, print_fields


def prepare(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder to write; anything in it already is refused.")
    ],
    molecule: Annotated[
        Path | None,
        typer.Argument(help="The molecule: a PDB file (or .cif), or an Amber topology (.prmtop)."),
    ] = None,
    sequence: Annotated[
        str | None, typer.Option(help="Build this peptide instead, for instance 'ACE ALA ALA NME'.")
    ] = None,
    forcefield: Annotated[
        list[str] | None, typer.Option(help="OpenMM force-field file, its own or yours; may be repeated.")
    ] = None,
    system: Annotated[
        Path | None,
        typer.Option(help="Serialized OpenMM System of the PDB file's atoms, in place of a force field."),
    ] = None,
    coordinates: Annotated[
        Path | None, typer.Option(help="Coordinates of an Amber topology: .inpcrd, .rst7 or .pdb.")
    ] = None,
    solvent: Annotated[
        Literal["none", "HCT", "OBC1", "OBC2", "GBn", "GBn2"] | None,
        typer.Option(help="Implicit solvent of an Amber topology (default: none)."),
    ] = None,
    constraints: Annotated[
        Literal["none", "HBonds"] | None, typer.Option(help="Bonds of fixed length (default: none).")
    ] = None,
    add_hydrogens: Annotated[
        bool, typer.Option("--add-hydrogens", help="Add the hydrogens that a PDB file lacks, as at pH 7.")
    ] = False,
    temperature: Annotated[float, typer.Option(help="Temperature in K.")] = 300.0,
    name: Annotated[str | None, typer.Option(help="Name of the system (default: the folder's).")] = None,
    trust_forcefield: Annotated[
        bool,
        typer.Option(
            "--trust-forcefield", help="Run the Python code that your own force-field files may hold."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make your own molecule a system: check it, minimise its energy, write its folder."""
    from boltzgen.molecule.system import System
    from boltzgen.preparation import run
    from boltzgen.training import timing
    from boltzgen.training.measured import expectation
    from boltzgen.training.run import validation_draws

    began = time.perf_counter()
    summary = run.prepare(
        molecule,
        output,
        sequence=sequence,
        forcefield=forcefield or (),
        system=system,
        coordinates=coordinates,
        solvent=solvent,
        constraints=constraints,
        add_hydrogens=add_hydrogens,
        temperature=temperature,
        name=name,
        trust_forcefield=trust_forcefield,
    )
    summary["seconds"] = time.perf_counter() - began
    summary["training_minutes"] = (
        timing.training_seconds(System.load(output), validation=validation_draws()) / 60
    )
    summary["efficiency_of_like_molecules"] = expectation(summary["coordinates"])
    for text in summary["notes"]:
        note(text)
    if as_json:
        typer.echo(json.dumps(summary, allow_nan=False))
        return
    listed = {
        key: f"{len(summary[key])}: {', '.join(summary[key])}".rstrip(": ")
        for key in ("free_torsions", "symmetric_rotors")
    }
    measured = {
        "temperature": f"{summary['temperature']:g} K",
        "energy": f"{summary['energy']:.3f} kJ/mol",
        "seconds": f"{summary['seconds']:.1f}",
        "training": f"about {_duration(summary['training_minutes'])} on this machine, as busy as it is now",
    }
    print_fields({k: v for k, v in summary.items() if k != "training_minutes"} | listed | measured)
    typer.echo(f"train a generator with: boltzgen train {output} -o RUN (--minutes 5 for a shorter training)")


def _duration(minutes: float) -> str:
    """Minutes, or hours where there are many."""
    return f"{minutes:.2g} minutes" if minutes < 99 else f"{minutes / 60:.2g} hours"
