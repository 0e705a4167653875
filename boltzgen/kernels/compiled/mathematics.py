"""What all compiled kernels share: how they are compiled, and elementary functions of float32 numbers.

The only liberty given to the compiler is to fuse a product and a sum: numbers that are not finite stay so.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from math import atan, log1p
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core.caching import FunctionCache

from boltzgen.kernels import constants

_log = logging.getLogger(__name__)

F = np.float32
_0, _1, _2 = F(0.0), F(1.0), F(2.0)
_PI, _HALF_PI = F(np.pi), F(np.pi / 2)

compiled = numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy")
#: Compiled into its callers: a call left inside a loop would keep the loop from vector instructions.
inlined = numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy", forceinline=True)

#: A digest of everything that compiled functions are made of.
_FILES = [*sorted(Path(__file__).parent.glob("*.py")), Path(constants.__file__)]
_SOURCES = sha256(b"".join(path.read_bytes() for path in _FILES if path.is_file())).digest()


class _Cache(FunctionCache):
    """What has been compiled, on disk, for as long as no file with compiled functions changes.

    numba itself notices changes of the one file in which the function stands, not of those it calls. Files
    that are cut off or cannot be written are as good as none.
    """

    def _index_key(self, *arguments: Any) -> tuple:
        return (*super()._index_key(*arguments), _SOURCES)

    def load_overload(self, *arguments: Any) -> Any:
        """What was compiled, or None where that is not on disk."""
        try:
            found = super().load_overload(*arguments)
        except Exception as error:  # whatever pickle raises
            _log.warning("compiled again, since the files in %s are damaged: %s", self.cache_path, error)
            with suppress(OSError):
                self.flush()
            found = None
        if found is None:
            _log.info("compiling kernels, once on this machine")
        return found

    def save_overload(self, *arguments: Any) -> None:
        """Put what was compiled on disk, if that can be done."""
        try:
            super().save_overload(*arguments)
        except OSError as error:
            _log.warning("what was compiled is not kept in %s: %s", self.cache_path, error)


def kept(function: Any) -> Any:
    """A compiled function, kept on disk with all it calls where there is a place: compiling takes seconds."""
    with suppress(RuntimeError):
        function._cache = _Cache(function.py_func)
    return function


def fit(function: Callable[[float], float], low: float, high: float, degree: int) -> tuple[np.float32, ...]:
    """Coefficients, highest power first, of the Chebyshev interpolant of a function on an interval."""
    series = np.polynomial.Chebyshev.interpolate(np.vectorize(function), degree, [low, high])
    return tuple(F(c) for c in series.convert(kind=np.polynomial.Polynomial).coef[::-1])


_EXP = fit(np.exp, -0.36, 0.36, 6)
_LOG = fit(lambda f: log1p(f) / f, -0.294, 0.4143, 9)
_ATAN = fit(lambda w: atan(w**0.5) / w**0.5, 0.0, 1.0, 9)
_LOG2E, _LN2_HIGH, _LN2_LOW, _LN2 = F(1.44269504), F(0.693359375), F(-2.12194440e-4), F(0.69314718)
#: Adding 1.5 * 2^23 leaves the nearest integer in the last bits.
_ROUND, _ROUND_BITS = F(12582912.0), np.int32(0x4B400000 - 127)
_SQRT_HALF_BITS, _MANTISSA = np.int32(0x3F3504F3), np.int32(23)


@inlined
def polynomial(x, coefficients):
    """The polynomial of these coefficients, highest power first."""
    value = coefficients[0]
    for n in range(1, len(coefficients)):
        value = value * x + coefficients[n]
    return value


@inlined
def exp(x):
    """e^x between 1e-38 and 1e38, to 1e-7."""
    return exp_of_negative(F(87.0) if x > F(87.0) else x)


@inlined
def exp_of_negative(x):
    """e^x of x <= 0, to 1e-7, but not less than 1e-38."""
    # With n the integer nearest to x / ln 2, e^x = 2^n e^(x - n ln 2). The float x / ln 2 + 1.5 * 2^23 has n
    # in its last bits, which become the exponent; ln 2 is subtracted in two parts, the first of few bits, so
    # that n times it is exact.
    x = F(-87.0) if x < F(-87.0) else x
    shifted = x * _LOG2E + _ROUND
    n = shifted - _ROUND
    scale = np.int32((np.float32(shifted).view(np.int32) - _ROUND_BITS) << _MANTISSA)
    return polynomial((x - n * _LN2_HIGH) - n * _LN2_LOW, _EXP) * scale.view(np.float32)


@inlined
def log(x):
    """ln x of an ordinary positive number, to 1e-7."""
    # x = 2^n (1 + f) with 1 + f between sqrt(1/2) and sqrt(2).
    bits = np.float32(x).view(np.int32)
    n = np.int32((bits - _SQRT_HALF_BITS) >> _MANTISSA)
    f = np.int32(bits - (n << _MANTISSA)).view(np.float32) - _1
    return F(n) * _LN2 + f * polynomial(f, _LOG)


@inlined
def log_or_nan(x):
    """The same; NaN where x is not finite."""
    return log(x) + _0 * x


@inlined
def softplus(x):
    """ln(1 + e^x) and its derivative, each to a relative 1e-7."""
    small = exp_of_negative(-abs(x))
    rounded = _1 + small
    # What rounding took from 1 + small counts where small does.
    value = log_or_nan(rounded) + (small - (rounded - _1)) / rounded
    return (x if x > _0 else _0) + value, (_1 if x > _0 else small) / rounded


@inlined
def wrap(angle):
    """The angle plus a multiple of 2 pi, in [-pi, pi)."""
    turned = angle + _PI
    turned = turned - _2 * _PI * np.floor(turned / (_2 * _PI))
    # The quotient may have been rounded up to an integer.
    turned = _0 if turned < _0 else turned
    return turned - _PI


@inlined
def arctangent(sine, cosine):
    """The angle in rad, 0 to pi, of a sine >= 0 and a cosine up to a common factor; 0 where both are 0."""
    size = abs(cosine)
    steep = sine > size
    large = sine if steep else size
    t = _0 if large == _0 else (size if steep else sine) / large
    angle = t * polynomial(t * t, _ATAN)
    angle = _HALF_PI - angle if steep else angle
    return _PI - angle if cosine < _0 else angle
