"""Random expressions, and the comparison of one Custom force with OpenMM."""

import copy
from collections.abc import Sequence
from functools import cache

import openmm
import torch
from hypothesis import strategies as st
from openmm import app
from torch import Tensor

from boltzgen.energy import ForceFieldEnergy, OpenMMEnergy
from boltzgen.energy.custom.operations import FUNCTIONS
from boltzgen.molecule.system import System

NUMBERS = ["1", "2", "3.", ".5", "0.7", "1e-1", "2.5E-1", "15E-1", "0.25e+1"]


def system_of(force: openmm.Force, n_atoms: int) -> System:
    """A System of one force on unbonded particles, at random positions 0.3 nm apart or so."""
    system = openmm.System()
    topology = app.Topology()
    residue = topology.addResidue("UNK", topology.addChain())
    for _ in range(n_atoms):
        system.addParticle(1.0)
        topology.addAtom("C", app.element.carbon, residue)
    # A System owns its forces and takes them along when it goes.
    system.addForce(copy.deepcopy(force))
    return System(topology, system, random_positions(n_atoms, 1)[0])


def random_positions(n_atoms: int, n_frames: int, seed: int = 0) -> Tensor:
    """(n_frames, n_atoms, 3) in nm, normal."""
    return 0.3 * torch.randn(
        n_frames, n_atoms, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def energy_and_gradient(energy: ForceFieldEnergy | OpenMMEnergy, x: Tensor) -> tuple[Tensor, Tensor]:
    """Energies (n,) in kJ/mol and their gradient."""
    x = x.clone().requires_grad_()
    potential = energy.potential(x)
    (gradient,) = torch.autograd.grad(potential.sum(), x)
    return potential.detach(), gradient


def assert_equals_openmm(force: openmm.Force, x: Tensor, *, least: float = 1.0) -> None:
    """Energies within 1e-5 kJ/mol or 1e-9 relative and max|dF| / max|F| < 1e-6, on every frame where the
    comparison means something.

    OpenMM must be finite there and below 1e8, and the force may not change by rounding: neighbours of x at
    1e-11 differ by less than 1e-7.

    Args:
        force: the only force.
        x: positions (n, n_atoms, 3).
        least: fraction of the frames that must be compared.
    """
    system = system_of(force, x.shape[1])
    ours = ForceFieldEnergy(system)
    value, gradient = energy_and_gradient(ours, x)
    expected, expected_gradient = energy_and_gradient(OpenMMEnergy(system), x)
    with torch.no_grad():
        torch.testing.assert_close(ours.potential(x), value, rtol=1e-12, atol=1e-12, equal_nan=True)
    size = expected_gradient.abs().amax((1, 2))
    comparable = torch.isfinite(expected) & torch.isfinite(size) & (expected.abs() < 1e8) & (size < 1e8)
    for seed in (1, 2):
        near_value, near_gradient = energy_and_gradient(
            ours, x + 1e-11 * random_positions(x.shape[1], len(x), seed)
        )
        moved = (near_value - value).abs() > 1e-7 * (1 + value.abs())
        turned = (near_gradient - gradient).abs().amax((1, 2)) > 1e-7 * (1 + gradient.abs().amax((1, 2)))
        comparable &= ~(moved | turned)
    assert comparable.double().mean() >= least, f"only {comparable.sum()} of {len(x)} frames can be compared"
    value, expected, gradient, expected_gradient, size = (
        t[comparable] for t in (value, expected, gradient, expected_gradient, size)
    )
    difference = (value - expected).abs()
    assert ((difference < 1e-5) | (difference < 1e-9 * expected.abs())).all(), (value, expected)
    assert ((gradient - expected_gradient).abs().amax((1, 2)) <= 1e-6 * size + 1e-9).all(), (
        gradient,
        expected_gradient,
    )


@cache
def expressions(names: tuple[str, ...], more: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    """Expressions of `names` that use every operator and function; `more` are further parts to start from,
    calls for example.

    Numbers only meet what depends on a name: OpenMM's parser never returns where a part of constants alone is
    NaN, or its derivative.
    """
    leaves = st.sampled_from([*names, *names, *more, *NUMBERS])
    return st.recursive(leaves, lambda part: _larger(part, names[0]), max_leaves=5)


def _larger(part: st.SearchStrategy[str], name: str) -> st.SearchStrategy[str]:
    varying = part.map(lambda text: f"({name}+{text})" if text in NUMBERS else text)
    calls = [
        st.tuples(*[varying] * arguments).map(
            lambda parts, function=function: f"{function}({','.join(parts)})"
        )  # type: ignore[misc]
        for function, arguments in FUNCTIONS.items()
    ]
    # Without parentheses around it, a part may be torn apart: both parsers must do so alike.
    operators = st.sampled_from(["+", "-", "*", "/", " * ", " - ", "^"])
    operations = st.builds("{}{}{}".format, varying, operators, part) | st.builds(
        "{}{}{}".format, part, operators, varying
    )
    grouped = st.builds("({}{}{})".format, varying, st.sampled_from("+-*/"), part)
    powers = st.builds(
        "({})^{}".format, varying, st.sampled_from(["2", "3", "-1", "-2", "6", "0.5", "1.5", "1"])
    )
    branches = st.builds("select({}-{},{},{})".format, varying, part, part, part) | st.builds(
        "select(step({}),{},{})".format, varying, part, part
    )
    return st.one_of(
        operations, operations, grouped, grouped, powers, branches, st.builds("-{}".format, varying), *calls
    )


@st.composite
def definitions(draw: st.DrawFn, names: Sequence[str], more: Sequence[str] = ()) -> str:
    """An expression with up to two definitions, which may take the name of one another or of a variable.

    No more, and no deeper: OpenMM writes the definitions out where they are used and differentiates the
    whole.
    """
    known, text = list(names), ""
    for new in draw(st.lists(st.sampled_from(["q", "s", names[-1]]), max_size=2)):
        text = f"; {new} = {names[0]}*{draw(expressions(tuple(known), tuple(more)))}{text}"
        known.append(new)
    return f"{names[0]}*{draw(expressions((*known, *known[len(names) :]), tuple(more)))}{text}"
