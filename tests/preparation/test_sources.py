"""Where molecules come from: what the folder holds of them, and that they come back from it."""

import logging
import shutil
from pathlib import Path

import numpy as np
import openmm
import pytest
import torch
from openmm import app, unit

from boltzgen.energy.openmm import OpenMMEnergy
from boltzgen.molecule.system import System
from boltzgen.preparation.run import prepare
from boltzgen.preparation.sources import (
    SOLVENTS,
    Source,
    from_amber,
    from_openmm,
    from_sequence,
    from_structure,
)

DATA = Path(__file__).parents[1] / "data"
PDB = DATA / "peptides" / "ace_ala_nme.pdb"
PRMTOP, INPCRD = DATA / "amber" / "ace_ala_nme.prmtop", DATA / "amber" / "ace_ala_nme.inpcrd"
FIELD = ["amber99sbildn.xml", "amber99_obc.xml"]


def files_in(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def bonds(topology: app.Topology) -> set[frozenset[int]]:
    return {frozenset((a.index, b.index)) for a, b in topology.bonds()}


def comes_back(source: Source, folder: Path) -> System:
    """The system in the folder, once it has been found to be the one that went in; the folder may be
    moved.
    """
    prepare(source, folder)
    elsewhere = folder.with_name("elsewhere")
    shutil.move(folder, elsewhere)
    system = System.load(elsewhere)
    assert [a.element for a in system.topology.atoms()] == [a.element for a in source.topology.atoms()]
    assert bonds(system.topology) == bonds(source.topology)
    given = System(source.topology, source.openmm_system, system.positions)
    if not source.forcefield:  # a force field may list its terms in another order
        assert system.fingerprint == given.fingerprint
    x = system.positions + 0.01 * torch.randn(
        3, system.n_atoms, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    torch.testing.assert_close(
        OpenMMEnergy(system).potential(x), OpenMMEnergy(given).potential(x), rtol=1e-9, atol=1e-6
    )
    assert all(not isinstance(force, openmm.CMMotionRemover) for force in system.openmm_system.getForces())
    return system


# OpenMM Systems


def serialized(
    path: Path, *, hydrogen_mass: float = 1.0, remover: bool = False, constraints: object = None
) -> Path:
    topology = app.PDBFile(str(PDB)).topology
    system = app.ForceField(*FIELD).createSystem(
        topology,
        removeCMMotion=remover,
        constraints=constraints,
        hydrogenMass=None if hydrogen_mass == 1.0 else hydrogen_mass * unit.dalton,
    )
    path.write_text(openmm.XmlSerializer.serialize(system))
    return path


@pytest.mark.parametrize(
    "settings", [{}, {"remover": True}, {"hydrogen_mass": 3.0}, {"constraints": app.HBonds}]
)
def test_a_serialized_system_comes_back(settings: dict[str, object], tmp_path: Path) -> None:
    source = from_openmm(PDB, serialized(tmp_path / "made.xml", **settings))  # type: ignore[arg-type]
    system = comes_back(source, tmp_path / "out")
    assert files_in(tmp_path / "elsewhere") == ["system.toml", "system.xml", "topology.pdb"]
    assert len(system.constraints) == (12 if "constraints" in settings else 0)


def test_a_structure_may_be_mmcif(tmp_path: Path) -> None:
    structure = app.PDBFile(str(PDB))
    with (tmp_path / "given.cif").open("w") as out:
        app.PDBxFile.writeFile(structure.topology, structure.positions, out)
    assert comes_back(from_structure(tmp_path / "given.cif", FIELD), tmp_path / "out").n_atoms == 22


def test_names_need_not_be_standard_where_bonds_are_given(tmp_path: Path) -> None:
    """The same graph under other names, in another order: CONECT records carry the bonds."""
    topology, order = app.PDBFile(str(PDB)).topology, np.random.default_rng(1).permutation(22)
    atoms = [line for line in PDB.read_text().splitlines() if line.startswith(("ATOM", "HETATM"))]
    elements = [a.element.symbol for a in topology.atoms()]
    where = {int(old): new for new, old in enumerate(order)}
    lines = [
        f"HETATM{k + 1:5d}  {elements[i] + str(k):<3s} LIG A   1    {atoms[i][30:54]}  1.00  0.00           "
        f"{elements[i]}"
        for k, i in enumerate(order)
    ]
    lines += [f"CONECT{where[a.index] + 1:5d}{where[b.index] + 1:5d}" for a, b in topology.bonds()]
    (tmp_path / "given.pdb").write_text("\n".join([*lines, "END", ""]))
    source = from_openmm(tmp_path / "given.pdb", reordered(tmp_path / "made.xml", [int(i) for i in order]))
    system = comes_back(source, tmp_path / "out")
    assert len(system.graph.peptide_bonds()) == 2
    assert all(name.startswith("torsion ") for name in system.torsions)


def reordered(path: Path, order: list[int]) -> Path:
    """The harmonic part of the force field, serialized for the atoms in another order."""
    whole, system = (
        app.ForceField("amber99sbildn.xml").createSystem(app.PDBFile(str(PDB)).topology),
        openmm.System(),
    )
    place = {old: new for new, old in enumerate(order)}
    for old in order:
        system.addParticle(whole.getParticleMass(old))
    for force in whole.getForces():
        if isinstance(force, openmm.HarmonicBondForce):
            copied = openmm.HarmonicBondForce()
            for k in range(force.getNumBonds()):
                i, j, *numbers = force.getBondParameters(k)
                copied.addBond(place[i], place[j], *numbers)
            system.addForce(copied)
        if isinstance(force, openmm.HarmonicAngleForce):
            angles = openmm.HarmonicAngleForce()
            for k in range(force.getNumAngles()):
                a, b, c, *rest = force.getAngleParameters(k)
                angles.addAngle(place[a], place[b], place[c], *rest)
            system.addForce(angles)
    path.write_text(openmm.XmlSerializer.serialize(system))
    return path


# Amber files


@pytest.mark.parametrize("solvent", SOLVENTS)
def test_amber_files_come_back_in_every_solvent(
    solvent: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = from_amber(PRMTOP, INPCRD, solvent=solvent)
    system = comes_back(source, tmp_path / "out")
    assert files_in(tmp_path / "elsewhere") == ["system.toml", "system.xml", "topology.pdb"]
    assert list(system.torsions)[:2] == ["phi", "psi"]
    warned = [r.message for r in caplog.records if r.levelno >= logging.WARNING]
    assert any("Non-optimal GB parameters" in m for m in warned) == (
        solvent in ("HCT", "GBn")
    )  # the file's radii are those of OBC


def test_amber_files_give_the_force_fields_own_energy(tmp_path: Path) -> None:
    """The prmtop was made from this force field."""
    amber, own = from_amber(PRMTOP, INPCRD), from_structure(PDB, ["amber99sbildn.xml"])
    first, second = (System(s.topology, s.openmm_system, own.positions) for s in (amber, own))
    assert float(OpenMMEnergy(first).potential(first.positions)) == pytest.approx(
        float(OpenMMEnergy(second).potential(second.positions)), abs=1e-4
    )


def test_amber_coordinates_may_be_a_pdb_file_and_bonds_constrained(tmp_path: Path) -> None:
    source = from_amber(PRMTOP, PDB, solvent="OBC2", constraints="HBonds")
    np.testing.assert_allclose(source.positions, from_amber(PRMTOP, INPCRD).positions, atol=1e-6)
    assert len(comes_back(source, tmp_path / "out").constraints) == 12


# Force-field files of one's own


def own_field(folder: Path, script: str = "") -> Path:
    """A file that includes OpenMM's own ones, the solvent by way of a subfolder."""
    (folder / "parts").mkdir(parents=True)
    (folder / "field.xml").write_text(
        '<ForceField><Include file="amber99sbildn.xml"/><Include file="parts/solvent.xml"/></ForceField>'
    )
    (folder / "parts" / "solvent.xml").write_text(
        f'<ForceField><Include file="amber99_obc.xml"/>{script}</ForceField>'
    )
    return folder / "field.xml"


def test_own_force_field_files_are_copied(tmp_path: Path) -> None:
    file = own_field(tmp_path / "given")
    system = comes_back(from_structure(PDB, [str(file)]), tmp_path / "out")
    folder = tmp_path / "elsewhere"
    assert files_in(folder) == ["field.xml", "parts/solvent.xml", "system.toml", "topology.pdb"]
    assert 'files = ["field.xml"]' in (folder / "system.toml").read_text()
    shutil.rmtree(tmp_path / "given")
    assert System.load(folder).fingerprint == system.fingerprint


@pytest.mark.parametrize(
    ("include", "message"),
    [
        ("../outside.xml", "includes ../outside.xml, outside its own folder"),
        ("none.xml", "no force-field file 'none.xml'"),
    ],
)
def test_includes_from_elsewhere_are_refused(include: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "outside.xml").write_text("<ForceField/>")
    (tmp_path / "given").mkdir()
    file = tmp_path / "given" / "field.xml"
    file.write_text(
        f'<ForceField><Include file="amber99sbildn.xml"/><Include file="{include}"/></ForceField>'
    )
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        from_structure(PDB, [str(file)])


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    files = [own_field(tmp_path / "a"), own_field(tmp_path / "b")]
    (tmp_path / "b" / "field.xml").write_text("<ForceField/>")
    with pytest.raises(ValueError, match="two force-field files are called field.xml"):
        from_structure(PDB, [str(file) for file in files])


def test_openmms_files_may_be_given_by_their_paths(tmp_path: Path) -> None:
    paths = [str(Path(app.__file__).parent / "data" / name) for name in FIELD]
    assert from_structure(PDB, paths).forcefield["files"] == FIELD


@pytest.mark.parametrize("tag", ["Script", "InitializationScript"])
def test_scripts_run_only_where_they_are_trusted_and_then_only_once(tag: str, tmp_path: Path) -> None:
    proof = tmp_path / "executed"
    file = own_field(tmp_path / "given", f"<{tag}>open({str(proof)!r}, 'a').write('x')</{tag}>")
    for make in (from_structure, from_sequence):
        with pytest.raises(ValueError, match=f"holds a <{tag}>, Python code"):
            make(PDB if make is from_structure else "ACE ALA NME", [str(file)])  # type: ignore[operator]
    assert not proof.exists()
    source = from_structure(PDB, [str(file)], trust_forcefield=True)
    assert proof.exists()
    proof.unlink()
    comes_back(source, tmp_path / "out")
    assert files_in(tmp_path / "elsewhere") == ["system.toml", "system.xml", "topology.pdb"]
    assert not proof.exists()


def test_prepare_in_one_call(tmp_path: Path) -> None:
    """A file by its path, a source that was read, and Amber files: the same systems."""
    options = {"forcefield": FIELD, "constraints": "HBonds", "temperature": 310.0}
    summary = prepare(str(PDB), str(tmp_path / "one"), **options)  # type: ignore[arg-type]
    read = from_structure(PDB, FIELD, constraints="HBonds")
    assert prepare(read, tmp_path / "two", temperature=310.0, name="one") == summary | {
        "folder": str(tmp_path / "two")
    }
    assert (summary["name"], summary["constrained_bonds"], summary["temperature"]) == ("one", 12, 310.0)
    fingerprints = {System.load(tmp_path / folder).fingerprint for folder in ("one", "two")}
    assert len(fingerprints) == 1
    assert (
        prepare(PRMTOP, tmp_path / "amber", coordinates=INPCRD, solvent="OBC2")["solvent"]
        == "OBC2 (implicit)"
    )
    assert prepare(PDB, tmp_path / "vacuum", forcefield=FIELD[0])["solvent"] == "none (vacuum)"


@pytest.mark.parametrize(
    ("molecule", "options", "message"),
    [
        (None, {}, "expected either a file or `sequence`"),
        (PDB, {}, r"a PDB file needs `forcefield`; for instance `forcefield=\['amber14-all.xml'"),
        (PDB, {"forcefield": FIELD, "solvent": "OBC2"}, "`solvent` cannot be used with a PDB file; it takes"),
        (PDB, {"forcefield": FIELD, "constraints": "AllBonds"}, "`constraints` to be one of none, HBonds"),
        (PRMTOP, {"coordinates": INPCRD, "solvent": "water"}, "`solvent` to be one of none, HCT"),
        (PRMTOP, {"coordinates": INPCRD, "add_hydrogens": True}, "`add_hydrogens` cannot be used"),
    ],
)
def test_wrong_options_of_prepare(
    molecule: Path | None, options: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(molecule, tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_source_takes_no_options_of_reading(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`constraints` cannot be used with a Source"):
        prepare(from_amber(PRMTOP, INPCRD), tmp_path / "out", constraints="HBonds")
