"""Generalized Born solvation after Onufriev, Bashford and Case (Proteins 55, 383, 2004), as OpenMM's `GBSAOBCForce` and `CustomGBForce` have it.

With offset radii o_i and scaled radii s_j (nm), the pair integral of Hawkins, Cramer and Truhlar is, where r + s_j >= o_i (else 0),

    I_ij = 1/2 [1/L - 1/U + (r - s_j^2/r)/4 (1/U^2 - 1/L^2) + ln(L/U)/(2r)],    U = r + s_j,  L = max(o_i, |r - s_j|)

    psi_i = o_i sum_j I_ij,    1/B_i = 1/o_i - tanh(a psi_i + b psi_i^2 + c psi_i^3) / (o_i + offset)

    U = -K [sum_i q_i^2 / 2 B_i + sum_{i<j} q_i q_j / f_ij] + surface,    f^2 = r^2 + B_i B_j exp(-r^2 / 4 B_i B_j)

`GBSAOBCForce` adds 1/o_i - 1/L to the integral of an atom inside the other sphere, o_i < s_j - r. With a cutoff r_c, pairs further apart
add nothing to I and to the sum, and each pair within it -K q_i q_j (1/f_ij - 1/r_c).
"""

import re
from dataclasses import dataclass
from math import pi
from typing import Any

import openmm
import torch
from openmm import unit
from torch import Tensor
from torch.autograd.function import once_differentiable

from boltzgen.energy.geometry import Geometry, PairList
from boltzgen.energy.nonbonded import COULOMB
from boltzgen.energy.term import Term, UnsupportedForceError

_NUMBER = r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
_UNSIGNED = r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
_PAIR_INTEGRAL = "select(step(r+sr2-or1),0.5*(1/L-1/U+0.25*(r-sr2^2/r)*(1/(U^2)-1/(L^2))+0.5*log(L/U)/r),0)"
_RADIUS = re.compile(rf"1/\(1/or-tanh\((?:({_UNSIGNED})\*)?psi(?:([+-]{_UNSIGNED})\*psi\^2)?([+-]{_UNSIGNED})\*psi\^3\)/radius\)")
_SELF = re.compile(rf"-0\.5\*({_UNSIGNED})\*\(1/soluteDielectric-1/solventDielectric\)\*charge\^2/B")
_PAIR = re.compile(rf"-({_UNSIGNED})\*\(1/soluteDielectric-1/solventDielectric\)\*charge1\*charge2/f")
_SURFACE = re.compile(rf"({_UNSIGNED})\*\(radius\+({_UNSIGNED})\)\^2\*\(radius/B\)\^6")


@dataclass(frozen=True)
class OBCModel:
    """The constants of one OBC force.

    Attributes:
        polynomial: (a, b, c) in tanh(a psi + b psi^2 + c psi^3): (0.8, 0, 2.909125) for OBC1, (1, -0.8, 4.85) for OBC2.
        offset: atomic radius minus offset radius, nm, in the Born radius.
        self_factor: factor of sum_i q_i^2 / B_i, kJ nm/(mol e^2).
        pair_factor: factor of sum_{i<j} q_i q_j / f_ij, kJ nm/(mol e^2).
        surface: (tension in kJ/(mol nm^2), probe radius in nm, offset in nm) of tension (R + probe)^2 (R/B)^6; (0, 0, 0) without it.
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
    first: Tensor
    second: Tensor
    inner: Tensor
    reach: Tensor
    gather: Tensor

    def __init__(self, model: OBCModel, charge: list[float], radius: list[float], scaled: list[float], pairs: PairList) -> None:
        super().__init__()
        self.model = model
        self.parameter_column("charge", charge)
        self.parameter_column("radius", radius)
        self.parameter_column("scaled", scaled)
        self.register_buffer("first", pairs.first)
        self.register_buffer("second", pairs.second)
        self.parameter_column("qq", model.pair_factor * (self.charge[pairs.first] * self.charge[pairs.second]))
        # Integrals over both directions of a pair: (o of the first, s of the second), then the reverse. `gather` adds them up by atom.
        self.register_buffer("inner", self.radius[torch.stack([pairs.first, pairs.second])])
        self.register_buffer("reach", self.scaled[torch.stack([pairs.second, pairs.first])])
        gather = torch.zeros(pairs.n_atoms, 2 * len(pairs), dtype=torch.float64)
        gather[torch.cat([pairs.first, pairs.second]), torch.arange(2 * len(pairs))] = 1.0
        self.register_buffer("gather", gather)

    @classmethod
    def from_openmm(cls, force: openmm.CustomGBForce, pairs: PairList) -> "OBC":
        """Read an OpenMM `CustomGBForce` that holds exactly the OBC expressions; anything else raises `UnsupportedForceError`."""
        model = recognise(force)
        charge, radius, scaled = zip(*(force.getParticleParameters(i) for i in range(force.getNumParticles())), strict=True)
        return cls(model, list(charge), list(radius), list(scaled), pairs)

    @classmethod
    def from_gbsa(cls, force: openmm.GBSAOBCForce, pairs: PairList) -> "OBC":
        """Read an OpenMM `GBSAOBCForce`: OBC2, with OpenMM's fixed offset of 0.009 nm and probe of 0.14 nm."""
        method = force.getNonbondedMethod()
        if method not in (openmm.GBSAOBCForce.NoCutoff, openmm.GBSAOBCForce.CutoffNonPeriodic):
            raise UnsupportedForceError("GBSAOBCForce", "it uses a periodic cutoff, expected the method NoCutoff or CutoffNonPeriodic")
        factor = -COULOMB * (1.0 / force.getSoluteDielectric() - 1.0 / force.getSolventDielectric())
        tension = 4 * pi * force.getSurfaceAreaEnergy().value_in_unit(unit.kilojoule_per_mole / unit.nanometer**2)
        cutoff = None if method == openmm.GBSAOBCForce.NoCutoff else force.getCutoffDistance().value_in_unit(unit.nanometer)
        model = OBCModel((1.0, -0.8, 4.85), 0.009, 0.5 * factor, factor, (tension, 0.14, 0.009), engulfing=True, cutoff=cutoff)
        charge, radius, scaled = [], [], []
        for i in range(force.getNumParticles()):
            q, full, scale = force.getParticleParameters(i)
            charge.append(q.value_in_unit(unit.elementary_charge))
            radius.append(full.value_in_unit(unit.nanometer) - 0.009)
            scaled.append(scale * radius[-1])
        return cls(model, charge, radius, scaled, pairs)

    def forward(self, geometry: Geometry) -> Tensor:
        r = geometry.distances
        dtype = r.dtype
        integrals = _BornIntegrals.apply(r, self.inner.to(dtype), self.reach.to(dtype), self.gather.to(dtype), self.first, self.second, self.model)
        radius = self.radius.to(dtype)
        psi = integrals * radius
        a, b, c = self.model.polynomial
        born = (radius.reciprocal() - torch.tanh(psi * (a + psi * (b + psi * c))) / (radius + self.model.offset)).reciprocal()
        energy = (self.model.self_factor * self.charge.to(dtype).square() / born).sum(0)
        tension, probe, offset = self.model.surface
        if tension:
            full = radius + offset
            energy = energy + (tension * (full + probe).square() * (full / born).pow(6)).sum(0)
        return energy + _PairEnergy.apply(r, born, self.qq.to(dtype), self.gather.to(dtype), self.first, self.second, self.model.cutoff)


class _BornIntegrals(torch.autograd.Function):
    """sum_j I_ij, (n_atoms, batch), of pair distances (n_pairs, batch)."""

    @staticmethod
    def forward(ctx: Any, r: Tensor, inner: Tensor, reach: Tensor, gather: Tensor, first: Tensor, second: Tensor, model: OBCModel) -> Tensor:
        upper = r + reach
        outside = upper >= inner
        if model.cutoff is not None:
            outside &= r <= model.cutoff
        depth = (r - reach).abs_()
        lower = torch.maximum(depth, inner)
        inverse_l, inverse_u, inverse_r = lower.reciprocal_(), upper.reciprocal(), r.reciprocal()
        squares = inverse_u.square().addcmul_(inverse_l, inverse_l, value=-1.0)
        log = (inverse_u / inverse_l).log_().mul_(inverse_r)
        ratio = reach.square() * inverse_r
        value = (r - ratio).mul_(squares).mul_(0.25).add_(inverse_l).sub_(inverse_u).add_(log, alpha=0.5).mul_(0.5)
        if model.engulfing:
            value = value + torch.where((reach - r) > inner, inner.reciprocal() - inverse_l, 0.0)
        value = torch.where(outside, value, 0.0)
        if ctx.needs_input_grad[0]:
            # dI/dr by L and U cancels except for a whole sphere inside (o < s - r), where dI/dL dL/dr = 1/L^2, which the engulfing term takes away.
            slope = ratio.mul_(inverse_r).add_(1.0).mul_(squares).mul_(0.125).sub_(log.mul_(inverse_r), alpha=0.25)
            if not model.engulfing:
                slope = slope + torch.where((reach - r) > inner, inverse_l.square(), 0.0)
            ctx.save_for_backward(torch.where(outside, slope, 0.0), first, second)
        return gather @ value.flatten(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        slope, first, second = ctx.saved_tensors
        total = (gradient.index_select(0, first).mul_(slope[0])).addcmul_(gradient.index_select(0, second), slope[1])
        return total, None, None, None, None, None, None


class _PairEnergy(torch.autograd.Function):
    """sum_{i<j} qq_ij / f_ij, (batch,), of pair distances (n_pairs, batch) and Born radii (n_atoms, batch)."""

    @staticmethod
    def forward(ctx: Any, r: Tensor, born: Tensor, qq: Tensor, gather: Tensor, first: Tensor, second: Tensor, cutoff: float | None) -> Tensor:
        product = born.index_select(0, first).mul_(born.index_select(0, second))
        r2 = r.square()
        exponent = (r2 / product).mul_(-0.25)
        decay = exponent.exp()
        f2 = torch.addcmul(r2, product, decay)
        pair = f2.rsqrt().mul_(qq)
        if cutoff is not None:
            # A distance that is not a number is not beyond the cutoff.
            pair = torch.where(r > cutoff, 0.0, pair)
        if ctx.needs_input_grad[0] or ctx.needs_input_grad[1]:
            # dU/df^2 = -U / 2f^2;  df^2/dr = 2r (1 - e/4);  B_i df^2/dB_i = B_i B_j e (1 + r^2 / 4 B_i B_j).
            half = (pair / f2).mul_(-0.5)
            by_r = (2.0 - 0.5 * decay).mul_(r).mul_(half)
            by_log_born = (1.0 - exponent).mul_(decay).mul_(product).mul_(half)
            n = len(qq)
            ctx.save_for_backward(by_r, (gather[:, :n] + gather[:, n:]) @ by_log_born / born)
        return pair.sum(0) if cutoff is None else (pair - torch.where(r > cutoff, 0.0, qq / cutoff)).sum(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        by_r, by_born = ctx.saved_tensors
        return gradient * by_r, gradient * by_born, None, None, None, None, None


def recognise(force: openmm.CustomGBForce) -> OBCModel:
    """The constants in a `CustomGBForce` made of OpenMM's OBC expressions without salt or cutoff; otherwise raises `UnsupportedForceError`."""

    def expect(condition: Any, reason: str) -> None:
        if not condition:
            raise UnsupportedForceError("CustomGBForce", f"{reason}; only the OBC models of OpenMM's ForceField and AMBER files are known")

    expect(force.getNonbondedMethod() == openmm.CustomGBForce.NoCutoff, "it uses a cutoff, expected the method NoCutoff")
    expect(force.getNumGlobalParameters() == 0, "it has global parameters")
    expect(force.getNumTabulatedFunctions() == 0, "it has tabulated functions (GBn?)")
    names = [force.getPerParticleParameterName(i) for i in range(force.getNumPerParticleParameters())]
    expect(names == ["charge", "or", "sr"], f"its per-particle parameters are {names}, expected ['charge', 'or', 'sr']")

    values = {name: (_split(text), kind) for name, text, kind in map(force.getComputedValueParameters, range(force.getNumComputedValues()))}
    pairwise, single = openmm.CustomGBForce.ParticlePairNoExclusions, openmm.CustomGBForce.SingleParticle
    expect(list(values) == ["I", "B"], f"its computed values are {list(values)}, expected ['I', 'B']")
    integral = (_PAIR_INTEGRAL, {"U": "r+sr2", "L": "max(or1,D)", "D": "abs(r-sr2)"})
    expect(values["I"] == (integral, pairwise), "its pair integral I is another one")
    (main, names_of), kind = values["B"]
    match = _RADIUS.fullmatch(main)
    expect(match and kind == single, f"its Born radius is {main!r}")
    assert match is not None
    polynomial = (float(match[1] or 1.0), float(match[2] or 0.0), float(match[3]))
    expect(names_of.pop("psi", None) == "I*or" and names_of.pop("radius", None) == "or+offset", "psi or radius are defined differently")
    offset = _number(names_of, "offset", expect)

    found: dict[str, tuple[float, ...]] = {}
    constants: tuple[float, ...]
    for n in range(force.getNumEnergyTerms()):
        text, kind = force.getEnergyTermParameters(n)
        main, names_of = _split(text)
        expect(_number(names_of, "kappa", expect) == 0.0, "it has a salt concentration (kappa)")
        screening = 1.0 / _number(names_of, "soluteDielectric", expect) - 1.0 / _number(names_of, "solventDielectric", expect)
        if (match := _SELF.fullmatch(main)) and kind == single:
            name, constants = "self", (-0.5 * float(match[1]) * screening,)
        elif (match := _PAIR.fullmatch(main)) and kind == pairwise and names_of.get("f") == "sqrt(r^2+B1*B2*exp(-r^2/(4*B1*B2)))":
            name, constants = "pair", (-float(match[1]) * screening,)
        elif (match := _SURFACE.fullmatch(main)) and kind == single and names_of.get("radius") == "or+offset":
            name, constants = "surface", (float(match[1]), float(match[2]), _number(names_of, "offset", expect))
        else:
            raise UnsupportedForceError("CustomGBForce", f"its energy term {text!r} is not one of the OBC model")
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
