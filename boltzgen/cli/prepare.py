"""`boltzgen prepare`."""

import json
import time
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from boltzgen.cli.common import Force, Json, command_line, note, print_fields, warn
from boltzgen.cli.progress import duration, progress

#: The implicit solvents and constraints of `boltzgen.preparation.sources`.
Solvent = Literal["none", "HCT", "OBC1", "OBC2", "GBn", "GBn2"]
Constraints = Literal["none", "HBonds"]
#: Of `boltzgen.preparation.ligands.source`.
Amides = Literal["either", "trans"]


def prepare(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder to write, of the new system.")
    ],
    molecule: Annotated[
        Path | None,
        typer.Argument(
            metavar="MOLECULE",
            help="The molecule: a PDB file (or .cif), or an Amber topology (.prmtop); none "
            "with --sequence, --smiles, --sdf or --mol2.",
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
    smiles: Annotated[
        str | None,
        typer.Option(
            "--smiles",
            metavar="SMILES",
            help="A small molecule, with its stereochemistry and charges; needs the extra [ligands].",
        ),
    ] = None,
    sdf: Annotated[
        Path | None,
        typer.Option("--sdf", metavar="FILE", help="The first small molecule of an SDF or MDL mol file."),
    ] = None,
    mol2: Annotated[
        Path | None,
        typer.Option("--mol2", metavar="FILE", help="The first small molecule of a Tripos mol2 file."),
    ] = None,
    enumerate_stereo: Annotated[
        bool,
        typer.Option(
            "--enumerate-stereo",
            help="Prepare every stereoisomer of a small molecule whose stereochemistry is not given, each in "
            "a folder of its own: FOLDER-R, FOLDER-S.",
        ),
    ] = False,
    amides: Annotated[
        Amides | None,
        typer.Option(
            "--amides",
            metavar="|".join(get_args(Amides)),
            help="Secondary amides of a small molecule take both forms, or stay trans (default: either).",
        ),
    ] = None,
    forcefield: Annotated[
        list[str] | None,
        typer.Option(
            "--forcefield",
            metavar="FILE",
            help="OpenMM force-field file, its own or yours; may be repeated: an implicit solvent is a "
            "second one, such as implicit/obc2.xml. Of a small molecule, OpenFF's name: openff-2.3.0.",
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
            help="Implicit solvent of an Amber topology or a small molecule (default: none); otherwise a "
            "second --forcefield.",
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
        boltzgen prepare --smiles "CC(=O)Nc1ccc(O)cc1" --forcefield openff-2.3.0 -o mine
    """
    from boltzgen.molecule.system import System
    from boltzgen.preparation import run
    from boltzgen.training import timing
    from boltzgen.training.budget import sensible_minutes
    from boltzgen.training.measured import expectation
    from boltzgen.training.run_summary import MOST_DRAWS
    from boltzgen.training.settings import Settings

    options: dict[str, Any] = {
        "smiles": smiles,
        "sdf": sdf,
        "mol2": mol2,
        "forcefield": forcefield or (),
        "solvent": solvent,
        "constraints": constraints,
        "amides": amides,
    }
    others: dict[str, Any] = {
        "molecule": molecule,
        "sequence": sequence,
        "system": system,
        "coordinates": coordinates,
        "add_hydrogens": add_hydrogens,
        "trust_forcefield": trust_forcefield,
    }
    common: dict[str, Any] = {"temperature": temperature, "name": name, "force": force}
    with progress("checking the molecule and minimising its energy"):
        if enumerate_stereo:
            summaries = run.prepare_stereoisomers(output, **options, **others, **common)
        else:
            began = time.perf_counter()
            summaries = [run.prepare(output=output, **options, **others, **common)]
            summaries[0]["seconds"] = time.perf_counter() - began
    for summary in summaries:
        with progress("measuring how fast this machine trains"):
            speed = timing.training_speed(System.load(summary["folder"]))
        summary["training_minutes"] = speed.seconds(Settings().rounds, MOST_DRAWS) / 60
        summary["shortest_training_minutes"] = sensible_minutes(speed.shortest(most_draws=MOST_DRAWS))
        summary["efficiency_of_like_molecules"] = expectation(summary["coordinates"])
    if as_json:
        for text in dict.fromkeys(text for summary in summaries for text in summary["notes"]):
            note(text)
        whole = {"stereoisomers": summaries} if enumerate_stereo else summaries[0]
        typer.echo(json.dumps(whole, allow_nan=False))
        return
    if len(summaries) > 1:
        warn(
            f"the stereochemistry is not given: {len(summaries)} stereoisomers are prepared, each a "
            "molecule of its own"
        )
    for summary in summaries:
        _print(summary, has_forcefield=system is None)


def _print(summary: dict[str, Any], *, has_forcefield: bool) -> None:
    """What was found, in lines, and the next command; `has_forcefield` if it was made here."""
    from boltzgen.training.settings import Settings

    for text in summary["notes"]:
        note(text)
    listed = {
        key: f"{len(summary[key])}: {', '.join(summary[key])}".rstrip(": ")
        for key in ("free_torsions", "symmetric_rotors")
    }
    training = duration(60 * summary["training_minutes"])
    # HBonds belongs to molecules that get their force field here.
    if not summary["constrained_bonds"] and has_forcefield:
        listed["constrained_bonds"] = (
            "0; --constraints HBonds, usual in simulations, fixes bonds to hydrogen, the fastest coordinates"
        )
    measured = {
        "temperature": f"{summary['temperature']:g} K",
        "energy": f"{summary['energy']:.3f} kJ/mol",
        **({"time": duration(summary["seconds"])} if "seconds" in summary else {}),
        "training": f"about {training} on this machine, as busy as it is now ({Settings().rounds} rounds)",
    }
    hidden = ("seconds", "training_minutes", "shortest_training_minutes")
    shown = {key: value for key, value in summary.items() if key not in hidden}
    print_fields(shown | listed | measured)
    train = command_line("train", summary["folder"], "-o", "RUN")
    shortest = f"--minutes {summary['shortest_training_minutes']}"
    typer.echo(f"train a generator with: {train} ({shortest} for the shortest that makes sense)")
