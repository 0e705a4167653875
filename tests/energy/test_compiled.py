"""The compiled forces against the same forces term by term: float32 against float64, at the same rounded
positions.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openmm
import pytest
import torch
from openmm import app, unit
from torch import Tensor

from boltzgen.energy import ForceFieldEnergy
from boltzgen.energy.compiled import CompiledTerms
from boltzgen.kernels import runtime
from boltzgen.molecule.system import System

pytest.importorskip("numba")
N_ATOMS = 22
Values = tuple[Tensor, Tensor]


def built(alanine: System, *forces: openmm.Force) -> System:
    """Alanine dipeptide's atoms with these forces only."""
    system = openmm.System()
    for _ in range(N_ATOMS):
        system.addParticle(12.0)
    for force in forces:
        system.addForce(force)
    return System(alanine.topology, system, alanine.positions)


def modelled(*files: str) -> Callable[[System], System]:
    return lambda alanine: System(
        alanine.topology, app.ForceField(*files).createSystem(alanine.topology), alanine.positions
    )


def generalized_born(surface: float = 3.0, engulfed: bool = False) -> openmm.GBSAOBCForce:
    """Charges and radii of all sizes, and if wanted spheres inside one another."""
    rng = np.random.default_rng(0)
    force = openmm.GBSAOBCForce()
    for n in range(N_ATOMS):
        radius = 0.12 + 0.08 * rng.random() + (0.15 if engulfed and n % 5 == 0 else 0.0)
        force.addParticle(
            0.5 * rng.normal(), radius, 0.7 + 0.2 * rng.random() + (0.8 if engulfed and n % 7 == 0 else 0.0)
        )
    force.setSurfaceAreaEnergy(surface)
    return force


def custom_born(alanine: System) -> System:
    """The shipped model with offset and scaled radii that reach every branch of the pair integral."""
    system = openmm.XmlSerializer.clone(alanine.openmm_system)
    rng = np.random.default_rng(1)
    force = next(force for force in system.getForces() if isinstance(force, openmm.CustomGBForce))
    for i in range(N_ATOMS):
        charge = force.getParticleParameters(i)[0]
        force.setParticleParameters(i, [charge, 0.05 + 0.4 * rng.random(), 0.02 + 0.15 * rng.random()])
    force.setParticleParameters(0, [0.3, 0.06, 0.35])
    return System(alanine.topology, system, alanine.positions)


def nonbonded() -> openmm.NonbondedForce:
    """Exceptions of all kinds: excluded, without charge, without Lennard-Jones energy, and stronger than the
    rest.
    """
    rng = np.random.default_rng(2)
    force = openmm.NonbondedForce()
    for _ in range(N_ATOMS):
        force.addParticle(0.5 * rng.normal(), 0.1 + 0.1 * rng.random(), rng.random())
    for i in range(N_ATOMS - 3):
        force.addException(
            i, i + 3, rng.normal() * (i % 3 > 0), 0.1 + 0.1 * rng.random(), rng.random() * (i % 4 > 0)
        )
    return force


def with_others(alanine: System) -> System:
    """Forces that the kernels do not compute, and a second one of a kind that they do."""
    system = openmm.XmlSerializer.clone(alanine.openmm_system)
    bonds = openmm.HarmonicBondForce()
    bonds.addBond(0, 9, 0.5, 100.0)
    external = openmm.CustomExternalForce("5 * (x^2 + y^2)")
    external.addParticle(3, [])
    for force in (bonds, external):
        system.addForce(force)
    return System(alanine.topology, system, alanine.positions)


SYSTEMS: dict[str, Callable[[System], System]] = {
    "shipped": lambda alanine: alanine,
    "no solvent": modelled("amber96.xml"),
    "OBC2": modelled("amber99sbildn.xml", "implicit/obc2.xml"),
    "GBSAOBC": modelled("amber99sbildn.xml", "amber99_obc.xml"),
    "CustomGB, every branch": custom_born,
    "GBSAOBC alone": lambda alanine: built(alanine, generalized_born()),
    "GBSAOBC, no surface": lambda alanine: built(alanine, generalized_born(surface=0.0)),
    "GBSAOBC, engulfed": lambda alanine: built(alanine, generalized_born(engulfed=True)),
    "nonbonded alone": lambda alanine: built(alanine, nonbonded()),
    "nonbonded and GBSAOBC": lambda alanine: built(alanine, nonbonded(), generalized_born()),
    "other forces too": with_others,
}


@pytest.fixture(scope="module", params=SYSTEMS.values(), ids=SYSTEMS.keys())
def energy(request: pytest.FixtureRequest, alanine: System) -> ForceFieldEnergy:
    return ForceFieldEnergy(request.param(alanine))


@pytest.fixture(scope="module")
def shipped(alanine: System) -> ForceFieldEnergy:
    return ForceFieldEnergy(alanine)


def evaluated(energy: ForceFieldEnergy, x: Tensor) -> Values:
    """u in kT and its gradient in kT/nm, the public way."""
    x = x.clone().requires_grad_()
    u = energy(x)
    (gradient,) = torch.autograd.grad(u.sum(), x)
    return u.detach(), gradient


def by_terms(energy: ForceFieldEnergy, x: Tensor) -> Values:
    """The same term by term, in the dtype of x."""
    whole = energy.compiled
    energy.compiled = CompiledTerms([], energy.pairs)
    try:
        return evaluated(energy, x)
    finally:
        energy.compiled = whole


def assert_close(ours: Values, exact: Values) -> None:
    """Within 1e-3 kT, or the 1e-5 of large energies that float32 keeps; max|dF| / max|F| < 2e-5 in each
    configuration.
    """
    assert torch.isfinite(exact[0]).all()
    assert ((ours[0] - exact[0]).abs() < 1e-3 + 1e-5 * (exact[0].abs() - 100.0).clamp_min(0.0)).all(), (
        (ours[0] - exact[0]).abs().max()
    )
    scale = exact[1].abs().amax((1, 2))
    assert ((ours[1] - exact[1]).abs().amax((1, 2)) < 2e-5 * scale).all(), (
        (ours[1] - exact[1]).abs().amax((1, 2)) / scale
    ).max()


@pytest.mark.parametrize("temperature", [300.0, 1200.0])
def test_thermal_frames(
    energy: ForceFieldEnergy, thermal_frames: dict[float, Tensor], temperature: float
) -> None:
    x = thermal_frames[temperature].float()
    assert energy.compiled.ready(x)
    assert_close(evaluated(energy, x), by_terms(energy, x.double()))


def test_distorted_frames(energy: ForceFieldEnergy, distorted_frames: Tensor) -> None:
    """Clashes, and spheres inside one another."""
    x = distorted_frames.float()
    exact = by_terms(energy, x.double())
    # Where float32 overflows term by term, it may here.
    ordinary = exact[0] < 1e12
    assert ordinary.float().mean() > 0.5
    assert_close(evaluated(energy, x[ordinary]), (exact[0][ordinary], exact[1][ordinary]))


def test_three_hundred_atoms() -> None:
    """Two chains of 142 atoms side by side, shaken by some kT for each bond: 40186 pairs, whose rounding
    errors stay below 1e-3 kT.
    """
    pdb = app.PDBFile(str(Path(__file__).parents[1] / "data" / "peptides" / "capped_ala13.pdb"))
    both = app.Modeller(pdb.topology, pdb.positions)
    both.add(
        pdb.topology, [position + openmm.Vec3(1.2, 0.3, 0.0) * unit.nanometer for position in pdb.positions]
    )
    system = app.ForceField("amber99sbildn.xml", "amber99_obc.xml").createSystem(both.topology)
    positions = torch.tensor(both.positions.value_in_unit(unit.nanometer), dtype=torch.float64)
    energy = ForceFieldEnergy(System(both.topology, system, positions))
    x = (
        positions + 0.002 * torch.randn(32, *positions.shape, generator=torch.Generator().manual_seed(0))
    ).float()
    ours, exact = evaluated(energy, x), by_terms(energy, x.double())
    assert (ours[0] - exact[0]).abs().max() < 1e-3
    assert (ours[1] - exact[1]).abs().max() < 1e-5 * exact[1].abs().max()


def test_gradient_is_the_finite_difference(energy: ForceFieldEnergy, alanine: System) -> None:
    x = alanine.positions.float()[None]
    _, gradient = evaluated(energy, x)
    step = 2e-3
    directions = torch.randn(8, N_ATOMS, 3, generator=torch.Generator().manual_seed(0))
    directions /= directions.norm(dim=(1, 2), keepdim=True)
    ahead, behind = energy(x + step * directions), energy(x - step * directions)
    difference = (ahead - behind).double() / (2 * step)
    torch.testing.assert_close(
        (gradient * directions).sum((1, 2)).double(),
        difference,
        rtol=0.02,
        atol=0.3 + 1e-3 * gradient.abs().max().item(),
    )


def test_energy_alone_is_that_with_gradient(
    energy: ForceFieldEnergy, thermal_frames: dict[float, Tensor]
) -> None:
    x = thermal_frames[300.0].float()
    torch.testing.assert_close(energy(x), evaluated(energy, x)[0], rtol=3e-7, atol=2e-4)


def test_chain_and_crossing_geometries(energy: ForceFieldEnergy) -> None:
    """Straight chains (angles of 0 and pi, no torsions) and planar ones: finite, and as term by term."""
    straight, planar = torch.zeros(2, 1, N_ATOMS, 3)
    straight[0, :, 0] = 0.125 * torch.arange(N_ATOMS)
    planar[0, :, 0], planar[0, ::2, 1] = 0.1 * torch.arange(N_ATOMS), 0.1
    for x in (straight, planar):
        ours, exact = evaluated(energy, x), by_terms(energy, x.double())
        assert torch.isfinite(ours[1]).all()
        assert_close(ours, exact)


@pytest.mark.parametrize("pair", [(0, 1), (4, 6), (0, 9), (5, 21)])
def test_coinciding_atoms_are_as_finite_as_term_by_term(
    energy: ForceFieldEnergy, alanine: System, pair: tuple[int, int]
) -> None:
    x = alanine.positions.float()[None].clone()
    x[0, pair[0]] = x[0, pair[1]]
    ours, reference = evaluated(energy, x), by_terms(energy, x)
    assert torch.equal(ours[0].isfinite(), reference[0].isfinite())
    assert ours[1].isfinite().all() or not reference[1].isfinite().all()
    if reference[0].isfinite():
        torch.testing.assert_close(ours[0].double(), by_terms(energy, x.double())[0], rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_bad_configurations_stay_in_their_rows(
    energy: ForceFieldEnergy, alanine: System, value: float
) -> None:
    x = alanine.positions.float().repeat(70, 1, 1)
    expected = evaluated(energy, x)
    for bad in (3, 69):
        x[bad, 8, 1] = value
    ours = evaluated(energy, x)
    good = torch.ones(70, dtype=torch.bool)
    good[[3, 69]] = False
    assert torch.equal(ours[0][good], expected[0][good])
    assert torch.equal(ours[1][good], expected[1][good])
    if not np.isfinite(value):
        assert not ours[0][[3, 69]].isfinite().any()
    elif ours[0][3].isfinite():
        # Float32 has no r^2 of that size, but an atom that far away has no interactions.
        torch.testing.assert_close(
            ours[0][[3, 69]].double(), by_terms(energy, x[[3, 69]].double())[0], rtol=1e-6, atol=1e-3
        )


def test_every_configuration_is_the_same_wherever_it_is(
    shipped: ForceFieldEnergy, thermal_frames: dict[float, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a batch, alone, in other chunks and on other threads: the same bits."""
    x = thermal_frames[1200.0].float()
    u, gradient = evaluated(shipped, x)
    for rows in (slice(0, 1), slice(77, 78), slice(5, 140)):
        part = evaluated(shipped, x[rows])
        assert torch.equal(part[0], u[rows])
        assert torch.equal(part[1], gradient[rows])
    monkeypatch.setattr(runtime, "_CHUNK", 1)
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        again = evaluated(shipped, x.transpose(1, 2).contiguous().transpose(1, 2))
        assert torch.equal(again[0], u)
        assert torch.equal(again[1], gradient)
    assert shipped(x[:0]).shape == (0,)
    assert evaluated(shipped, x[:0])[1].shape == (0, N_ATOMS, 3)


def test_taken_for_float32_and_the_usual_forces_only(
    shipped: ForceFieldEnergy, alanine: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = alanine.positions.float()
    assert len(shipped.compiled.terms) == 5
    assert not shipped.compiled.ready(x.double())
    assert not shipped.compiled.ready(x.to("meta"))
    assert len(ForceFieldEnergy(with_others(alanine)).compiled.terms) == 5

    cut, born = nonbonded(), generalized_born()
    cut.setNonbondedMethod(openmm.NonbondedForce.CutoffNonPeriodic)
    born.setNonbondedMethod(openmm.GBSAOBCForce.CutoffNonPeriodic)
    assert not ForceFieldEnergy(built(alanine, cut, born)).compiled.ready(x)

    monkeypatch.setattr(ForceFieldEnergy, "_by_terms", None)
    evaluated(shipped, x[None])
    with pytest.raises(TypeError):
        shipped(x.double())


def test_parameters_are_read_at_every_call(alanine: System) -> None:
    energy = ForceFieldEnergy(alanine)
    x = alanine.positions.float()[None]
    before = energy.potentials(x)["HarmonicBondForce"]
    whole = energy.potential(x)
    energy.terms["HarmonicBondForce"].k *= 3.0
    torch.testing.assert_close(energy.potential(x), whole + 2 * before)
