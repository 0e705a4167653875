"""An estimate as it can be published: value, standard error, 95 % interval, unit, and doubts."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from boltzgen.units import one_kt
from boltzgen.weights import K_HAT_LIMIT, effective_sample_size, psis_k_hat, with_error

#: Fewer effective draws than these make an estimate doubtful.
MIN_EFFECTIVE = 100.0
#: Half the width of a 95 % interval of a normal distribution, in standard deviations.
Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Result:
    """An estimate with its error.

    Attributes:
        value: the estimate.
        error: its standard error; NaN where it is not estimated.
        low, high: its 95 % interval; an open end is infinite; with two of them it is not estimated.
        unit: of all four: ``"kT"``, ``"kJ/mol"``, ``"kcal/mol"``, or another one, ``""`` of pure numbers.
        temperature: in K, which energies are of; None where there is none.
        warnings: why the result may be wrong, or its error too small; empty where nothing is known.
        notes: what the value leaves out or takes for granted, for instance the domain.
    """

    value: float
    error: float
    low: float
    high: float
    unit: str = "kT"
    temperature: float | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def normal(cls, value: float, error: float, **fields: Any) -> "Result":
        """With the 95 % interval of a normal distribution."""
        return cls(value, error, value - Z_95 * error, value + Z_95 * error, **fields)

    @property
    def is_trusted(self) -> bool:
        """No warning."""
        return not self.warnings

    def to(self, unit: str) -> "Result":
        """The same in kT, kJ/mol or kcal/mol.

        Raises:
            ValueError: not an energy, or no such unit.
        """
        if unit == self.unit:
            return self
        if self.temperature is None:
            raise ValueError(f"expected an energy with a temperature to be turned into {unit}, got {self}")
        factor = one_kt(unit, self.temperature) / one_kt(self.unit, self.temperature)
        value, error, low, high = (factor * v for v in (self.value, self.error, self.low, self.high))
        return replace(self, value=value, error=error, low=low, high=high, unit=unit)

    def to_dict(self) -> dict[str, Any]:
        """Fields by name, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """Value, error and unit; warnings on lines of their own."""
        text = with_error(self.value, self.error) + (f" {self.unit}" if self.unit else "")
        return "\n".join([text, *(f"warning: {warning}" for warning in self.warnings)])


def difference(end: Result, start: Result) -> Result:
    """end - start of independent results, in start's unit; their errors add in squares, their warnings join.

    The interval's half widths add in squares too, on either side.
    """
    end = end.to(start.unit) if end.unit != start.unit else end
    low = math.hypot(end.value - end.low, start.high - start.value)
    high = math.hypot(end.high - end.value, start.value - start.low)
    value = end.value - start.value
    return Result(
        value,
        math.hypot(end.error, start.error),
        value - low,
        value + high,
        start.unit,
        start.temperature,
        joined(end.warnings, start.warnings),
        joined(end.notes, start.notes),
    )


def errors_are_known(n_effective: float, k_hat: float | None) -> bool:
    """Whether standard errors of averages mean anything: where `warnings_of` finds nothing to say.

    Args:
        n_effective: effective draws.
        k_hat: PSIS k-hat of the weights; None and NaN where there is none.
    """
    return n_effective >= MIN_EFFECTIVE and not (k_hat is not None and k_hat > K_HAT_LIMIT)


def warnings_of(log_w: np.ndarray, what: str = "the weights") -> tuple[str, ...]:
    """Why averages over draws with log-weights (n,) should not be trusted; empty where nothing is known.

    Fewer than 100 effective draws, or a PSIS k-hat above 0.7.
    """
    log_w = np.asarray(log_w, dtype=np.float64)
    if not np.isfinite(log_w).any():
        return (f"{what}: no draw has any weight",)
    found = []
    n_effective = effective_sample_size(torch.from_numpy(log_w))
    k_hat = psis_k_hat(log_w)
    heavy = k_hat > K_HAT_LIMIT
    if n_effective < MIN_EFFECTIVE:
        more = "" if heavy else "; draw more"
        found.append(f"{what}: only {n_effective:.3g} effective draws of {len(log_w):,}{more}")
    if heavy:
        found.append(
            f"{what}: PSIS k-hat {k_hat:.2f} is above {K_HAT_LIMIT}: a few large weights decide, and errors "
            "are too small however many draws there are"
        )
    return tuple(found)


def warnings_of_weights(weights: np.ndarray) -> tuple[str, ...]:
    """`warnings_of` of weights (n,) instead of their logarithms."""
    with np.errstate(divide="ignore"):
        return warnings_of(np.log(weights))


def joined(*warnings: Iterable[str]) -> tuple[str, ...]:
    """All of them in order, each once."""
    return tuple(dict.fromkeys(w for some in warnings for w in some))
