"""Generalized Born solvation after Onufriev, Bashford and Case (Proteins 55, 383, 2004), as OpenMM's
`GBSAOBCForce` and `CustomGBForce` have it.

With offset radii o_i and scaled radii s_j (nm), the pair integral of Hawkins, Cramer and Truhlar is, where r
+ s_j >= o_i (else 0),

    I_ij = 1/2 [1/L - 1/U + (r - s_j^2/r)/4 (1/U^2 - 1/L^2) + ln(L/U)/(2r)],    U = r + s_j,  L = max(o_i, |r
    - s_j|)

    psi_i = o_i sum_j I_ij,    1/B_i = 1/o_i - tanh(a psi_i + b psi_i^2 + c psi_i^3) / (o_i + offset)

    U = -K [sum_i q_i^2 / 2 B_i + sum_{i<j} q_i q_j / f_ij] + surface,    f^2 = r^2 + B_i B_j exp(-r^2 / 4 B_i
    B_j)

`GBSAOBCForce` adds 1/o_i - 1/L to the integral of an atom inside the other sphere, o_i < s_j - r. With a
cutoff r_c, pairs further apart add nothing to I and to the sum, and each pair within it -K q_i q_j (1/f_ij -
1/r_c).
"""

import re
from dataclasses import dataclass
from math import pi
from typing import Any

import openmm
import torch
from openmm import unit
from torch import Tensor

from boltzgen.energy.geometry import Geometry, PairList
from boltzgen.energy.terms.nonbonded import COULOMB
from boltzgen.energy.terms.term import Term, UnsupportedForceError, row_sum, with_gradient

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


class OBC(Term):
    """Generalized Born solvation: charges in e, offset radii and scaled radii in nm, each (n_atoms,)."""

    charge: Tensor
    radius: Tensor
    scaled: Tensor
    qq: Tensor
    inner: Tensor
    reach: Tensor

    def __init__(
        self, model: OBCModel, charge: list[float], radius: list[float], scaled: list[float], pairs: PairList
    ) -> None:
        super().__init__()
        self.model = model
        self.parameter_column("charge", charge)
        self.parameter_column("radius", radius)
        self.parameter_column("scaled", scaled)
        self.parameter_column(
            "qq", model.pair_factor * (self.charge[pairs.first] * self.charge[pairs.second])
        )
        # Integrals over both directions of a pair: (o of the first, s of the second), then the reverse.
        self.register_buffer("inner", self.radius[torch.stack([pairs.first, pairs.second])])
        self.register_buffer("reach", self.scaled[torch.stack([pairs.second, pairs.first])])
        # The distance below which |o - s| shows: one sphere inside the other, or an empty integral.
        self.closeness = float((self.inner - self.reach).abs().max()) if len(pairs) else 0.0

    @classmethod
    def from_openmm(cls, force: openmm.CustomGBForce, pairs: PairList) -> "OBC":
        """Read an OpenMM `CustomGBForce` that holds exactly the OBC expressions; anything else raises
        `UnsupportedForceError`.
        """
        model = recognise(force)
        charge, radius, scaled = zip(
            *(force.getParticleParameters(i) for i in range(force.getNumParticles())), strict=True
        )
        return cls(model, list(charge), list(radius), list(scaled), pairs)

    @classmethod
    def from_gbsa(cls, force: openmm.GBSAOBCForce, pairs: PairList) -> "OBC":
        """Read an OpenMM `GBSAOBCForce`: OBC2, with OpenMM's fixed offset of 0.009 nm and probe of 0.14
        nm.
        """
        method = force.getNonbondedMethod()
        if method not in (openmm.GBSAOBCForce.NoCutoff, openmm.GBSAOBCForce.CutoffNonPeriodic):
            raise UnsupportedForceError(
                "GBSAOBCForce", "it uses a periodic cutoff, expected the method NoCutoff or CutoffNonPeriodic"
            )
        factor = -COULOMB * (1.0 / force.getSoluteDielectric() - 1.0 / force.getSolventDielectric())
        tension = (
            4 * pi * force.getSurfaceAreaEnergy().value_in_unit(unit.kilojoule_per_mole / unit.nanometer**2)
        )
        cutoff = (
            None
            if method == openmm.GBSAOBCForce.NoCutoff
            else force.getCutoffDistance().value_in_unit(unit.nanometer)
        )
        model = OBCModel(
            (1.0, -0.8, 4.85),
            0.009,
            0.5 * factor,
            factor,
            (tension, 0.14, 0.009),
            engulfing=True,
            cutoff=cutoff,
        )
        charge, radius, scaled = [], [], []
        for i in range(force.getNumParticles()):
            q, full, scale = force.getParticleParameters(i)
            charge.append(q.value_in_unit(unit.elementary_charge))
            radius.append(full.value_in_unit(unit.nanometer) - 0.009)
            scaled.append(scale * radius[-1])
        return cls(model, charge, radius, scaled, pairs)

    def forward(self, geometry: Geometry) -> Tensor:
        distances = geometry.distances
        with torch.no_grad():
            energy, slope = self._energy_and_slope(geometry)
        return energy if slope is None else with_gradient(energy, distances, slope)

    def _energy_and_slope(self, geometry: Geometry) -> tuple[Tensor, Tensor | None]:
        """Energy (batch,) and, if wanted, its derivative by every distance, (n_pairs, batch)."""
        r, cast, pairs = geometry.distances, geometry.cast, geometry.pairs
        radius, charge, qq = cast(self.radius), cast(self.charge), cast(self.qq)
        integrals, integral_slope = self._integrals(geometry)

        psi = integrals.mul_(radius)
        a, b, c = self.model.polynomial
        saturated = torch.tanh(psi * (a + psi * (b + psi * c)))
        full = radius + self.model.offset
        inverse_born = radius.reciprocal() - saturated / full
        self_energy = self.model.self_factor * charge.square() * inverse_born
        tension, probe, offset = self.model.surface
        area = radius + offset
        surface = (
            tension * (area + probe).square() * (area * inverse_born).pow(6)
            if tension
            else torch.zeros_like(self_energy)
        )
        energy = row_sum(self_energy + surface)

        born = inverse_born.reciprocal()
        product = born.index_select(0, pairs.first).mul_(born.index_select(0, pairs.second))
        exponent = r.square().div_(product).mul_(-0.25)
        decay = exponent.exp()
        decayed = product.mul_(decay)
        inverse_f2 = torch.addcmul(decayed, r, r).reciprocal_()
        pair = inverse_f2.sqrt().mul_(qq)
        cutoff = self.model.cutoff
        if cutoff is not None:
            # A distance that is not a number is not beyond the cutoff.
            beyond = r > cutoff
            pair = pair.masked_fill_(beyond, 0.0)
            energy = energy - row_sum((qq / cutoff).expand_as(r).masked_fill(beyond, 0.0))
        energy = energy + row_sum(pair)
        if integral_slope is None:
            return energy, None

        # dU/df^2 = -U / 2f^2;  df^2/dr = 2r (1 - e/4);  B_i df^2/dB_i = B_i B_j e (1 + r^2 / 4 B_i B_j).
        half = pair.mul_(inverse_f2).mul_(-0.5)
        by_log_born = exponent.neg_().add_(1.0).mul_(decayed).mul_(half)
        slope = decay.mul_(-0.5).add_(2.0).mul_(r).mul_(half)
        # B dU/dB, with B d/dB = -(1/B) d/d(1/B); and d(1/B)/dI by the chain rule, d tanh = 1 - tanh^2.
        by_log = pairs.sum_by_atom(by_log_born).sub_(self_energy).sub_(surface, alpha=6.0)
        by_integral = (
            (1.0 - saturated.square())
            .mul_(a + psi * (2.0 * b + psi * (3.0 * c)))
            .mul_(by_log)
            .mul_(born)
            .mul_(radius / full)
        )
        slope.addcmul_(by_integral.index_select(0, pairs.first), integral_slope[0])
        return energy, slope.addcmul_(by_integral.index_select(0, pairs.second), integral_slope[1])

    def _integrals(self, geometry: Geometry) -> tuple[Tensor, Tensor | None]:
        """sum_j I_ij, (n_atoms, batch), and, if wanted, the derivative of both integrals of every pair by its
        distance, (2, n_pairs, batch).

        Spheres that lie inside one another (s - r > o) or whose integral is empty (r + s < o) need more work,
        and a pair that is close enough. At ordinary distances L = max(o, r - s), without the absolute value;
        an empty integral is one with U = L = o.
        """
        r, inverse_r = geometry.distances, geometry.inverse_distances
        inner, reach = geometry.cast(self.inner), geometry.cast(self.reach)
        # A distance that is not a number takes the longer way, and so does not hide a short one.
        close = r.numel() > 0 and not bool(r.amin() >= self.closeness)
        lower, upper = r - reach, r + reach
        if close:
            lower, upper = lower.abs_(), torch.maximum(upper, inner, out=upper)
        inverse_l, inverse_u = torch.maximum(lower, inner, out=lower).reciprocal_(), upper.reciprocal_()
        log = (inverse_u / inverse_l).log_().mul_(inverse_r)
        ratio = reach.square() * inverse_r
        # (1/U^2 - 1/L^2) / 4 = -(1/L - 1/U) (1/L + 1/U) / 4
        squares = (inverse_l + inverse_u).mul_(-0.25)
        difference = torch.sub(inverse_l, inverse_u, out=inverse_u)
        squares.mul_(difference)
        value = torch.addcmul(difference, r - ratio, squares, out=difference).add_(log, alpha=0.5).mul_(0.5)
        inside = (reach - r) > inner if close else None
        if inside is not None and self.model.engulfing:
            value.add_((inner.reciprocal() - inverse_l).masked_fill_(~inside, 0.0))
        beyond = None if self.model.cutoff is None else r > self.model.cutoff
        if beyond is not None:
            value.masked_fill_(beyond, 0.0)
        integrals = geometry.pairs.sum_by_atom(value.flatten(0, 1))
        if not r.requires_grad:
            return integrals, None
        # dI/dr by L and U cancels except for a whole sphere inside (o < s - r), where dI/dL dL/dr = 1/L^2,
        # which the engulfing term takes away.
        slope = (
            torch.addcmul(squares, ratio.mul_(inverse_r), squares, out=squares)
            .mul_(0.5)
            .sub_(log.mul_(inverse_r), alpha=0.25)
        )
        if inside is not None and not self.model.engulfing:
            slope.add_(inverse_l.square().masked_fill_(~inside, 0.0))
        return integrals, slope if beyond is None else slope.masked_fill_(beyond, 0.0)


def recognise(force: openmm.CustomGBForce) -> OBCModel:
    """The constants in a `CustomGBForce` made of OpenMM's OBC expressions without salt or cutoff; otherwise
    raises `UnsupportedForceError`.
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
