"""`boltzgen prepare`."""

import json
import time
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from boltzgen.cli.common import Force, Json, command_line, note, print_fields
from boltzgen.cli.progress import duration, progress

#: The implicit solvents and constraints of `boltzgen.preparation.sources`.
Solvent = Literal["none", "HCT", "OBC1", "OBC2", "GBn", "GBn2"]
Constraints = Literal["none", "HBonds"]


def prepare(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder to write, of the new system.")
    ],
    molecule: Annotated[
        Path | None,
        typer.Argument(
            metavar="MOLECULE",
            help="The molecule: a PDB file (or .cif), or an Amber topology (.prmtop); none with --sequence.",
        ),
    ] = None,
    sequence: Annotated[
        str | None,
        typer.Option(
            "--sequence",
            metavar="RESIDUES",
            help="Build this peptide instead, for instance 'ACE ALA ALA NME'.",
        ),
    ] = None,
    forcefield: Annotated[
        list[str] | None,
        typer.Option(
            "--forcefield",
            metavar="FILE",
            help="OpenMM force-field file, its own or yours; may be repeated: an implicit solvent is a "
            "second one, such as implicit/obc2.xml.",
        ),
    ] = None,
    system: Annotated[
        Path | None,
        typer.Option(
            "--system",
            metavar="FILE",
            help="Serialized OpenMM System of the PDB file's atoms, in place of a force field.",
        ),
    ] = None,
    coordinates: Annotated[
        Path | None,
        typer.Option(
            "--coordinates",
            metavar="FILE",
            help="Coordinates of an Amber topology: .inpcrd, .rst7 or .pdb.",
        ),
    ] = None,
    solvent: Annotated[
        Solvent | None,
        typer.Option(
            "--solvent",
            metavar="|".join(get_args(Solvent)),
            help="Implicit solvent of an Amber topology (default: none); otherwise a second --forcefield.",
        ),
    ] = None,
    constraints: Annotated[
        Constraints | None,
        typer.Option(
            "--constraints",
            metavar="|".join(get_args(Constraints)),
            help="HBonds: bonds to hydrogen keep their lengths, as in most simulations (default: none).",
        ),
    ] = None,
    add_hydrogens: Annotated[
        bool, typer.Option("--add-hydrogens", help="Add the hydrogens that a PDB file lacks, as at pH 7.")
    ] = False,
    temperature: Annotated[
        float, typer.Option("--temperature", metavar="K", help="Temperature in K.")
    ] = 300.0,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name of the system (default: the folder's)."),
    ] = None,
    trust_forcefield: Annotated[
        bool,
        typer.Option(
            "--trust-forcefield", help="Run the Python code that your own force-field files may hold."
        ),
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make your own molecule a system: check it, minimise its energy, write its folder.

    Examples:
        boltzgen prepare --sequence "ACE SER NME" --forcefield amber99sbildn.xml -o vacuum
        boltzgen prepare a.pdb --forcefield amber96.xml --forcefield implicit/obc2.xml -o a
        boltzgen prepare my.pdb --forcefield amber99sbildn.xml --add-hydrogens -o mine
        boltzgen prepare my.prmtop --coordinates my.inpcrd --solvent OBC2 -o mine
    """
    from boltzgen.molecule.system import System
    from boltzgen.preparation import run
    from boltzgen.training import timing
    from boltzgen.training.budget import sensible_minutes
    from boltzgen.training.measured import expectation
    from boltzgen.training.run_summary import MOST_DRAWS
    from boltzgen.training.settings import Settings

    began = time.perf_counter()
    with progress("checking the molecule and minimising its energy"):
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
            force=force,
        )
    summary["seconds"] = time.perf_counter() - began
    with progress("measuring how fast this machine trains"):
        speed = timing.training_speed(System.load(output))
    rounds = Settings().rounds
    summary["training_minutes"] = speed.seconds(rounds, MOST_DRAWS) / 60
    summary["shortest_training_minutes"] = sensible_minutes(speed.shortest(most_draws=MOST_DRAWS))
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
    training = duration(60 * summary["training_minutes"])
    # HBonds belongs to molecules that get their force field here.
    if not summary["constrained_bonds"] and system is None:
        listed["constrained_bonds"] = (
            "0; --constraints HBonds, usual in simulations, fixes bonds to hydrogen, the fastest coordinates"
        )
    measured = {
        "temperature": f"{summary['temperature']:g} K",
        "energy": f"{summary['energy']:.3f} kJ/mol",
        "time": duration(summary["seconds"]),
        "training": f"about {training} on this machine, as busy as it is now ({rounds} rounds)",
    }
    hidden = ("seconds", "training_minutes", "shortest_training_minutes")
    shown = {key: value for key, value in summary.items() if key not in hidden}
    print_fields(shown | listed | measured)
    train = command_line("train", output, "-o", "RUN")
    shortest = f"--minutes {summary['shortest_training_minutes']}"
    typer.echo(f"train a generator with: {train} ({shortest} for the shortest that makes sense)")
