"""What is wrong with a serialized System, or with its structure, and what `boltzgen prepare` says of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import app, unit

from boltzgen.preparation import checks, relax
from tests.helpers.command_line import call, refused
from tests.helpers.molecules import FOLDER
from tests.helpers.pdb_lines import exchanged, lines


def made(change: Callable[[openmm.System], object] = lambda system: None, name: str = "ace_ala_nme") -> str:
    topology = app.PDBFile(str(FOLDER / f"{name}.pdb")).topology
    system = app.ForceField("amber99sbildn.xml", "amber99_obc.xml").createSystem(topology)
    change(system)
    return str(openmm.XmlSerializer.serialize(system))


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


def stiff(k: float) -> Callable[[openmm.System], object]:
    """One bond has such a force constant."""

    def change(system: openmm.System) -> None:
        force = next(f for f in system.getForces() if isinstance(f, openmm.HarmonicBondForce))
        i, j, length, _ = force.getBondParameters(0)
        force.setBondParameters(0, i, j, length, k)

    return change


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
    "infinite": (good, lambda: made(stiff(float("inf"))), "<Bond k='Infinity'> is no finite number"),
    "not a number": (good, lambda: made(stiff(float("nan"))), "<Bond k='NaN'> is no finite number"),
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


def test_a_minimisation_comes_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many iterations, or so much time, whatever the parameters are."""
    file = app.PDBFile(str(FOLDER / "ace_ala_nme.pdb"))
    system = app.ForceField("amber99sbildn.xml").createSystem(file.topology)
    x = np.asarray(file.getPositions(asNumpy=True).value_in_unit(unit.nanometer))
    x = x + np.random.default_rng(0).normal(scale=0.005, size=x.shape)
    for limit, value in (("MOST_ITERATIONS", 5), ("MOST_SECONDS", 0.0)):
        with monkeypatch.context() as patch:
            patch.setattr(relax, limit, value)
            with pytest.raises(ValueError, match="it still falls after [15] iterations"):
                relax.minimise(system, x)


def test_energies_that_are_not_finite_are_not_minimised() -> None:
    file = app.PDBFile(str(FOLDER / "ace_ala_nme.pdb"))
    system = app.ForceField("amber99sbildn.xml").createSystem(file.topology)
    for k in (float("nan"), float("inf")):
        stiff(k)(system)
        with pytest.raises(ValueError, match="the energy of the structure is not finite"):
            relax.minimise(system, file.getPositions(asNumpy=True).value_in_unit(unit.nanometer))
    stiff(1e300)(system)
    with pytest.raises(ValueError, match="the energy of the structure is absurd"):
        relax.minimise(system, file.getPositions(asNumpy=True).value_in_unit(unit.nanometer))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("k", "message"),
    [(1e18, "force constants that are millions of times"), (1e308, "the energy of the structure is absurd")],
)
def test_absurd_parameters(k: float, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "given.pdb").write_text(good())
    (tmp_path / "given.xml").write_text(made(stiff(k)))
    files = tmp_path / "given.pdb", "--system", tmp_path / "given.xml", "-o", tmp_path / "out"
    refused(call(capfd, "prepare", *files), message)


def test_molecules_that_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MOST_ATOMS", 20)
    topology = app.PDBFile(str(FOLDER / "ace_ala_nme.pdb")).topology
    with pytest.raises(ValueError, match="a molecule of at most 20 atoms, got 22"):
        checks.check_system(topology, openmm.System())
