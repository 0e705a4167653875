"""XML files of force fields and Systems that would run code, hang or crash OpenMM."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import openmm
import pytest

from boltzgen.molecule.openmm_files import load_forcefield, read_system
from boltzgen.molecule.system import System
from boltzgen.molecule.xml_files import expanded_size

CODE = "__import__('pathlib').Path({proof!r}).touch()"
TOML = 'name = "x"\nstructure.file = "topology.pdb"\nforcefield.files = ["amber96.xml", "{file}"]\n'


def force_field(folder: Path, text: str) -> str:
    file = folder / "field.xml"
    file.write_text(f"<ForceField>{text}</ForceField>")
    return str(file)


@pytest.mark.parametrize("included", [False, True])
@pytest.mark.parametrize(
    "force",
    [
        '<NonbondedForce coulomb14scale="1" lj14scale="1" useDispersionCorrection="{code}"/>',
        '<LennardJonesForce lj14scale="1" useDispersionCorrection="{code}"/>',
        '<NonbondedForce coulomb14scale="{code}" lj14scale="1"/>',
        "<Script>{code}</Script>",
        "<InitializationScript>{code}</InitializationScript>",
    ],
)
def test_no_code_of_a_force_field_is_run(
    alanine: System, tmp_path: Path, force: str, *, included: bool
) -> None:
    """Not of a file, nor of what it includes, nor of the folder of a system, whoever points there."""
    proof = tmp_path / "proof"
    file = force_field(tmp_path, force.format(code=CODE.format(proof=str(proof))))
    if included:
        (tmp_path / "outer.xml").write_text('<ForceField><Include file="field.xml"/></ForceField>')
        file = str(tmp_path / "outer.xml")
    with pytest.raises(ValueError, match="Python code"):
        load_forcefield([file])
    (tmp_path / "system.toml").write_text(TOML.format(file=Path(file).name))
    shutil.copyfile(Path(str(alanine.folder)) / "topology.pdb", tmp_path / "topology.pdb")
    with pytest.raises(ValueError, match="Python code"):
        System.load(tmp_path)
    assert not proof.exists()


def test_openmm_would_run_it(tmp_path: Path) -> None:
    """So that the test above tests something; and whoever trusts a file has it run."""
    proof = tmp_path / "proof"
    code = CODE.format(proof=str(proof))
    file = force_field(
        tmp_path, f'<NonbondedForce coulomb14scale="1" lj14scale="1" useDispersionCorrection="{code}"/>'
    )
    load_forcefield([file], trust=True)
    assert proof.exists()


@pytest.mark.parametrize("value", ["True", "False", "1", "0"])
def test_plain_attributes_are_read(tmp_path: Path, value: str) -> None:
    field = load_forcefield(
        [
            force_field(
                tmp_path,
                f'<NonbondedForce coulomb14scale="0.5" lj14scale="0.5" useDispersionCorrection="{value}"/>'
                '<PeriodicTorsionForce ordering="amber"/><Info><Source a="b(c)"/></Info>',
            )
        ]
    )
    assert len(field.getGenerators()) == 2


@pytest.mark.parametrize(
    ("expression", "size"),
    [("", 0), ("r", 0), ("k*(r-r0)^2", 5), ("a*a; a=b*b; b=r+1", 7), ("a; a=a; a=r+r", 1)],
)
def test_definitions_are_put_in(expression: str, size: int) -> None:
    assert expanded_size(expression) == size


def bond_energy(expression: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        force = openmm.CustomBondForce("r")
        force.addBond(0, 1, [])
        system = openmm.System()
        system.addForce(force)
        part = re.search(r"<Force .*?</Force>", openmm.XmlSerializer.serialize(system), re.DOTALL)
        assert part is not None
        return text.replace(
            "</Forces>", part[0].replace('energy="r"', f'energy="{expression}"') + "</Forces>"
        )

    return change


def with_constraint(d: str, p1: int = 0, p2: int = 1, times: int = 1) -> Callable[[str], str]:
    line = f'<Constraint d="{d}" p1="{p1}" p2="{p2}"/>' * times
    return lambda text: text.replace("<Constraints/>", f"<Constraints>{line}</Constraints>")


LAUGHS = "; ".join(["x0", *(f"x{k}=x{k + 1}*x{k + 1}" for k in range(60)), "x60=r"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: re.sub(r' k="[^"]*"', ' k="nan"', text, count=1), "k='nan'> is no finite number"),
        (lambda text: re.sub(r' k="[^"]*"', ' k="1e999"', text, count=1), "k='1e999'> is no finite number"),
        (lambda text: re.sub(r' eps="[^"]*"', ' eps="-INF"', text, count=1), "is no finite number"),
        (lambda text: re.sub(r'mass="[^"]*"', 'mass="NaN(7)"', text, count=1), "is no finite number"),
        (lambda text: re.sub(r' p1="\d+"', ' p1="9999"', text, count=1), "no System that OpenMM can compute"),
        (lambda text: re.sub(r' p1="\d+"', ' p1="-1"', text, count=1), "no System that OpenMM can compute"),
        (lambda text: re.sub(r' k="[^"]*"', ' k="stiff"', text, count=1), "k='stiff'> is no finite number"),
        (lambda text: re.sub(r' k="(\d+)', r' k="\1x', text, count=1), "is no finite number"),
        (with_constraint("0.1", 3, 3), "constrains atoms 4 and 4 to 0.1 nm"),
        (with_constraint("0.1", times=2), "constrains atoms 1 and 2 more than once"),
        (with_constraint("-0.1"), "to -0.1 nm; expected two atoms"),
        (with_constraint("0.1", 0, 99), "constrains atoms 1 and 100"),
        (bond_energy("(" * 9999 + "r" + ")" * 9999), "energy of <Force> has 19998 operators"),
        (bond_energy("r^" * 500 + "1"), "energy of <Force> has 500 operators"),
        (bond_energy(LAUGHS), "has millions of operators"),
        (bond_energy("r+"), "no System that OpenMM can compute"),
        (bond_energy("unknown*r"), "no System that OpenMM can compute"),
        (
            lambda text: text.replace("</Forces>", "<a>" * 99 + "</a>" * 99 + "</Forces>"),
            "more than 100 elem",
        ),
        (lambda text: text[: len(text) // 2], "not valid XML"),
        (lambda text: text.replace('<?xml version="1.0" ?>', '<?xml version="1.0" encoding="x"?>'), "XML"),
    ],
)
def test_systems_that_cannot_be_computed(
    alanine: System, tmp_path: Path, change: Callable[[str], str], message: str
) -> None:
    """Each is refused in a line, at once."""
    text = openmm.XmlSerializer.serialize(alanine.openmm_system)
    file = tmp_path / "system.xml"
    file.write_text(change(text))
    assert file.read_text() != text
    with pytest.raises(ValueError, match=message):
        read_system(file)


def test_constraints_are_checked_wherever_a_system_comes_from(alanine: System) -> None:
    system = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(alanine.openmm_system))
    system.addConstraint(0, 1, 0.1)
    system.addConstraint(1, 0, 0.1)
    with pytest.raises(ValueError, match="more than once"):
        System(alanine.topology, system, alanine.positions)
