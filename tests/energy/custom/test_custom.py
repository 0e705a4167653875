"""Terms of Custom forces against OpenMM, and what they refuse."""

from collections.abc import Callable

import numpy as np
import openmm
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boltzgen.energy import ForceFieldEnergy, UnsupportedForceError
from tests.helpers.custom_forces import (
    assert_equals_openmm,
    definitions,
    energy_and_gradient,
    random_positions,
    system_of,
)

N_ATOMS = 7
X = random_positions(N_ATOMS, 12)


def bond(
    text: str, names: tuple[str, ...] = (), rows: tuple[tuple[float, ...], ...] = ((), (), ())
) -> openmm.CustomBondForce:
    force = openmm.CustomBondForce(text)
    for name in names:
        force.addPerBondParameter(name)
    for atoms, row in zip(((0, 1), (4, 2), (5, 6)), rows, strict=True):
        force.addBond(*atoms, row)
    return force


def angle(
    text: str, names: tuple[str, ...] = (), rows: tuple[tuple[float, ...], ...] = ((), (), ())
) -> openmm.CustomAngleForce:
    force = openmm.CustomAngleForce(text)
    for name in names:
        force.addPerAngleParameter(name)
    for atoms, row in zip(((0, 1, 2), (4, 2, 0), (5, 6, 1)), rows, strict=True):
        force.addAngle(*atoms, row)
    return force


def torsion(
    text: str, names: tuple[str, ...] = (), rows: tuple[tuple[float, ...], ...] = ((), (), ())
) -> openmm.CustomTorsionForce:
    force = openmm.CustomTorsionForce(text)
    for name in names:
        force.addPerTorsionParameter(name)
    for atoms, row in zip(((0, 1, 2, 3), (4, 2, 0, 6), (5, 6, 1, 3)), rows, strict=True):
        force.addTorsion(*atoms, row)
    return force


def external(
    text: str, names: tuple[str, ...] = (), rows: tuple[tuple[float, ...], ...] = ((), (), ())
) -> openmm.CustomExternalForce:
    force = openmm.CustomExternalForce(text)
    for name in names:
        force.addPerParticleParameter(name)
    for atom, row in zip((3, 0, 6), rows, strict=True):
        force.addParticle(atom, row)
    return force


def compound(
    text: str, names: tuple[str, ...] = (), rows: tuple[tuple[float, ...], ...] = ((), (), ())
) -> openmm.CustomCompoundBondForce:
    force = openmm.CustomCompoundBondForce(4, text)
    for name in names:
        force.addPerBondParameter(name)
    for atoms, row in zip(((0, 1, 2, 3), (4, 2, 0, 6), (5, 6, 1, 3)), rows, strict=True):
        force.addBond(atoms, row)
    return force


def nonbonded(
    text: str, names: tuple[str, ...] = (), seed: int = 0, low: float = 0.2
) -> openmm.CustomNonbondedForce:
    force = openmm.CustomNonbondedForce(text)
    for name in names:
        force.addPerParticleParameter(name)
    for row in low + np.random.default_rng(seed).random((N_ATOMS, len(names))):
        force.addParticle(row.tolist())
    return force


#: Force, the variables of its expressions, and calls that they may make.
BONDED: dict[str, tuple[Callable[..., openmm.Force], list[str], list[str]]] = {
    "CustomBondForce": (bond, ["r"], []),
    "CustomAngleForce": (angle, ["theta"], []),
    "CustomTorsionForce": (torsion, ["theta"], []),
    "CustomExternalForce": (external, ["x", "y", "z"], []),
    "CustomCompoundBondForce": (
        compound,
        ["y1", "x2", "z4"],
        [
            "distance(p1,p3)",
            "distance(p4,p2)",
            "angle(p1,p2,p4)",
            "dihedral(p1,p2,p3,p4)",
            "dihedral(p4,p1,p2,p3)",
            "pointdistance(x1,y1,2*z1,x2,0.5,z3)",
            "pointangle(x1,y1,z1,0,0.1,z2,x3,y3,z3)",
            "pointdihedral(x1,y1,z1,x2,y2,z2,x3,y3+0.2,z3,0,1,z4)",
        ],
    ),
}


@pytest.mark.parametrize(
    "force",
    [
        bond("k*(r-r0)^2/2+k3*(r-r0)^3", ("r0", "k"), ((0.1, 100.0), (0.2, 50.0), (0.3, -20.0))),
        angle("k*(theta-t0)^2+k3*cos(3*theta)", ("t0", "k"), ((1.1, 100.0), (2.2, 50.0), (0.3, -20.0))),
        torsion(
            "k*min(d,2*3.141592653589793-d)^2+k3*sin(theta); d=abs(theta-t0)",
            ("t0", "k"),
            ((1.1, 10.0), (-2.2, 5.0), (3.0, 2.0)),
        ),
        external("k*(x-x0)^2+k3*y^3*z", ("x0", "k"), ((0.1, 100.0), (0.2, 50.0), (0.3, -20.0))),
        compound(
            "k*(distance(p1,p4)-d0)^2*cos(dihedral(p1,p2,p3,p4))+k3*angle(p1,p2,p3)*x4*y3*z2",
            ("d0", "k"),
            ((0.1, 9.0), (0.2, 5.0), (0.3, -2.0)),
        ),
    ],
    ids=lambda force: type(force).__name__,
)
def test_bonded_forces(force: openmm.Force) -> None:
    force.addGlobalParameter("k3", 1.7)
    assert_equals_openmm(force, X)


@pytest.mark.parametrize("call", BONDED["CustomCompoundBondForce"][2])
def test_measures_of_compound_bonds(call: str) -> None:
    assert_equals_openmm(compound(f"{call}+{call}^3"), X)


def test_forces_without_bonds_or_variables() -> None:
    assert_equals_openmm(openmm.CustomBondForce("r"), X)
    assert_equals_openmm(nonbonded("3"), X)
    assert_equals_openmm(bond("2.5"), X)
    assert_equals_openmm(torsion("k*2", ("k",), ((1.0,), (2.0,), (4.0,))), X)


@settings(max_examples=60)
@given(st.data())
def test_random_bonded_forces(data: st.DataObject) -> None:
    make, names, calls = BONDED[data.draw(st.sampled_from(sorted(BONDED)))]
    text = data.draw(definitions([*names, "a", "b"], calls))
    values = st.sampled_from([-1.3, 0.4, 0.9, 1.7])
    force = make(text, ("a", "b"), tuple((data.draw(values), data.draw(values)) for _ in range(3)))
    assert_equals_openmm(force, X, least=0.0)


LENNARD_JONES = "4*sqrt(eps1*eps2)*((s/r)^12-(s/r)^6)+q1*q2/r; s=0.2*(sig1+sig2)"


@pytest.mark.parametrize("cutoff", [None, 0.5])
@pytest.mark.parametrize("switch", [None, 0.3])
@pytest.mark.parametrize(
    "groups", [[], [({0, 1, 2}, {2, 3, 4})], [({0, 1, 2}, {1, 2, 5}), ({0, 6}, {0, 6, 1}), ({5}, {1, 5})]]
)
@pytest.mark.parametrize("asymmetric", [False, True])
def test_nonbonded(
    cutoff: float | None, switch: float | None, groups: list[tuple[set[int], set[int]]], asymmetric: bool
) -> None:
    if asymmetric and cutoff and not groups:
        pytest.skip("the order of a pair in OpenMM's neighbour list is unspecified")
    force = nonbonded(LENNARD_JONES + ("; sig2=q1" if asymmetric else ""), ("eps", "sig", "q"))
    for i, j in ((0, 1), (4, 1), (5, 2), (3, 6)):
        force.addExclusion(i, j)
    for one, other in groups:
        force.addInteractionGroup(one, other)
    if cutoff is not None:
        force.setNonbondedMethod(force.CutoffNonPeriodic)
        force.setCutoffDistance(cutoff)
    if switch is not None:
        force.setUseSwitchingFunction(True)
        force.setSwitchingDistance(switch)
        force.setUseLongRangeCorrection(True)
    assert_equals_openmm(force, X)


def test_nonbonded_beyond_the_cutoff_leaves_no_trace() -> None:
    """The expression is NaN there."""
    force = nonbonded("sqrt(0.4-r)*a1*a2", ("a",))
    force.setNonbondedMethod(force.CutoffNonPeriodic)
    force.setCutoffDistance(0.4)
    assert_equals_openmm(force, X)


def test_a_condition_that_shares_a_part_with_its_branch() -> None:
    """The part is NaN beyond 1 nm, where the other branch is chosen: the gradient is that one's."""
    force = nonbonded("r*select(step(q),q,r); q=r*select(step(r),asin(r),r)", ("a",))
    force.addInteractionGroup({0}, {1})
    assert_equals_openmm(force, X, least=0.0)


def test_nonbonded_values_computed_from_parameters() -> None:
    force = nonbonded("(c1+c2)*d1*d2*exp(-r)", ("a", "b"))
    force.addGlobalParameter("k", 0.3)
    force.addComputedValue("c", "a*b+k")
    force.addComputedValue("d", "5")
    assert_equals_openmm(force, X)


@settings(max_examples=30)
@given(st.data())
def test_random_nonbonded_forces(data: st.DataObject) -> None:
    force = nonbonded(
        data.draw(definitions(["r", "a1", "a2", "b2"])), ("a", "b"), seed=data.draw(st.integers(0, 9))
    )
    atoms = st.integers(0, N_ATOMS - 1)
    for pair in data.draw(st.sets(st.frozensets(atoms, min_size=2, max_size=2), max_size=6)):
        force.addExclusion(*pair)
    # Interaction groups give each pair its order, with or without a cutoff.
    for one, other in data.draw(
        st.lists(st.tuples(st.sets(atoms, min_size=1), st.sets(atoms, min_size=1)), min_size=1, max_size=2)
    ):
        force.addInteractionGroup(one, other)
    if data.draw(st.booleans()):
        force.setNonbondedMethod(force.CutoffNonPeriodic)
        force.setCutoffDistance(data.draw(st.sampled_from([0.3, 0.6])))
        if data.draw(st.booleans()):
            force.setUseSwitchingFunction(True)
            force.setSwitchingDistance(0.2)
    assert_equals_openmm(force, X, least=0.0)


VALUES = [0.5, -1.0, 2.0, 0.3, 1.1, -0.4]


def with_function(function: openmm.TabulatedFunction, text: str) -> openmm.CustomNonbondedForce:
    force = nonbonded(text, ("a",))
    force.addTabulatedFunction("f", function)
    return force


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (openmm.Continuous1DFunction(VALUES, 0.1, 0.8), "f(r)*a1*a2"),
        (openmm.Continuous1DFunction(VALUES, 0.1, 0.8), "f(0.1)+f(0.8)+f(0.05)+f(0.24)*r"),
        (openmm.Continuous1DFunction([*VALUES, VALUES[0]], 0.1, 0.8, True), "f(2*r)*a1*a2+f(r-1)"),
        (openmm.Discrete1DFunction(VALUES), "r*f(floor(4*min(r,1.2)))"),
        (openmm.Discrete1DFunction(VALUES), "r*f(3.4)+f(2)*r+r*f(4.6*step(r))"),
        (openmm.Discrete2DFunction(2, 3, VALUES), "r*f(1,2)+f(step(r-0.4),2*step(r-0.5))*a1*a2*r"),
    ],
)
def test_tabulated_functions(function: openmm.TabulatedFunction, text: str) -> None:
    assert_equals_openmm(with_function(function, text), X)


def test_arguments_outside_a_discrete_table_are_nan() -> None:
    """OpenMM raises there, so that `OpenMMEnergy` gives no finite energy either."""
    force = with_function(openmm.Discrete1DFunction(VALUES), "f(10*r)")
    value, _ = energy_and_gradient(ForceFieldEnergy(system_of(force, N_ATOMS)), X)
    assert value.isnan().any()


def table_3d() -> openmm.Force:
    return with_function(openmm.Discrete3DFunction(1, 1, 1, [0.0]), "f(r,r,r)")


def table_2d() -> openmm.Force:
    return with_function(openmm.Continuous2DFunction(2, 2, [0.0] * 4, 0, 1, 0, 1), "f(r,r)")


def periodic_nonbonded() -> openmm.Force:
    force = nonbonded("r")
    force.setNonbondedMethod(force.CutoffPeriodic)
    return force


def point_elsewhere() -> openmm.Force:
    return compound("distance(p1,p2)+p1")


def coordinate_for_point() -> openmm.Force:
    return compound("distance(x1,p2)")


@pytest.mark.parametrize(
    ("force", "names"),
    [
        (lambda: bond("k*r"), "CustomBondForce: unknown name 'k' in 'k"),
        (lambda: angle("r"), "CustomAngleForce: unknown name 'r'"),
        (lambda: torsion("foo(theta)"), "CustomTorsionForce: unknown function 'foo'"),
        (lambda: external("periodicdistance(x,y,z,0,0,0)"), "CustomExternalForce: .*periodic"),
        (lambda: compound("vectorangle(p1,p2)"), "CustomCompoundBondForce: unknown function 'vectorangle'"),
        (lambda: compound("distance(p1,p5)"), "CustomCompoundBondForce: unknown name 'p5'"),
        (point_elsewhere, "CustomCompoundBondForce: distance, angle, dihedral take particles"),
        (coordinate_for_point, "CustomCompoundBondForce: distance, angle, dihedral take particles"),
        (lambda: nonbonded("a1*r"), "CustomNonbondedForce: unknown name 'a1'"),
        (periodic_nonbonded, "CustomNonbondedForce: .*periodic"),
        (table_2d, "CustomNonbondedForce: .*'f' is a Continuous2DFunction"),
        (table_3d, "CustomNonbondedForce: .*'f' is a Discrete3DFunction"),
    ],
)
def test_what_is_not_computed_is_refused_by_name(force: Callable[[], openmm.Force], names: str) -> None:
    with pytest.raises(UnsupportedForceError, match=names + ".*use OpenMMEnergy"):
        ForceFieldEnergy(system_of(force(), N_ATOMS))


@pytest.mark.parametrize(
    "force",
    [
        bond("r"),
        angle("theta"),
        torsion("theta"),
        compound("distance(p1,p2)+angle(p1,p2,p3)+dihedral(p1,p2,p3,p4)"),
    ],
    ids=lambda force: type(force).__name__,
)
def test_degenerate_geometry_has_finite_gradients(force: openmm.Force) -> None:
    x = torch.zeros(2, N_ATOMS, 3, dtype=torch.float64)
    x[1, :, 0] = torch.arange(N_ATOMS)
    value, gradient = energy_and_gradient(ForceFieldEnergy(system_of(force, N_ATOMS)), x)
    assert torch.isfinite(value).all() and torch.isfinite(gradient).all()


def test_masters_stay_float64() -> None:
    force = with_function(openmm.Continuous1DFunction(VALUES, 0.1, 0.8), "f(r)*a1*a2")
    energy = ForceFieldEnergy(system_of(force, N_ATOMS))
    before = energy.potential(X)
    assert torch.equal(energy.float().half().potential(X), before)
    single = energy.potential(X.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), before, rtol=0, atol=1e-4)
