"""Differences of hydrogen peroxide's force fields against quadrature; generators that cannot be compared."""

from functools import cache

import numpy as np
import openmm
import pytest
import torch
from openmm import app

from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.free_energy.hamiltonians import Draws
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.latent import LatentTransform
from boltzgen.molecule.system import System
from boltzgen.thermodynamics.comparable import check_comparable
from boltzgen.thermodynamics.hamiltonians import (
    METHODS,
    HamiltonianDifference,
    hamiltonian_difference,
    transported,
)
from tests.helpers.molecules import FOLDER
from tests.helpers.mutants import mutant
from tests.helpers.peroxide import peroxide, quadrature

CHANGED = {"charge": 0.2, "bond": 0.147, "bends": 400.0}


@cache
def pair() -> tuple[BoltzmannGenerator, BoltzmannGenerator]:
    """Of the molecule and of one with other charges, angles and bond.

    Their flows are untrained, of other temperatures, with noise on the couplings of the torsion, so that no
    part of the map is without a determinant.
    """
    found = []
    for seed, (system, temperature) in enumerate(((peroxide(), 340.0), (peroxide(**CHANGED), 400.0))):
        generator = BoltzmannGenerator.for_system(
            system, ForceFieldEnergy(system), seed=seed, temperature=temperature
        )
        stream = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for p in generator.flow.parameters():
                p += 0.01 * torch.randn(p.shape, generator=stream)
        found.append(generator)
    return found[0], found[1]


def energies() -> tuple[ForceFieldEnergy, ForceFieldEnergy]:
    a, b = pair()
    return ForceFieldEnergy(a.system, 300.0), ForceFieldEnergy(b.system, 300.0)


@cache
def exact() -> float:
    (a, _), (b, _) = quadrature(peroxide()), quadrature(peroxide(**CHANGED))
    return a - b


@cache
def drawn() -> HamiltonianDifference:
    return HamiltonianDifference.draw(*pair(), 8192, energies=energies(), seed=3)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_agrees_with_quadrature(method: str) -> None:
    found = getattr(drawn(), method)()
    assert abs(exact()) > 5.0  # so that signs matter
    assert found.error < 0.1
    assert abs(found.value - exact()) < 4 * found.error
    assert (found.unit, found.temperature) == ("kT", 300.0)
    assert "one enantiomer" in found.notes[0]


def test_parts_of_the_draws() -> None:
    """Halves have larger errors, and other draws."""
    whole = drawn()
    halves = whole[: len(whole) // 2], whole[len(whole) // 2 :]
    assert [len(half) for half in halves] == [4096, 4096]
    for method in ("mixture", "targeted"):
        first, second = (getattr(half, method)() for half in halves)
        assert first.value != second.value
        assert first.error == pytest.approx(2**0.5 * getattr(whole, method)().error, rel=0.1)


def test_the_other_direction_has_the_other_sign() -> None:
    a, b = pair()
    found = hamiltonian_difference(b, a, 4096, energies=energies()[::-1])
    assert abs(found.value + exact()) < 4 * found.error


def test_errors_are_independent() -> None:
    """With one seed both generators have their own random numbers."""
    a, _ = pair()
    same = HamiltonianDifference.draw(a, a, 2048, seed=1)
    assert abs(np.corrcoef(same.from_a.u[:, 0], same.from_b.u[:, 0])[0, 1]) < 0.1


def test_the_map_has_its_determinant() -> None:
    """Of the 12 x 12 Jacobian, translations and rotations taken out by its internal coordinates."""
    a, b = pair()
    x = a.sample(2, seed=5).x.double()
    _, log_det = transported(a, b, x)
    y = a.coordinates.inverse(x)[0].float()

    def moved(y: torch.Tensor) -> torch.Tensor:
        return LatentTransform(b.flow)(LatentTransform(a.flow).inverse(y)[0])[0]

    for k in range(2):
        jacobian = torch.autograd.functional.jacobian(moved, y[k])
        expected = (
            torch.linalg.slogdet(jacobian.double())[1]
            + b.coordinates.log_det(moved(y[k : k + 1]))[0]
            - a.coordinates.log_det(y[k : k + 1])[0]
        )
        torch.testing.assert_close(log_det[k], expected.double(), atol=2e-3, rtol=0)


def test_there_and_back_is_where_it_began() -> None:
    a, b = pair()
    x = a.sample(50, seed=6).x.double()
    moved, log_det = transported(a, b, x)
    back, of_the_way_back = transported(b, a, moved)
    assert (moved - a.coordinates(a.coordinates.inverse(x)[0])[0]).abs().max() > 1e-3
    torch.testing.assert_close(torch.cdist(back, back), torch.cdist(x, x), atol=1e-5, rtol=0)
    torch.testing.assert_close(log_det, -of_the_way_back, atol=2e-3, rtol=0)


@pytest.mark.parametrize("wrong", ["energy", "determinant", "density"])
def test_a_hidden_sign_is_seen(wrong: str) -> None:
    """The change of energy, that with the map's determinant, or A's density, each with the other sign."""
    right = drawn()

    def flipped(draws: Draws, name: str) -> Draws:
        u, log_q, other = draws.u.copy(), draws.log_q.copy(), 1 - draws.source
        if name == "energy":
            u[:, other] = 2 * u[:, draws.source] - u[:, other]
        elif name == "determinant":
            own = draws.u[:, draws.source]
            with np.errstate(invalid="ignore"):
                u[:, other] = own - (u[:, other] - own)
        else:
            finite = np.isfinite(log_q[:, 0])
            log_q[finite, 0] *= -1
        return Draws(u, log_q, draws.source)

    parts = [flipped(d, wrong) for d in (right.from_a, right.from_b, right.mapped_a, right.mapped_b)]
    broken = HamiltonianDifference(*parts, temperature=300.0)
    seen = {
        "energy": ("forward", "reverse", "mixture"),
        "determinant": ("targeted",),
        "density": ("mixture",),
    }
    for method in seen[wrong]:
        good, bad = getattr(right, method)(), getattr(broken, method)()
        assert abs(bad.value - exact()) > 10 * good.error


def glycine(*, exchanged: bool = False, mirrored: bool = False, constraints: object = None) -> System:
    """With the labels of HA2 and HA3 exchanged, or all of alanine's mirror image."""
    system = System.from_pdb(
        FOLDER / ("ace_ala_nme.pdb" if mirrored else "ace_gly_nme.pdb"), ["amber96.xml"], constraints
    )
    x = system.positions.clone()
    if mirrored:
        x[:, 2] *= -1
    if exchanged:
        i, j = (a.index for a in system.topology.atoms() if a.name in ("HA2", "HA3"))
        x[[i, j]] = x[[j, i]]
    return System(system.topology, system.openmm_system, x, name="changed")


def charged_hydrogen() -> System:
    """One hydrogen of the first methyl has another charge, so that the three are not equivalent."""
    system = System.from_pdb(FOLDER / "ace_gly_nme.pdb", ["amber96.xml"])
    changed = openmm.XmlSerializer.clone(system.openmm_system)
    force = next(f for f in changed.getForces() if isinstance(f, openmm.NonbondedForce))
    charge, sigma, epsilon = force.getParticleParameters(system.rotors[0].ends[0])
    force.setParticleParameters(system.rotors[0].ends[0], charge * 0 + charge.unit * 0.8, sigma, epsilon)
    return System(system.topology, changed, system.positions, name="charged")


class Bare:
    """What `check_comparable` looks at, without a flow."""

    def __init__(self, system: System) -> None:
        from boltzgen.coordinates.molecular import MolecularCoordinates

        self.system, self.coordinates = system, MolecularCoordinates(system)


def plain(name: str) -> System:
    return System.from_pdb(FOLDER / f"{name}.pdb", ["amber96.xml"])


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (lambda: plain("ace_gly_nme"), lambda: plain("ace_ala_nme"), "numbers of atoms, 19 and 22"),
        (
            lambda: System.load("alanine_dipeptide"),
            lambda: System.load("alanine_dipeptide_amber99sbildn"),
            "order of the atoms differ: atom 1",
        ),
        (glycine, lambda: glycine(constraints=app.HBonds), "constrained in the second alone"),
        (glycine, lambda: glycine(exchanged=True), r"exchanged \(`domain.equivalent_atoms`\)"),
        (
            lambda: plain("ace_ala_nme"),
            lambda: glycine(mirrored=True),
            r"different enantiomers at CA .*\(`domain.enantiomer`\)",
        ),
        (glycine, charged_hydrogen, r"equivalent to the force field of the first alone"),
    ],
)
def test_what_cannot_be_compared_is_named(first, second, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        check_comparable(Bare(first()), Bare(second()))  # type: ignore[arg-type]


def test_constraints_of_two_lengths_are_refused() -> None:
    longer = peroxide(constraints=True)
    longer.openmm_system.setConstraintParameters(0, 0, 1, 0.098)
    with pytest.raises(ValueError, match=r"0.097 nm and 0.098 nm"):
        check_comparable(Bare(peroxide(constraints=True)), Bare(longer))  # type: ignore[arg-type]


def test_two_temperatures_are_refused() -> None:
    a, b = pair()
    u, hotter = energies()[0], energies()[1].at(310.0)
    with pytest.raises(ValueError, match="one temperature of both energies, got 300 and 310 K"):
        HamiltonianDifference.draw(a, b, 10, energies=(u, hotter))
    with pytest.raises(ValueError, match="one temperature of both energies, got 340 and 400 K"):
        HamiltonianDifference.draw(a, b, 10)
    with pytest.raises(ValueError, match="force field or domain differ"):
        HamiltonianDifference.draw(a, b, 10, energies=(u, u))


def test_labels_of_methyls_need_not_agree() -> None:
    """The same force field, one structure with a methyl's hydrogens renamed: another third of the circle."""
    system = System.load("alanine_dipeptide_vacuum")
    x = system.positions.clone()
    ends = list(system.rotors[0].ends)
    x[ends] = x[ends[1:] + ends[:1]]
    renamed = System(system.topology, system.openmm_system, x, temperature=system.temperature)
    a, b = (BoltzmannGenerator.for_system(s, ForceFieldEnergy(s)) for s in (system, renamed))
    turned = max(
        float((r.mean(a.coordinates.reference) - s.mean(b.coordinates.reference)).abs())
        for r, s in zip(a.coordinates.rotors, b.coordinates.rotors, strict=True)
    )
    assert turned > 1.5
    found = HamiltonianDifference.draw(a, b, 2048)
    for draws in (found.from_a, found.from_b, found.mapped_a, found.mapped_b):
        inside = np.isfinite(draws.u[:, draws.source])
        assert np.isfinite(draws.u[inside, 1 - draws.source]).mean() > 0.95
    own = found.from_a.u[np.isfinite(found.from_a.u[:, 0])]
    np.testing.assert_allclose(own[:, 0], own[:, 1], atol=0.05, rtol=1e-4)  # of one conformation
    assert np.isfinite(found.from_a.log_q[np.isfinite(found.from_a.u[:, 0])]).all()


@pytest.mark.parametrize(
    ("method", "old", "new"),
    [
        ("targeted", "energy(x.float()).double() - log_det", "energy(x.float()).double() + log_det"),
        ("targeted", "first + second.double()", "-first + second.double()"),
        ("targeted", "first + second.double()", "first - second.double()"),
        ("targeted", "+ third.double()", "- third.double()"),
        ("targeted", "+ fourth", "- fourth"),
        ("forward", "if source == A else", "if source == B else"),
    ],
)
def test_a_changed_sign_in_the_source_is_seen(method: str, old: str, new: str) -> None:
    right = getattr(drawn(), method)()
    with mutant("boltzgen.thermodynamics.hamiltonians", old, new) as module:
        if method == "forward":
            with pytest.raises(ValueError, match="expected finite log-densities"):
                module.HamiltonianDifference.draw(*pair(), 2048, energies=energies(), seed=4)
            return
        found = getattr(
            module.HamiltonianDifference.draw(*pair(), 2048, energies=energies(), seed=4), method
        )()
    assert not abs(found.value - exact()) < 10 * right.error
