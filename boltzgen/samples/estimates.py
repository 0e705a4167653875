"""Estimates with intervals and warnings, as methods of `WeightedSamples`."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from boltzgen.free_energy import state_functions
from boltzgen.free_energy.kernel_pmf import kernel_pmf
from boltzgen.free_energy.means import Errors, expectation
from boltzgen.free_energy.pmf import Coordinate, Pmf, histogram_pmf
from boltzgen.free_energy.result import Result
from boltzgen.free_energy.temperature import AtTemperature, at_temperatures

if TYPE_CHECKING:
    from boltzgen.samples.weighted_samples import WeightedSamples


class Estimates:
    """What `WeightedSamples` inherits: every estimate as a `Result`, with its warnings."""

    u: Tensor
    log_w: Tensor
    torsion: Callable[[str], Tensor]

    @property
    def log_z(self) -> Result:
        """log Z of the target on its domain."""
        return state_functions.log_z(_array(self.log_w))

    def expectation(
        self,
        f: "Callable[[WeightedSamples], Any] | Tensor | np.ndarray | Sequence[float]",
        *,
        unit: str | None = None,
        errors: Errors = "analytic",
        seed: int = 0,
    ) -> Result:
        """The target's mean of an observable, sum w f / sum w; `mean` is the same.

        See `free_energy.means.expectation`. Values of conformations of weight zero do not count and may be
        NaN.

        Args:
            f: values (n,) of the conformations, or a function of the samples that returns them, for instance
                ``lambda s: s.torsion("phi").cos()`` or ``radius_of_gyration``. Booleans count as 0 and 1, so
                that a condition gives its probability.
            unit: of the values (default: `f.unit`, which a `Quantity` has, or none).
            errors: ``"analytic"`` or ``"bootstrap"``.
            seed: of the bootstrap.

        Raises:
            ValueError: values of another shape, or not finite where the weight is not zero.
        """
        unit = str(getattr(f, "unit", "")) if unit is None else unit
        return expectation(self._values(f), _array(self.log_w), errors=errors, unit=unit, seed=seed)

    mean = expectation

    def free_energy(
        self, *, temperature: float | None = None, errors: Errors = "analytic", seed: int = 0
    ) -> Result:
        """F = -log Z in kT; with the temperature [K] in other units by `Result.to`.

        See `free_energy.state_functions` for this and the next three.
        """
        return state_functions.free_energy(
            _array(self.log_w), temperature=temperature, errors=errors, seed=seed
        )

    def energy(
        self, *, temperature: float | None = None, errors: Errors = "analytic", seed: int = 0
    ) -> Result:
        """U, the mean potential energy, in kT."""
        return state_functions.energy(*self._energies(), temperature=temperature, errors=errors, seed=seed)

    def minus_ts(
        self, *, temperature: float | None = None, errors: Errors = "analytic", seed: int = 0
    ) -> Result:
        """-T S = F - U in kT, with the error of the difference."""
        return state_functions.minus_ts(*self._energies(), temperature=temperature, errors=errors, seed=seed)

    def heat_capacity(self, *, errors: Errors = "analytic", seed: int = 0) -> Result:
        """Configurational heat capacity over k."""
        return state_functions.heat_capacity(*self._energies(), errors=errors, seed=seed)

    def pmf(
        self,
        *along: Any,
        n_bins: int | None = None,
        ranges: Sequence[tuple[float, float]] | None = None,
        temperature: float | None = None,
    ) -> Pmf:
        """Potential of mean force along one or two coordinates, from a weighted histogram.

        Args:
            along: each the name of a torsion (radians, periodic), a function of the samples such as
                `radius_of_gyration`, values (n,), or a `Coordinate`, which says name, unit and period.
            n_bins: see `free_energy.pmf.histogram_pmf`.
            ranges: see there.
            temperature: see there.
        """
        coordinates = [self.coordinate(a) for a in along]
        return histogram_pmf(
            coordinates, _array(self.log_w), n_bins=n_bins, ranges=ranges, temperature=temperature
        )

    def kernel_pmf(
        self,
        *along: Any,
        n_points: int | None = None,
        ranges: Sequence[tuple[float, float]] | None = None,
        bandwidths: Sequence[float] | None = None,
        temperature: float | None = None,
    ) -> Pmf:
        """The same from a weighted kernel density, see `free_energy.kernel_pmf.kernel_pmf`."""
        return kernel_pmf(
            [self.coordinate(a) for a in along],
            _array(self.log_w),
            n_points=n_points,
            ranges=ranges,
            bandwidths=bandwidths,
            temperature=temperature,
        )

    def at_temperatures(
        self,
        temperature: float,
        at: Sequence[float],
        *,
        conditions: "dict[str, Tensor | np.ndarray] | None" = None,
        errors: Errors = "analytic",
        seed: int = 0,
    ) -> list[AtTemperature]:
        """F, U, -T S, heat capacity and populations at other temperatures than that of the draws [K].

        See `free_energy.temperature.at_temperatures`.
        """
        return at_temperatures(
            *self._energies(),
            temperature,
            at,
            conditions={name: np.asarray(_array(c), dtype=bool) for name, c in (conditions or {}).items()},
            errors=errors,
            seed=seed,
        )

    def coordinate(self, along: Any) -> Coordinate:
        """A coordinate of `pmf`."""
        if isinstance(along, Coordinate):
            return along
        if isinstance(along, str):
            return Coordinate(_array(self.torsion(along)), along, "rad", 2 * math.pi)
        return Coordinate(self._values(along).astype(np.float64), getattr(along, "__name__", "s"))

    def _values(self, f: Any) -> np.ndarray:
        """Booleans, or float64."""
        values = torch.as_tensor(f(self) if callable(f) else f)
        return values.numpy(force=True) if values.dtype == torch.bool else _array(values)

    def _energies(self) -> tuple[np.ndarray, np.ndarray]:
        return _array(self.u), _array(self.log_w)


def _array(values: Any) -> np.ndarray:
    return torch.as_tensor(values).detach().double().numpy(force=True)
