"""`boltzgen prepare`."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from boltzgen.cli.common import Json, print_fields

if TYPE_CHECKING:
    from boltzgen.preparation.sources import Source

AMBER = (".prmtop", ".parm7", ".top")


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
    from boltzgen.preparation.folder import check_free
    from boltzgen.preparation.run import prepare as run

    began = time.perf_counter()
    check_free(output)
    given: dict[str, Any] = {
        "--forcefield": forcefield,
        "--system": system,
        "--coordinates": coordinates,
        "--solvent": solvent,
        "--constraints": constraints,
        "--add-hydrogens": add_hydrogens,
        "--trust-forcefield": trust_forcefield,
    }
    source = _source(molecule, sequence, given)
    summary = run(source, output, name=name, temperature=temperature)
    summary["seconds"] = time.perf_counter() - began
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
    }
    print_fields(summary | listed | measured)
    Console().print(
        f"train a generator with: boltzgen train {output} -o RUN", soft_wrap=True, highlight=False
    )


def _source(molecule: Path | None, sequence: str | None, given: dict[str, Any]) -> "Source":
    """The molecule that the options describe, each with those that belong to it and no others."""
    from boltzgen.preparation import sources

    if (molecule is None) == (sequence is None):
        raise ValueError(
            "expected either a file or --sequence, for instance: boltzgen prepare my.pdb --forcefield "
            "amber14-all.xml -o my_system"
        )
    options = {key: value for key, value in given.items() if value}
    constraints = options.get("--constraints", "none")
    if molecule is not None and molecule.suffix in AMBER:
        _only(options, "an Amber topology", "--coordinates", "--solvent", "--constraints")
        return sources.from_amber(
            molecule,
            options["--coordinates"],
            solvent=options.get("--solvent", "none"),
            constraints=constraints,
        )
    if molecule is not None and "--system" in options:
        _only(options, "a structure with --system", "--system")
        return sources.from_openmm(molecule, options["--system"])
    trust = "--trust-forcefield" in options
    forcefield = options.get("--forcefield", [])
    if sequence is not None:
        _only(options, "a sequence", "--forcefield", "--constraints", "--trust-forcefield")
        return sources.from_sequence(sequence, forcefield, constraints=constraints, trust_forcefield=trust)
    assert molecule is not None
    _only(options, "a PDB file", "--forcefield", "--constraints", "--trust-forcefield", "--add-hydrogens")
    return sources.from_structure(
        molecule,
        forcefield,
        constraints=constraints,
        add_missing_hydrogens="--add-hydrogens" in options,
        trust_forcefield=trust,
    )


def _only(options: dict[str, Any], what: str, needed: str, *others: str) -> None:
    """Raise ValueError unless there are no options but these, the needed one among them."""
    wrong = [key for key in options if key not in (needed, *others)]
    if wrong:
        raise ValueError(
            f"{' and '.join(wrong)} cannot be used with {what}; it takes {', '.join((needed, *others))}"
        )
    if needed not in options:
        hint = (
            "; for instance --forcefield amber14-all.xml --forcefield implicit/obc2.xml"
            if needed == "--forcefield"
            else ""
        )
        raise ValueError(f"{what} needs {needed}{hint}")
