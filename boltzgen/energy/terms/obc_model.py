"""The constants of OBC models of Generalized Born solvation, and how a `CustomGBForce` tells them."""

import re
from dataclasses import dataclass
from typing import Any

import openmm

from boltzgen.energy.terms.term import UnsupportedForceError

_NUMBER = r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
_UNSIGNED = r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
_PAIR_INTEGRAL = "select(step(r+sr2-or1),0.5*(1/L-1/U+0.25*(r-sr2^2/r)*(1/(U^2)-1/(L^2))+0.5*log(L/U)/r),0)"
_RADIUS = re.compile(
    rf"1/\(1/or-tanh\((?:({_UNSIGNED})\*)?psi(?:([+-]{_UNSIGNED})\*psi\^2)?([+-]{_UNSIGNED})\*psi\^3\)/radius\)"
)
_SELF = re.compile(rf"-0\.5\*({_UNSIGNED})\*\(1/soluteDielectric-1/solventDielectric\)\*charge\^2/B")
_PAIR = re.compile(rf"-({_UNSIGNED})\*\(1/soluteDielectric-1/solventDielectric\)\*charge1\*charge2/f")
_SURFACE = re.compile(rf"({_UNSIGNED})\*\(radius\+({_UNSIGNED})\)\^2\*\(radius/B\)\^6")


@dataclass(frozen=True)
class OBCModel:
    """The constants of one OBC force.

    Attributes:
        polynomial: (a, b, c) in tanh(a psi + b psi^2 + c psi^3): (0.8, 0, 2.909125) for OBC1, (1, -0.8, 4.85)
            for OBC2.
        offset: atomic radius minus offset radius, nm, in the Born radius.
        self_factor: factor of sum_i q_i^2 / B_i, kJ nm/(mol e^2).
        pair_factor: factor of sum_{i<j} q_i q_j / f_ij, kJ nm/(mol e^2).
        surface: (tension in kJ/(mol nm^2), probe radius in nm, offset in nm) of tension (R + probe)^2
            (R/B)^6; (0, 0, 0) without it.
        engulfing: whether the integral has the term of an atom inside the other sphere.
        cutoff: in nm, or None.
    """

    polynomial: tuple[float, float, float]
    offset: float
    self_factor: float
    pair_factor: float
    surface: tuple[float, float, float]
    engulfing: bool = False
    cutoff: float | None = None


def recognise(force: openmm.CustomGBForce) -> OBCModel:
    """The constants in a `CustomGBForce` made of OpenMM's OBC expressions.

    Raises:
        UnsupportedForceError: it is anything else, or has salt or a cutoff.
    """

    def expect(condition: Any, reason: str) -> None:
        if not condition:
            raise UnsupportedForceError(
                "CustomGBForce",
                f"{reason}; only the OBC models of OpenMM's ForceField and AMBER files are known",
            )

    expect(
        force.getNonbondedMethod() == openmm.CustomGBForce.NoCutoff,
        "it uses a cutoff, expected the method NoCutoff",
    )
    expect(force.getNumGlobalParameters() == 0, "it has global parameters")
    expect(force.getNumTabulatedFunctions() == 0, "it has tabulated functions (GBn?)")
    names = [force.getPerParticleParameterName(i) for i in range(force.getNumPerParticleParameters())]
    expect(
        names == ["charge", "or", "sr"],
        f"its per-particle parameters are {names}, expected ['charge', 'or', 'sr']",
    )

    values = {
        name: (_split(text), kind)
        for name, text, kind in map(force.getComputedValueParameters, range(force.getNumComputedValues()))
    }
    pairwise, single = openmm.CustomGBForce.ParticlePairNoExclusions, openmm.CustomGBForce.SingleParticle
    expect(list(values) == ["I", "B"], f"its computed values are {list(values)}, expected ['I', 'B']")
    integral = (_PAIR_INTEGRAL, {"U": "r+sr2", "L": "max(or1,D)", "D": "abs(r-sr2)"})
    expect(values["I"] == (integral, pairwise), "its pair integral I is another one")
    (main, names_of), kind = values["B"]
    match = _RADIUS.fullmatch(main)
    expect(match and kind == single, f"its Born radius is {main!r}")
    assert match is not None
    polynomial = (float(match[1] or 1.0), float(match[2] or 0.0), float(match[3]))
    expect(
        names_of.pop("psi", None) == "I*or" and names_of.pop("radius", None) == "or+offset",
        "psi or radius are defined differently",
    )
    offset = _number(names_of, "offset", expect)

    found: dict[str, tuple[float, ...]] = {}
    constants: tuple[float, ...]
    for n in range(force.getNumEnergyTerms()):
        text, kind = force.getEnergyTermParameters(n)
        main, names_of = _split(text)
        expect(_number(names_of, "kappa", expect) == 0.0, "it has a salt concentration (kappa)")
        screening = 1.0 / _number(names_of, "soluteDielectric", expect) - 1.0 / _number(
            names_of, "solventDielectric", expect
        )
        if (match := _SELF.fullmatch(main)) and kind == single:
            name, constants = "self", (-0.5 * float(match[1]) * screening,)
        elif (
            (match := _PAIR.fullmatch(main))
            and kind == pairwise
            and names_of.get("f") == "sqrt(r^2+B1*B2*exp(-r^2/(4*B1*B2)))"
        ):
            name, constants = "pair", (-float(match[1]) * screening,)
        elif (match := _SURFACE.fullmatch(main)) and kind == single and names_of.get("radius") == "or+offset":
            name, constants = (
                "surface",
                (float(match[1]), float(match[2]), _number(names_of, "offset", expect)),
            )
        else:
            raise UnsupportedForceError(
                "CustomGBForce", f"its energy term {text!r} is not one of the OBC model"
            )
        expect(name not in found, f"it has the energy term {name!r} twice")
        found[name] = constants
    expect({"self", "pair"} <= set(found), f"it lacks the self or the pair energy, it has {sorted(found)}")
    tension, probe, surface_offset = found.get("surface", (0.0, 0.0, 0.0))
    return OBCModel(polynomial, offset, found["self"][0], found["pair"][0], (tension, probe, surface_offset))


def _split(expression: str) -> tuple[str, dict[str, str]]:
    """The main expression and the definitions after it, without spaces."""
    main, *rest = re.sub(r"\s+", "", expression).strip(";").split(";")
    return main, dict(definition.split("=", 1) for definition in rest)


def _number(definitions: dict[str, str], name: str, expect: Any) -> float:
    text = definitions.get(name, "")
    expect(re.fullmatch(_NUMBER, text), f"{name} is {text!r}, expected a number")
    return float(text)
