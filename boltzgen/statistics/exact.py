"""Sums of weights that are the same, to the last bit, in whatever order and groups their terms are added.

A float64 sum depends on the order of its terms. Here each term is cut at fixed binary places into slices of
26 bits, and the slices of one place are added up as integers, which no order changes. Of all places the
highest four that occur are kept: what is lost of a term is less than 2^-78 of the largest one. (Demmel &
Nguyen, "Parallel reproducible summation", IEEE Trans. Comput. 64, 2060, 2015, do the same in floating point.)
"""

import math
from dataclasses import dataclass, field

import numpy as np

_BITS, _PLACES = 26, 4
#: Slices have 26 bits, and integers 63.
MOST_TERMS = 2**36
#: ln 2 in two parts, the first of which times an exponent is exact (W. J. Cody and W. Waite, 1980).
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
#: Place of what is zero: below all others.
_NOWHERE = -(2**40)
#: What one unit of each kept place is, relative to one of the highest.
_UNITS = 2.0 ** (-_BITS * np.arange(_PLACES))


@dataclass(frozen=True)
class Terms:
    """Numbers of any size as slices at binary places.

    Attributes:
        place: of the first slice, whose unit is 2^(26 place), int64 (...).
        slices: three from there downwards, integers below 2^26 with the number's sign, int64 (3, ...).
    """

    place: np.ndarray
    slices: np.ndarray

    @classmethod
    def of(cls, mantissa: np.ndarray, exponent: np.ndarray) -> "Terms":
        """The numbers mantissa 2^exponent, each exactly: finite float64 (...) and whole numbers (...)."""
        fraction, shift = np.frexp(mantissa)  # 1/2 <= |fraction| < 1
        power = np.asarray(exponent, dtype=np.int64) + shift
        place = np.where(fraction == 0, _NOWHERE, (power - 1) // _BITS)
        # 1 <= |rest| < 2^26: of the 53 bits at most 52 lie behind the point, in two more slices.
        rest = np.ldexp(fraction, np.where(fraction == 0, 0, power - _BITS * place))
        slices = np.empty((3, *np.shape(rest)), dtype=np.int64)
        for k in range(3):
            whole = np.trunc(rest)
            slices[k] = whole
            rest = np.ldexp(rest - whole, _BITS)
        return cls(place, slices)


def powers_of_two(log_w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mantissas in [1, 2) and exponents, both (n,), of exp(log_w) of finite log-weights (n,)."""
    exponent = np.floor(log_w / math.log(2.0))
    mantissa = np.exp((log_w - exponent * _LN2_HIGH) - exponent * _LN2_LOW)
    return mantissa, exponent.astype(np.int64)


@dataclass
class ExactSums:
    """Many sums side by side; see above.

    Attributes:
        limbs: sums of slices by place, the highest first, int64 (n, 4).
        top: the highest place; None while nothing but zeros was added.
    """

    limbs: np.ndarray
    top: int | None = field(default=None)

    @classmethod
    def zeros(cls, n: int) -> "ExactSums":
        """So many sums of nothing."""
        return cls(np.zeros((n, _PLACES), dtype=np.int64))

    def add(self, cells: np.ndarray, terms: Terms) -> None:
        """Add each term (m,), or (h, m), to the sum that `cells` (h, m) names."""
        if terms.place.size == 0 or (highest := int(terms.place.max())) == _NOWHERE:
            return
        self._raise(highest)
        assert self.top is not None
        flat = self.limbs.reshape(-1)
        for k in range(3):
            column = self.top - terms.place + k
            index, column, value = np.broadcast_arrays(cells, column, terms.slices[k])
            kept = column < _PLACES
            np.add.at(flat, index[kept] * _PLACES + column[kept], value[kept])

    def merge(self, other: "ExactSums", *, sign: int = 1) -> None:
        """Add the sums of another one, or subtract them with sign -1."""
        if other.top is None:
            return
        self._raise(other.top)
        assert self.top is not None
        down = self.top - other.top
        if down < _PLACES:
            self.limbs[:, down:] += sign * other.limbs[:, : _PLACES - down]

    def total(self, groups: list[np.ndarray] | None = None) -> "ExactSums":
        """Sums over all cells, one; or over each group of cells."""
        parts = [self.limbs] if groups is None else [self.limbs[group] for group in groups]
        return ExactSums(np.stack([part.sum(axis=0) for part in parts]), self.top)

    def part(self, cells: slice) -> "ExactSums":
        """Some of the sums."""
        return ExactSums(self.limbs[cells], self.top)

    def logarithms(self) -> np.ndarray:
        """Natural logarithms of sums of what is not negative, float64 (n,)."""
        with np.errstate(divide="ignore"):
            return np.log(self._digits) + self._exponent * math.log(2.0)

    def over(self, other: "ExactSums", power: int = 1) -> np.ndarray:
        """Ratios to another sum, or to a power of it, float64 (n,); that one is not zero."""
        below = float(other._digits[0])
        shift = self._exponent - power * other._exponent
        return np.ldexp(self._digits / below**power, shift)

    @property
    def _digits(self) -> np.ndarray:
        return self.limbs @ _UNITS

    @property
    def _exponent(self) -> int:
        return 0 if self.top is None else _BITS * self.top

    def _raise(self, top: int) -> None:
        """Keep places from this one downwards, if it is higher than what was the highest."""
        if self.top is None or top > self.top:
            down = _PLACES if self.top is None else min(top - self.top, _PLACES)
            kept = self.limbs[:, : _PLACES - down].copy()
            self.limbs[:] = 0
            self.limbs[:, down:] = kept
            self.top = top
