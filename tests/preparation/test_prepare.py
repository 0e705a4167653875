"""`boltzgen prepare`: what it prints and writes, and what it says of input that it cannot use."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import openmm
import pytest
import torch
from openmm import app, unit

from boltzgen import cli
from boltzgen.molecule.system import System

PEPTIDES = Path(__file__).parents[1] / "data" / "peptides"
AMBER = Path(__file__).parents[1] / "data" / "amber"
FIELD = ("--forcefield", "amber99sbildn.xml", "--forcefield", "amber99_obc.xml")

Output = tuple[int, str, str]


def call(capfd: pytest.CaptureFixture[str], *arguments: object) -> Output:
    capfd.readouterr()
    code = cli.main([str(a) for a in arguments])
    return code, *capfd.readouterr()


def test_a_folder_is_written_and_described(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pdb, output = PEPTIDES / "ace_trp_nme.pdb", tmp_path / "new" / "my_system"
    code, out, err = call(capfd, "prepare", pdb, *FIELD, "-o", output, "--temperature", 310, "--json")
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    summary = json.loads(out)
    assert {
        key: summary[key]
        for key in ("name", "atoms", "residues", "constrained_bonds", "solvent", "temperature")
    } == {
        "name": "my_system",
        "atoms": 36,
        "residues": 3,
        "constrained_bonds": 0,
        "solvent": "implicit",
        "temperature": 310.0,
    }
    assert summary["free_torsions"] == ["phi", "psi", "chi1", "chi2"]
    assert summary["symmetric_rotors"] == ["CH3 (ACE 1)", "C (NME 3)"]
    assert summary["seconds"] < 20
    assert sorted(p.name for p in output.iterdir()) == ["system.toml", "topology.pdb"]
    assert [p.name for p in output.parent.iterdir()] == ["my_system"]
    system, given = System.load(output), System.from_pdb(pdb, ["amber99sbildn.xml", "amber99_obc.xml"])
    assert (system.name, system.temperature) == ("my_system", 310.0)
    assert system.fingerprint == given.fingerprint
    assert potential(system) == pytest.approx(summary["energy"], abs=1e-6)
    assert potential(system) < potential(given) - 0.1
    assert (system.positions - given.positions).abs().max() < 0.1


def potential(system: System) -> float:
    context = openmm.Context(
        system.openmm_system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(system.positions.numpy())
    return float(context.getState(getEnergy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole))


def test_the_table_names_torsions_and_the_next_command(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "gly"
    output.mkdir()  # an empty folder may be there
    code, out, err = call(
        capfd,
        "prepare",
        PEPTIDES / "ace_gly_nme.pdb",
        *FIELD,
        "--constraints",
        "HBonds",
        "--name",
        "Gly",
        "-o",
        output,
    )
    assert (code, err) == (0, "")
    rows = dict(re.split(r"  +", line.strip(), maxsplit=1) for line in out.splitlines()[:-1])
    assert (rows["name"], rows["atoms"], rows["constrained bonds"]) == ("Gly", "19", "10")
    assert rows["free torsions"] == "2: phi, psi"
    assert f"boltzgen train {output} -o RUN" in out.splitlines()[-1]
    system = System.load(output)
    assert len(system.constraints) == 10
    bonds = {
        pair: float((system.positions[pair[0]] - system.positions[pair[1]]).norm())
        for pair in system.constraints
    }
    assert all(bonds[pair] == pytest.approx(length, abs=2e-4) for pair, length in system.constraints.items())


# What is wrong with a molecule, as changes to the lines of a PDB file.


def lines(name: str) -> list[str]:
    return (PEPTIDES / f"{name}.pdb").read_text().splitlines()


def without(name: str, *atoms: str) -> str:
    return "\n".join(line for line in lines(name) if line[12:16].strip() not in atoms)


def renamed(name: str, old: str, new: str) -> str:
    """An atom's or a residue's name is another."""
    return "\n".join(
        line.replace(f" {old:<3s} ", f" {new:<3s} ") if line.startswith(("ATOM", "HETATM")) else line
        for line in lines(name)
    )


def alternates() -> str:
    kept = []
    for line in lines("ace_ala_nme"):
        kept += [line[:16] + letter + line[17:] for letter in "AB"] if line[12:16].strip() == "CB" else [line]
    return "\n".join(kept)


def moved(select: Callable[[str], bool], shift: float, name: str = "ace_ala_nme") -> str:
    """Some atoms are elsewhere along x, in Angstrom."""
    return "\n".join(
        line[:30] + f"{float(line[30:38]) + shift:8.3f}" + line[38:]
        if line.startswith(("ATOM", "HETATM")) and select(line)
        else line
        for line in lines(name)
    )


def cut() -> str:
    """The second of three alanines is missing."""
    return "\n".join(
        line for line in lines("capped_ala3") if line[22:26].strip() != "3" and not line.startswith("CONECT")
    )


def two_chains() -> str:
    second = [
        line[:21] + "B" + line[22:]
        for line in moved(lambda line: True, 20.0).splitlines()
        if line.startswith(("ATOM", "HETATM"))
    ]
    return "\n".join(
        [
            *(line for line in lines("ace_ala_nme") if line.startswith(("ATOM", "HETATM"))),
            "TER",
            *second,
            "END",
        ]
    )


def solvated() -> str:
    water = [
        f"HETATM{90 + k:5d}  {atom:<3s} HOH B   9    {30 + k:8.3f}  30.000  30.000  1.00  0.00           "
        f"{atom[0]}"
        for k, atom in enumerate(("O", "H1", "H2"))
    ]
    return "\n".join([*lines("ace_ala_nme")[:-1], *water, "END"])


def cis() -> str:
    """The amide's acetyl end turned by half about its C-N bond."""
    system = System.from_pdb(PEPTIDES / "ace_ala_nme.pdb", ["amber99sbildn.xml"])
    x = system.positions.clone()
    _, c, n, _ = system.graph.omega(system.graph.peptide_bonds()[0])
    axis = (x[n] - x[c]) / (x[n] - x[c]).norm()
    for i in system.graph.reachable(c, blocked=n) - {c}:
        r = x[i] - x[c]
        x[i] = x[c] + 2 * (r @ axis) * axis - r
    moved = {k: x[k] * 10 for k in range(system.n_atoms)}
    out, k = [], 0
    for line in lines("ace_ala_nme"):
        if line.startswith(("ATOM", "HETATM")):
            line, k = line[:30] + "".join(f"{float(v):8.3f}" for v in moved[k]) + line[54:], k + 1
        out.append(line)
    return "\n".join(out)


METHANOL = """\
HETATM    1  C   MOH A   1      -0.371  -0.008   0.000  1.00  0.00           C
HETATM    2  O   MOH A   1       1.012   0.297   0.000  1.00  0.00           O
HETATM    3  H1  MOH A   1      -0.857   0.408   0.892  1.00  0.00           H
HETATM    4  H2  MOH A   1      -0.857   0.408  -0.892  1.00  0.00           H
HETATM    5  H3  MOH A   1      -0.530  -1.087   0.000  1.00  0.00           H
HETATM    6  HO  MOH A   1       1.491  -0.532   0.000  1.00  0.00           H
CONECT    1    2    3    4    5
CONECT    2    6
END
"""
STRUCTURES: dict[str, tuple[Callable[[], str | bytes], str]] = {
    "empty": (lambda: "", "is empty; expected a PDB file"),
    "binary": (lambda: b"\x89HDF\r\n\0\0\1\2\3", "is a binary file"),
    "prose": (lambda: "these are not atoms\n", "expected ATOM records"),
    "coordinates": (
        lambda: "\n".join(lines("ace_ala_nme")).replace("2.030", "x.xxx"),
        "not a readable PDB file",
    ),
    "hydrogens": (
        lambda: without("ace_ala_nme", "HA", "HB1"),
        "2 hydrogens are missing, in ALA 2; add them with --add-hydrogens",
    ),
    "no hydrogens": (
        lambda: "\n".join(line for line in lines("ace_ala_nme") if line[76:78].strip() != "H"),
        "12 hydrogens are missing, in ACE 1, ALA 2, NME 3; add them with --add-hydrogens",
    ),
    "heavy atoms": (
        lambda: without("ace_trp_nme", "CE2", "CZ2"),
        "TRP 2 lacks heavy atoms: CE2, CZ2; add them with PDBFixer",
    ),
    "end": (
        lambda: without("gly_ala_val", "OXT"),
        "VAL 3 lacks heavy atoms: OXT; add them with PDBFixer (addMissingAtoms), or cap the chain",
    ),
    "gap": (cut, "nm long, expected below 0.25 nm: residues are missing in between"),
    "residue": (
        lambda: renamed("ace_ala_nme", "ALA", "LIG"),
        "unknown residue LIG 2: the force field has no template that fits",
    ),
    "bonded residue": (
        lambda: METHANOL,
        "unknown residue MOH 1: the force field has no template that fits its atoms and bonds; give a file "
        "that has one",
    ),
    "chains": (
        two_chains,
        "expected one molecule, got 2 that no bond joins, which begin at ACE 1 of chain A, ACE 1 of chain B",
    ),
    "water": (solvated, "got 1 water molecules; strip the water (and ions) and choose an implicit solvent"),
    "alternates": (alternates, "alternate locations A, B (column 17)"),
    "twice": (
        lambda: "\n".join([*lines("ace_ala_nme")[:5], lines("ace_ala_nme")[4], *lines("ace_ala_nme")[5:]]),
        "more than once; give every atom",
    ),
    "hydrogen's name": (
        lambda: renamed("ace_ala_nme", "HA", "HX"),
        "HX (ALA 2) are bonded to nothing: bonds follow from the PDB's standard atom names",
    ),
    "heavy atom's name": (
        lambda: renamed("ace_ala_nme", "CB", "CX"),
        "ALA 2 has atoms CX that are no atoms of ALA; rename them as the PDB does",
    ),
    "clash": (lambda: overlapping(), "atoms overlap; give a structure without clashes"),
    "nan": (lambda: "\n".join(lines("ace_ala_nme")).replace("   2.030", "     nan"), "are NaN or infinite"),
    "cis": (cis, "cis peptide bonds: C (ACE 1) - N (ALA 2) (omega"),
}


def overlapping() -> str:
    """One hydrogen of a methyl lies on another."""
    kept = lines("ace_ala_nme")
    first, second = (
        next(k for k, line in enumerate(kept) if line[12:16].strip() == name) for name in ("HB1", "HB2")
    )
    kept[second] = kept[second][:30] + kept[first][30:54] + kept[second][54:]
    return "\n".join(kept)


@pytest.mark.parametrize("case", STRUCTURES)
def test_structures_that_are_refused(case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make, message = STRUCTURES[case]
    content = make()
    file = tmp_path / "given.pdb"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(call(capfd, "prepare", file, *FIELD, "-o", tmp_path / "out"), message)
    assert [p.name for p in tmp_path.iterdir()] == ["given.pdb"]


def refused(output: Output, message: str) -> None:
    code, out, err = output
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("boltzgen: ")
    assert err.count("\n") == 1


# What is wrong with a serialized System, or with the structure that comes with it.


def made(change: Callable[[openmm.System], object] = lambda system: None, name: str = "ace_ala_nme") -> str:
    topology = app.PDBFile(str(PEPTIDES / f"{name}.pdb")).topology
    system = app.ForceField("amber99sbildn.xml", "amber99_obc.xml").createSystem(topology)
    change(system)
    return str(openmm.XmlSerializer.serialize(system))


def exchanged(first: str, second: str) -> str:
    """A PDB file in which two atoms of alanine have changed places."""
    kept = [line for line in lines("ace_ala_nme") if line.startswith(("ATOM", "HETATM"))]
    i, j = (
        next(k for k, line in enumerate(kept) if line[12:16].strip() == name and "ALA" in line)
        for name in (first, second)
    )
    kept[i], kept[j] = kept[j], kept[i]
    return "\n".join([*kept, "END"])


def good() -> str:
    return "\n".join(lines("ace_ala_nme"))


def virtual_site(system: openmm.System) -> None:
    system.setParticleMass(3, 0.0)
    system.setVirtualSite(3, openmm.TwoParticleAverageSite(0, 1, 0.5, 0.5))


def periodic(system: openmm.System) -> None:
    next(f for f in system.getForces() if isinstance(f, openmm.NonbondedForce)).setNonbondedMethod(
        openmm.NonbondedForce.CutoffPeriodic
    )


def code_inside() -> str:
    force = (
        '<Force type="PythonForce" version="2" forceGroup="0" name="f" usesPeriodic="0" function="80">'
        "<GlobalParameters/><Particles/></Force>"
    )
    return made().replace("</Forces>", force + "</Forces>")


SYSTEMS: dict[str, tuple[Callable[[], str], Callable[[], str], str]] = {
    "other molecule": (
        good,
        lambda: made(name="ace_gly_nme"),
        "the structure has 22 atoms but the System 19 particles",
    ),
    "masses": (
        lambda: exchanged("C", "O"),
        made,
        "atom 15 is O (ALA 2) in the structure, but the System gives it (and its hydrogens) other masses",
    ),
    "bonds": (lambda: exchanged("H", "HA"), made, "the System has no bond"),
    "periodic": (
        good,
        lambda: made(periodic),
        "the OpenMM System is periodic; expected a molecule on its own",
    ),
    "virtual site": (good, lambda: made(virtual_site), "H3 (ACE 1) are virtual sites"),
    "force": (
        good,
        lambda: made(lambda s: s.addForce(openmm.RMSDForce([openmm.Vec3(0, 0, 0)] * 22))),
        "cannot compute RMSDForce",
    ),
    "code": (good, code_inside, "holds a PythonForce, which may be code that OpenMM would run"),
    "no XML": (good, lambda: "no XML", "is not valid XML"),
    "half": (
        good,
        lambda: made().replace("Particles", "Articles"),
        "is not a whole serialized OpenMM System",
    ),
    "other XML": (good, lambda: "<State/>", "expected <System>, got <State>"),
}


@pytest.mark.parametrize("case", SYSTEMS)
def test_serialized_systems_that_are_refused(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    structure, system, message = SYSTEMS[case]
    (tmp_path / "given.pdb").write_text(structure())
    (tmp_path / "given.xml").write_text(system())
    refused(
        call(
            capfd,
            "prepare",
            tmp_path / "given.pdb",
            "--system",
            tmp_path / "given.xml",
            "-o",
            tmp_path / "out",
        ),
        message,
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["given.pdb", "given.xml"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected either a file or --sequence"),
        (["{pdb}", "--sequence", "ALA ALA", *FIELD], "expected either a file or --sequence"),
        (["{pdb}"], "a PDB file needs --forcefield; for instance --forcefield amber14-all.xml"),
        (["{tmp}/none.pdb", *FIELD], "no PDB file at"),
        (["{tmp}", *FIELD], "no PDB file at"),
        (["{pdb}", "--forcefield", "amber95.xml"], "no force-field file 'amber95.xml'"),
        (["{pdb}", "--forcefield", "{pdb}"], "is not valid XML"),
        (["{pdb}", "--forcefield", "tip3p.xml"], "the force field does not fit"),
        (["{pdb}", *FIELD, "--constraints", "AllBonds"], "Invalid value for '--constraints'"),
        (["{pdb}", *FIELD, "--solvent", "OBC2"], "--solvent cannot be used with a PDB file"),
        (
            ["{pdb}", *FIELD, "--system", "{tmp}/s.xml"],
            "--forcefield cannot be used with a structure with --system; it takes --system",
        ),
        (["{pdb}", "--system", "{tmp}/s.xml"], "no serialized OpenMM System at"),
        (["{pdb}", *FIELD, "--temperature", "-3"], "positive number of kelvin"),
        (["{pdb}", *FIELD, "--name", "a/b"], "expected a name of letters, digits"),
        (["{pdb}", *FIELD, "-o", "{full}"], "is not empty; choose another folder, or remove it first"),
        (["{pdb}", *FIELD, "-o", "{pdb}"], "is a file; choose another folder"),
        (["{prmtop}"], "an Amber topology needs --coordinates"),
        (["{tmp}/none.prmtop", "--coordinates", "{inpcrd}"], "no Amber topology at"),
        (["{prmtop}", "--coordinates", "{tmp}/none.rst7"], "no coordinates at"),
        (
            ["{prmtop}", "--coordinates", "{inpcrd}", *FIELD],
            "--forcefield cannot be used with an Amber topology",
        ),
        (["{prmtop}", "--coordinates", "{inpcrd}", "--solvent", "water"], "Invalid value for '--solvent'"),
        (["{prmtop}", "--coordinates", "{prmtop}"], "holds no readable Amber coordinates"),
        (["{prmtop}", "--coordinates", "{gly}"], "the topology has 22 atoms but"),
        (
            ["{prmtop}", "--coordinates", "{exchanged}"],
            "atom 15 is C (ALA 2) in the topology but O (ALA 2) in",
        ),
        (["{broken}", "--coordinates", "{inpcrd}"], "is not a readable Amber topology"),
        (
            ["--sequence", "ACE XYZ FOO NME", *FIELD],
            "unknown residues in the sequence: XYZ, FOO; known are ALA ARG",
        ),
        (["--sequence", "ALA ACE ALA", *FIELD], "with ACE only before and NME only after them"),
        (["--sequence", "ACE NME", *FIELD], "expected amino acids"),
        (["--sequence", "", *FIELD], "expected amino acids"),
        (["--sequence", "ACE ALA NME"], "a sequence needs --forcefield"),
        (
            ["--sequence", "ACE ALA NME", *FIELD, "--add-hydrogens"],
            "--add-hydrogens cannot be used with a sequence",
        ),
    ],
)
def test_wrong_options_are_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    (tmp_path / "exchanged.pdb").write_text(exchanged("C", "O"))
    (tmp_path / "broken.prmtop").write_text("%FLAG TITLE\nno more\n")
    files = {name: PEPTIDES / f"ace_{residue}_nme.pdb" for name, residue in (("pdb", "ala"), ("gly", "gly"))}
    files |= {kind: AMBER / f"ace_ala_nme.{kind}" for kind in ("prmtop", "inpcrd")}
    names = files | {
        "tmp": tmp_path,
        "full": tmp_path / "full",
        "exchanged": tmp_path / "exchanged.pdb",
        "broken": tmp_path / "broken.prmtop",
    }
    output = [] if "-o" in arguments else ["-o", tmp_path / "out"]
    refused(call(capfd, "prepare", *(a.format(**names) for a in arguments), *output), message)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.prmtop", "exchanged.pdb", "full"]
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError, OSError])
def test_nothing_is_left_of_an_interrupted_command(
    stop: type[BaseException],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object) -> None:
        assert [p.name for p in tmp_path.iterdir()] != []  # half a folder, under another name
        raise stop("in the middle")

    monkeypatch.setattr("boltzgen.preparation.run.check_energy", interrupt)
    code, out, err = call(capfd, "prepare", PEPTIDES / "ace_ala_nme.pdb", *FIELD, "-o", tmp_path / "out")
    assert (code, out) == (130 if stop is KeyboardInterrupt else 2, "")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_hydrogens_are_added(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As many as there were, the same every time."""
    (tmp_path / "heavy.pdb").write_text(
        "\n".join(line for line in lines("arg_his_ala") if line[76:78].strip() != "H")
    )
    for name in ("a", "b"):
        code, _, err = call(
            capfd, "prepare", tmp_path / "heavy.pdb", *FIELD, "--add-hydrogens", "-o", tmp_path / name
        )
        assert (code, err) == (0, "")
    first, second, whole = (
        System.load(tmp_path / "a"),
        System.load(tmp_path / "b"),
        app.PDBFile(str(PEPTIDES / "arg_his_ala.pdb")).topology,
    )
    assert first.n_atoms == whole.getNumAtoms()
    assert torch.equal(first.positions, second.positions)
    refused(
        call(capfd, "prepare", tmp_path / "heavy.pdb", *FIELD, "-o", tmp_path / "c"), "hydrogens are missing"
    )
    (tmp_path / "less.pdb").write_text(
        "\n".join(line for line in lines("arg_his_ala") if line[12:16].strip() not in ("NE", "HE"))
    )
    refused(
        call(capfd, "prepare", tmp_path / "less.pdb", *FIELD, "--add-hydrogens", "-o", tmp_path / "c"),
        "ARG 1 lacks heavy atoms: NE",
    )
