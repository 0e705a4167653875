"""System: loading, its errors and its fingerprint."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openmm
import pytest
import torch
from openmm import app, unit

from boltzgen.molecule.basins import Basin
from boltzgen.molecule.shipped import shipped_systems
from boltzgen.molecule.system import System


@pytest.fixture
def folder(alanine: System, tmp_path: Path) -> Path:
    """A user's own copy of the shipped folder."""
    assert alanine.folder is not None
    return Path(shutil.copytree(alanine.folder, tmp_path / "mine"))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_loads_by_name_and_by_folder(alanine: System, folder: Path) -> None:
    mine = System.load(folder)
    assert mine.folder == folder
    assert "alanine_dipeptide" in shipped_systems()
    for system in (alanine, mine, System.load(str(folder))):
        assert system.name == "alanine_dipeptide"
        assert system.n_atoms == 22
        assert system.temperature == 300.0
        assert system.positions.shape == (22, 3)
        assert system.positions.dtype == torch.float64
        assert system.openmm_system.getNumConstraints() == 0
        assert [basin.name for basin in system.basins] == ["C7ax", "alphaL", "alphaR", "C7eq", "C5"]
        assert system.fingerprint == alanine.fingerprint


def test_bonded_atoms_are_a_bond_apart_in_nm(alanine: System) -> None:
    pairs = torch.tensor([(b[0].index, b[1].index) for b in alanine.topology.bonds()])
    length = (alanine.positions[pairs[:, 0]] - alanine.positions[pairs[:, 1]]).norm(dim=-1)
    assert len(length) == 21
    assert 0.09 < length.min()
    assert length.max() < 0.16


def test_names_phi_and_psi(alanine: System) -> None:
    assert list(alanine.torsions.items())[:2] == [("phi", (4, 6, 8, 14)), ("psi", (6, 8, 14, 16))]
    assert list(alanine.torsions)[2:] == ["omega0", "omega"]
    assert alanine.rotamers == {}


def test_quantities_become_plain_numbers(alanine: System) -> None:
    system = System(
        alanine.topology,
        alanine.openmm_system,
        10.0 * alanine.positions.numpy() * unit.angstrom,
        temperature=450.0 * unit.kelvin,
    )
    torch.testing.assert_close(system.positions, alanine.positions)
    assert system.temperature == 450.0


def test_positions_are_copied(alanine: System) -> None:
    source = alanine.positions.numpy().copy()
    system = System(alanine.topology, alanine.openmm_system, source)
    source[:] = 0.0
    assert torch.equal(system.positions, alanine.positions)


def test_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no system called 'alanine'.*shipped systems: .*alanine_dipeptide"
    ):
        System.load("alanine")


def test_folder_without_a_system_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"system\.toml"):
        System.load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("temperature = 300.0", "temprature = 300.0", "temprature"),
        ("temperature = 300.0", 'temperature = "hot"', "temperature"),
        ("temperature = 300.0", "temperature = true", "a positive number of kelvin, got True"),
        ("temperature = 300.0", "temperature = ", "Invalid value"),
        ('constraints = "none"', 'constraints = "angles"', "constraints"),
        ('peptide_bonds = "trans"', 'peptide_bonds = "any"', "peptide_bonds"),
        ("phi = [-110, 0]", "phi = [-110, 0, 1]", r"basins\.3\.intervals\.phi: .*two numbers of degrees"),
        ("phi = [-110, 0]", "phi = [-110, nan]", "two numbers of degrees from -360 to 360, got"),
        ("phi = [-110, 0]", "phi = -110", "two numbers of degrees"),
        ("temperature = 300.0", "temperature = " + 2000 * "[", "it is nested too deeply"),
        ('name = "alphaL"', 'name = "C7ax"', "a name of its own for each of the basins"),
        ('file = "topology.pdb"', "", "structure.file"),
    ],
)
def test_invalid_system_file_names_the_key(folder: Path, old: str, new: str, message: str) -> None:
    edit(folder / "system.toml", old, new)
    with pytest.raises(ValueError, match=rf"system\.toml is not a valid system file: .*{message}"):
        System.load(folder)


def test_basins_name_any_torsion_and_no_other(folder: Path) -> None:
    edit(folder / "system.toml", "phi = [-110, 0]", "phi = [-110, 0]\npsi = [0, 180]\nomega0 = [90, -90]")
    system = System.load(folder)
    assert system.basins[3] == Basin("C7eq", phi=(-110, 0), psi=(0, 180), omega0=(90, -90))
    assert system.states["basin"].names == ("C7ax", "alphaL", "alphaR", "C7eq", "C5")
    edit(folder / "system.toml", "omega0", "phi2")
    with pytest.raises(ValueError, match="basin 'C7eq' names a torsion 'phi2' .*: phi, psi, omega0, omega$"):
        System.load(folder)


def test_missing_files_are_named(folder: Path) -> None:
    edit(folder / "system.toml", "amber96.xml", "amber95.xml")
    with pytest.raises(FileNotFoundError, match=r"amber95\.xml"):
        System.load(folder)
    (folder / "topology.pdb").unlink()
    with pytest.raises(FileNotFoundError, match=r"topology\.pdb"):
        System.load(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ATOM records"),
        ("these are not atoms\n", "ATOM records"),
        (
            "ATOM      1  N   ALA A   1       x.xxx   1.000   0.000  1.00  0.00           N  \n",
            "not a readable PDB file",
        ),
    ],
)
def test_broken_pdb(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "broken.pdb").write_text(text)
    with pytest.raises(ValueError, match=message):
        System.from_pdb(tmp_path / "broken.pdb", ["amber96.xml"])


def test_files_in_the_working_directory_do_not_take_the_place_of_openmms(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = System.load(folder).fingerprint
    (tmp_path / "amber96.xml").write_text("<ForceField/>")
    monkeypatch.chdir(tmp_path)
    assert System.load(folder).fingerprint == before


def test_missing_hydrogens_ask_for_them(folder: Path) -> None:
    lines = (folder / "topology.pdb").read_text().splitlines(keepends=True)
    without = [line for line in lines if line[12:16].strip() != "HA"]
    assert len(without) == len(lines) - 1
    (folder / "topology.pdb").write_text("".join(without))
    with pytest.raises(ValueError, match=r"does not fit .*topology\.pdb.*hydrogens"):
        System.load(folder)


def test_users_own_force_field_file(folder: Path) -> None:
    (folder / "extra.xml").write_text("<ForceField></ForceField>")
    edit(folder / "system.toml", '"implicit/obc1.xml"]', '"implicit/obc1.xml", "extra.xml"]')
    assert System.load(folder).n_atoms == 22


@pytest.mark.parametrize("tag", ["Script", "InitializationScript"])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_scripts_in_force_field_files_are_refused(folder: Path, tag: str, depth: int) -> None:
    proof = folder / "executed"
    code = f"<ForceField><{tag}>open({str(proof)!r}, 'w')</{tag}></ForceField>"
    (folder / f"level{depth}.xml").write_text(code)
    for level in range(depth):
        (folder / f"level{level}.xml").write_text(
            f'<ForceField><Include file="level{level + 1}.xml"/></ForceField>'
        )
    with pytest.raises(ValueError, match=f"holds a <{tag}>"):
        System.from_pdb(folder / "topology.pdb", ["amber96.xml", str(folder / "level0.xml")])
    assert not proof.exists()


def test_scripts_run_where_they_are_trusted(folder: Path) -> None:
    proof = folder / "executed"
    (folder / "mine.xml").write_text(f"<ForceField><Script>open({str(proof)!r}, 'w')</Script></ForceField>")
    System.from_pdb(folder / "topology.pdb", ["amber96.xml", str(folder / "mine.xml")], trust_forcefield=True)
    assert proof.exists()


def serialized(folder: Path, change: Callable[[openmm.System], object] = lambda system: None) -> Path:
    """The folder with its System serialized, in place of the force field's files."""
    system = openmm.XmlSerializer.deserialize(
        openmm.XmlSerializer.serialize(System.load(folder).openmm_system)
    )
    change(system)
    (folder / "system.xml").write_text(openmm.XmlSerializer.serialize(system))
    edit(
        folder / "system.toml",
        'files = ["amber96.xml", "implicit/obc1.xml"]\nconstraints = "none"',
        'system = "system.xml"',
    )
    return folder / "system.xml"


def test_a_serialized_system_is_the_same_without_its_motion_removers(alanine: System, folder: Path) -> None:
    def add_removers(system: openmm.System) -> None:
        system.addForce(openmm.CMMotionRemover())
        system.addForce(openmm.CMMotionRemover(10))

    serialized(folder, add_removers)
    assert System.load(folder).fingerprint == alanine.fingerprint


class Payload:
    """What a pickle may do when it is loaded."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __call__(self, state: object) -> tuple[float, None]:
        return 0.0, None

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.proof,)


@pytest.mark.skipif(not hasattr(openmm, "PythonForce"), reason="this OpenMM has no PythonForce")
@pytest.mark.parametrize("wrap", ["{}", "<!-- {} -->", "<![CDATA[ {} ]]>"])
def test_code_in_a_serialized_system_is_not_run(folder: Path, wrap: str) -> None:
    proof = folder / "executed"
    file = serialized(folder)
    text = file.read_text()
    carrier = openmm.System()
    carrier.addForce(openmm.PythonForce(Payload(proof)))
    force = re.search(
        r'<Force [^>]*type="PythonForce".*?</Force>', openmm.XmlSerializer.serialize(carrier), re.DOTALL
    )
    assert force is not None
    openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(carrier))
    assert proof.exists()  # OpenMM runs it
    proof.unlink()
    file.write_text(text.replace("</Forces>", wrap.format(force.group()) + "</Forces>"))
    if wrap == "{}":
        with pytest.raises(ValueError, match="holds a PythonForce, which may be code that OpenMM would run"):
            System.load(folder)
    else:
        System.load(folder)
    assert not proof.exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('system = "system.xml"', "", "expected either files"),
        ('system = "system.xml"', 'system = "system.xml"\nfiles = ["amber96.xml"]', "expected either files"),
        ('system = "system.xml"', 'system = "system.xml"\nconstraints = "HBonds"', "has its own constraints"),
        ('system = "system.xml"', 'system = "other.xml"', "no serialized OpenMM System at .*other.xml"),
    ],
)
def test_a_folder_has_force_field_files_or_a_system(folder: Path, old: str, new: str, message: str) -> None:
    serialized(folder)
    edit(folder / "system.toml", old, new)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        System.load(folder)


def test_includes_of_openmms_own_files_are_allowed(folder: Path) -> None:
    (folder / "mine.xml").write_text(
        '<ForceField><Include file="amber96.xml"/><Include file="implicit/obc1.xml"/></ForceField>'
    )
    system = System.from_pdb(folder / "topology.pdb", [str(folder / "mine.xml")])
    assert system.fingerprint == System.load(folder).fingerprint


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_unplaced_atoms_are_refused(alanine: System, value: float) -> None:
    positions = alanine.positions.clone()
    positions[3, 1] = value
    with pytest.raises(ValueError, match="NaN or infinite"):
        System(alanine.topology, alanine.openmm_system, positions)


@pytest.mark.parametrize("shape", [(21, 3), (22, 2), (66,), (1, 22, 3)])
def test_wrong_shape_says_what_was_expected(alanine: System, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected positions of shape \(22, 3\) in nm") as error:
        System(alanine.topology, alanine.openmm_system, np.zeros(shape))
    assert str(shape) in str(error.value)


def test_topology_and_system_must_match(alanine: System) -> None:
    with pytest.raises(ValueError, match="22 atoms but the OpenMM System 0 particles"):
        System(alanine.topology, openmm.System(), alanine.positions)


def test_constraints_can_be_asked_for(folder: Path) -> None:
    assert (
        System.from_pdb(
            folder / "topology.pdb", ["amber96.xml"], constraints=app.HBonds
        ).openmm_system.getNumConstraints()
        == 12
    )


def test_fingerprint_sees_every_parameter(alanine: System) -> None:
    changed = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(alanine.openmm_system))
    same = System(alanine.topology, changed, alanine.positions + 0.1, name="other", temperature=500.0)
    assert same.fingerprint == alanine.fingerprint
    force = next(f for f in changed.getForces() if isinstance(f, openmm.NonbondedForce))
    charge, sigma, epsilon = force.getParticleParameters(0)
    force.setParticleParameters(0, charge * (1 + 1e-12), sigma, epsilon)
    assert System(alanine.topology, changed, alanine.positions).fingerprint != alanine.fingerprint
