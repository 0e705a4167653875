"""Generalized Born solvation (OBC), as OpenMM's `GBSAOBCForce` and `CustomGBForce` have it.

Onufriev, Bashford and Case, Proteins 55, 383, 2004. With offset radii o_i and scaled radii s_j (nm), the pair
integral of Hawkins, Cramer and Truhlar is, where r + s_j >= o_i (else 0),

    I_ij = 1/2 [1/L - 1/U + (r - s_j^2/r)/4 (1/U^2 - 1/L^2) + ln(L/U)/(2r)],
    U = r + s_j,    L = max(o_i, |r - s_j|),

    psi_i = o_i sum_j I_ij,    1/B_i = 1/o_i - tanh(a psi_i + b psi_i^2 + c psi_i^3) / (o_i + offset),

    U = -K [sum_i q_i^2 / 2 B_i + sum_{i<j} q_i q_j / f_ij] + surface,
    f^2 = r^2 + B_i B_j exp(-r^2 / 4 B_i B_j).

`GBSAOBCForce` adds 1/o_i - 1/L to the integral of an atom inside the other sphere, o_i < s_j - r. With a
cutoff r_c, pairs further apart add nothing to I and to the sum, and each pair within it -K q_i q_j (1/f_ij -
1/r_c).
"""

from math import pi

import openmm
import torch
from openmm import unit
from torch import Tensor
from typing_extensions import override

from boltzgen.energy.geometry import Geometry, PairList
from boltzgen.energy.terms.nonbonded import COULOMB
from boltzgen.energy.terms.obc_model import OBCModel, recognise
from boltzgen.energy.terms.term import Term, UnsupportedForceError, row_sum, with_gradient


class OBC(Term):
    """Generalized Born solvation: charges in e, offset radii and scaled radii in nm, each (n_atoms,)."""

    charge: Tensor
    radius: Tensor
    scaled: Tensor
    qq: Tensor
    own: Tensor
    other: Tensor

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
        self.register_buffer("own", self.radius[torch.stack([pairs.first, pairs.second])])
        self.register_buffer("other", self.scaled[torch.stack([pairs.second, pairs.first])])
        # The distance below which |o - s| shows: one sphere inside the other, or an empty integral.
        self.closeness = float((self.own - self.other).abs().max()) if len(pairs) else 0.0

    @classmethod
    def from_openmm(cls, force: openmm.CustomGBForce, pairs: PairList) -> "OBC":
        """Read an OpenMM `CustomGBForce` that holds exactly the OBC expressions.

        Raises:
            UnsupportedForceError: it holds anything else.
        """
        model = recognise(force)
        charge, radius, scaled = zip(
            *(force.getParticleParameters(i) for i in range(force.getNumParticles())), strict=True
        )
        return cls(model, list(charge), list(radius), list(scaled), pairs)

    @classmethod
    def from_gbsa(cls, force: openmm.GBSAOBCForce, pairs: PairList) -> "OBC":
        """Read an OpenMM `GBSAOBCForce`: OBC2, with OpenMM's offset of 0.009 nm and probe of 0.14 nm."""
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

    @override
    def forward(self, geometry: Geometry) -> Tensor:
        distances = geometry.distances
        with torch.no_grad():
            energy, by_r = self._energy_and_derivative(geometry)
        return energy if by_r is None else with_gradient(energy, distances, by_r)

    def _energy_and_derivative(self, geometry: Geometry) -> tuple[Tensor, Tensor | None]:
        """Energy (batch,) and, if wanted, its derivative by every distance, (n_pairs, batch).

        With e = exp(-r^2 / 4 B_i B_j), the energy U of a pair changes with its distance and Born radii by

            dU/df^2 = -U / 2f^2,
            df^2/dr = 2r (1 - e/4),
            B_i df^2/dB_i = B_i B_j e (1 + r^2 / 4 B_i B_j).

        Since B d/dB = -(1/B) d/d(1/B), the self energy has minus itself and the surface minus six times
        itself as B dU/dB. All of it moves with the integrals by

            dU/dI = (B dU/dB) B (1 - tanh^2) (a + 2b psi + 3c psi^2) o / (o + offset),

        and these by their distances.
        """
        r, cast, pairs = geometry.distances, geometry.cast, geometry.pairs
        radius, charge, qq = cast(self.radius), cast(self.charge), cast(self.qq)
        integrals, integrals_by_r = self._integrals(geometry)

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
        if integrals_by_r is None:
            return energy, None

        # `exponent` is -r^2 / 4 B_i B_j, `decayed` B_i B_j e.
        half = pair.mul_(inverse_f2).mul_(-0.5)
        by_log_born = exponent.neg_().add_(1.0).mul_(decayed).mul_(half)
        by_r = decay.mul_(-0.5).add_(2.0).mul_(r).mul_(half)
        by_log = pairs.sum_by_atom(by_log_born).sub_(self_energy).sub_(surface, alpha=6.0)
        by_integral = (
            (1.0 - saturated.square())
            .mul_(a + psi * (2.0 * b + psi * (3.0 * c)))
            .mul_(by_log)
            .mul_(born)
            .mul_(radius / full)
        )
        by_r.addcmul_(by_integral.index_select(0, pairs.first), integrals_by_r[0])
        return energy, by_r.addcmul_(by_integral.index_select(0, pairs.second), integrals_by_r[1])

    def _integrals(self, geometry: Geometry) -> tuple[Tensor, Tensor | None]:
        """sum_j I_ij, (n_atoms, batch), and, if wanted, d I_ij/dr and d I_ji/dr, (2, n_pairs, batch).

        With Q = (1/U^2 - 1/L^2) / 4 = -(1/L - 1/U) (1/L + 1/U) / 4, `squares` below,

            I = [1/L - 1/U + (r - s^2/r) Q + ln(L/U) / 2r] / 2,
            dI/dr = [Q + (s/r)^2 Q] / 2 - ln(L/U) / 4r^2,

        because what L and U themselves add to dI/dr cancels, except for a whole sphere inside (o < s - r):
        there dI/dL dL/dr = 1/L^2 is left, which the term 1/o - 1/L of `GBSAOBCForce` takes away.

        Spheres that lie inside one another (s - r > o) or whose integral is empty (r + s < o) need more work,
        and a pair that is close enough. At ordinary distances L = max(o, r - s), without the absolute value;
        an empty integral is one with U = L = o.
        """
        r, inverse_r = geometry.distances, geometry.inverse_distances
        own, other = geometry.cast(self.own), geometry.cast(self.other)
        # A distance that is not a number takes the longer way, and so does not hide a short one.
        close = r.numel() > 0 and not bool(r.amin() >= self.closeness)
        lower, upper = r - other, r + other
        if close:
            lower, upper = lower.abs_(), torch.maximum(upper, own, out=upper)
        inverse_l, inverse_u = torch.maximum(lower, own, out=lower).reciprocal_(), upper.reciprocal_()
        log = (inverse_u / inverse_l).log_().mul_(inverse_r)
        ratio = other.square() * inverse_r
        squares = (inverse_l + inverse_u).mul_(-0.25)
        difference = torch.sub(inverse_l, inverse_u, out=inverse_u)
        squares.mul_(difference)
        value = torch.addcmul(difference, r - ratio, squares, out=difference).add_(log, alpha=0.5).mul_(0.5)
        inside = (other - r) > own if close else None
        if inside is not None and self.model.engulfing:
            value.add_((own.reciprocal() - inverse_l).masked_fill_(~inside, 0.0))
        beyond = None if self.model.cutoff is None else r > self.model.cutoff
        if beyond is not None:
            value.masked_fill_(beyond, 0.0)
        integrals = geometry.pairs.sum_by_atom(value.flatten(0, 1))
        if not r.requires_grad:
            return integrals, None
        by_r = (
            torch.addcmul(squares, ratio.mul_(inverse_r), squares, out=squares)
            .mul_(0.5)
            .sub_(log.mul_(inverse_r), alpha=0.25)
        )
        if inside is not None and not self.model.engulfing:
            by_r.add_(inverse_l.square().masked_fill_(~inside, 0.0))
        return integrals, by_r if beyond is None else by_r.masked_fill_(beyond, 0.0)
