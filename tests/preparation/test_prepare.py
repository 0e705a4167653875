"""`boltzgen prepare`: what it prints and writes, and what it says of options that it cannot use."""

import json
import re
import subprocess
import sys
from pathlib import Path

import openmm
import pytest
import torch
from openmm import app, unit

from boltzgen.molecule.system import System
from tests.helpers.command_line import call, refused
from tests.helpers.pdb_lines import FIELD, exchanged, lines

PEPTIDES = Path(__file__).parents[1] / "data" / "peptides"
AMBER = Path(__file__).parents[1] / "data" / "amber"


def test_a_folder_is_written_and_described(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pdb, output = PEPTIDES / "ace_trp_nme.pdb", tmp_path / "new" / "my_system"
    code, out, err = call(capfd, "prepare", pdb, *FIELD, "-o", output, "--temperature", 310, "--json")
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    summary = json.loads(out)
    assert {
        key: summary[key]
        for key in (
            "name",
            "atoms",
            "residues",
            "constrained_bonds",
            "solvent",
            "temperature",
            "made_from",
            "charge",
        )
    } == {
        "name": "my_system",
        "atoms": 36,
        "residues": 3,
        "constrained_bonds": 0,
        "solvent": "OBC2 (implicit)",
        "made_from": "ace_trp_nme.pdb, amber99sbildn.xml + amber99_obc.xml",
        "charge": "0",
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
    lines = out.splitlines()
    # Long texts go on in lines without a name.
    rows = dict(re.split(r"  +", line.strip(), maxsplit=1) for line in lines[:-1] if line[0] != " ")
    assert (rows["name"], rows["atoms"], rows["constrained bonds"]) == ("Gly", "19", "10")
    assert rows["free torsions"] == "2: phi, psi"
    assert (rows["charge"], rows["solvent"]) == ("0", "OBC2 (implicit)")
    assert f"boltzgen train {output} -o RUN" in out.splitlines()[-1]
    system = System.load(output)
    assert len(system.constraints) == 10
    bonds = {
        pair: float((system.positions[pair[0]] - system.positions[pair[1]]).norm())
        for pair in system.constraints
    }
    assert all(bonds[pair] == pytest.approx(length, abs=2e-4) for pair, length in system.constraints.items())


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
            ["--sequence", "ACE ALA NME", *FIELD, "--solvent", "OBC2"],
            "--trust-forcefield: an implicit solvent is a second force-field file, for instance --forcefield "
            "amber14-all.xml --forcefield implicit/obc2.xml",
        ),
        (
            ["{pdb}", *FIELD, "--system", "{tmp}/s.xml"],
            "--forcefield cannot be used with a structure with --system; it takes --system",
        ),
        (["{pdb}", "--system", "{tmp}/s.xml"], "no serialized OpenMM System at"),
        (["{pdb}", *FIELD, "--temperature", "-3"], "positive number of kelvin"),
        (["{pdb}", *FIELD, "--temperature", "inf"], "positive number of kelvin"),
        (["{pdb}", *FIELD, "--temperature", "nan"], "positive number of kelvin"),
        (["{pdb}", *FIELD, "--name", "a/b"], "expected a name of letters, digits"),
        (["{pdb}", *FIELD, "-o", "{full}"], "is not empty, and no system's folder; choose another folder"),
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
        (["--sequence", "ACE " + "ALA " * 200 + "NME", *FIELD], "at most 50 residues, got 202"),
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


FULL = """
import resource, signal, sys
from boltzgen.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for it."""
    command = ["prepare", str(PEPTIDES / "ace_ala_nme.pdb"), *FIELD, "-o", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", FULL, *command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "could not write" in done.stderr and "free some space" in done.stderr
    assert done.stderr.count("\n") == 1
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
