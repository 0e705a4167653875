"""Ryckaert-Bellemans torsions: U = sum_n C_n cos(psi)^n with psi = phi - 180 degrees, n = 0..5."""

from collections import defaultdict

import openmm
from numpy.polynomial.chebyshev import poly2cheb
from openmm import unit

from boltzgen.energy.geometry import PairList
from boltzgen.energy.terms.torsions import PeriodicTorsions, Quadruple


class RBTorsions(PeriodicTorsions):
    """Ryckaert-Bellemans torsions as the Fourier series they are.

    cos(psi) = -cos(phi), and a polynomial in cos(phi) is a sum of T_n(cos phi) = cos(n phi), T_n Chebyshev's
    polynomials.
    """

    @classmethod
    def from_openmm(cls, force: openmm.RBTorsionForce, pairs: PairList) -> "RBTorsions":
        """Read an OpenMM `RBTorsionForce`."""
        series: dict[Quadruple, dict[int, tuple[float, float]]] = defaultdict(
            lambda: defaultdict(lambda: (0.0, 0.0))
        )
        for index in range(force.getNumTorsions()):
            i, j, k, l, *coefficients = force.getTorsionParameters(index)
            powers = [
                (-1) ** n * c.value_in_unit(unit.kilojoule_per_mole) for n, c in enumerate(coefficients)
            ]
            terms = series[i, j, k, l]
            for n, height in enumerate(poly2cheb(powers)):
                terms[n] = (terms[n][0] + float(height), 0.0)
        return cls(series, pairs.n_atoms)
