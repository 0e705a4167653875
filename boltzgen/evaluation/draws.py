"""What an evaluation starts from: draws in the reference's bins, and the density at its configurations."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import Energy, check_energy_of
from boltzgen.evaluation.modes import Drawn
from boltzgen.evaluation.reference import Reference
from boltzgen.evaluation.tally import table_bins
from boltzgen.molecule.system import System
from boltzgen.samples.measure import Measure, check_measure, mass_metric_log_det, weighted_for
from boltzgen.samples.weighted_samples import WeightedSamples

_CHUNK = 4096


class Sampler(Protocol):
    """What is evaluated: a `BoltzmannGenerator`, or anything with its densities and draws."""

    @property
    def system(self) -> System:
        """The molecule."""

    @property
    def coordinates(self) -> MolecularCoordinates:
        """Its flow coordinates, on the generator's device."""

    def log_prob(self, x: Tensor) -> Tensor:
        """log q(x), shape (...), of positions (..., n_atoms, 3) in nm."""

    def sample_chunks(self, n: int, energy: Energy, *, seed: int = 0) -> Iterator[WeightedSamples]:
        """Yield n conformations, weighted to the Boltzmann distribution of `energy`, in chunks."""


@dataclass(frozen=True, eq=False)
class Draws:
    """A generator's draws, as far as the metrics need them.

    Attributes:
        log_w, u: log-weights and reduced energies, float64 (n,).
        bins: bin of each draw in each table of the reference, int32 (n,), with the number of bins.
        log_w_reference: log-weights of the reference's configurations, float64 (n_reference,); inf where log
            q is -inf.
    """

    log_w: np.ndarray
    u: np.ndarray
    bins: dict[str, tuple[np.ndarray, int]]
    log_w_reference: np.ndarray

    def table(self, name: str) -> Drawn:
        """The draws in one of the reference's tables."""
        return Drawn.build(self.bins[name][0], self.weights, self.bins[name][1])

    @property
    def weights(self) -> np.ndarray:
        """Weights that sum to one, (n,)."""
        w = np.exp(self.log_w - self.log_w.max())
        return np.asarray(w / w.sum())

    @property
    def n_effective(self) -> float:
        """Kish's effective number of draws."""
        return float(1.0 / np.square(self.weights).sum())


def draw(
    generator: Sampler,
    energy: Energy,
    reference: Reference,
    *,
    n: int = 100_000,
    seed: int = 0,
    measure: Measure = "flexible-limit",
    progress: Callable[[int], None] = lambda done: None,
) -> Draws:
    """n draws binned as the reference is, and the generator's density at the reference's configurations.

    `progress` is called with the number of draws of each chunk; positions are not kept.
    Weights are those of `measure`, which has to be the reference's.

    Raises:
        ValueError: the energy is at another temperature than the reference, or energy or generator are of
            another system; or all weights are zero.
    """
    check_measure(measure)
    check_energy_of(generator.system, energy)
    if generator.system.fingerprint != reference.fingerprint:
        raise ValueError(
            f"the reference is of {reference.system!r}, the generator of {generator.system.name!r}: force "
            "field or domain differ"
        )
    if not math.isclose(energy.temperature, reference.temperature, rel_tol=1e-6):
        raise ValueError(
            f"the reference is at {reference.temperature:g} K, the energy at {energy.temperature:g} K; give "
            "both one temperature"
        )
    axes = [axis for axis, _ in reference.marginals.values()]
    coordinates = MolecularCoordinates(generator.system)
    log_w, u, bins = [], [], []
    for drawn in generator.sample_chunks(n, energy, seed=seed):
        chunk = weighted_for(drawn, generator.system, measure)
        log_w.append(chunk.log_w.numpy(force=True))
        u.append(chunk.u.numpy(force=True))
        found, _ = table_bins(generator.system, coordinates, axes, chunk.x)
        bins.append({name: (index.astype(np.int32), n_bins) for name, (index, n_bins) in found.items()})
        progress(len(chunk))
    energies = np.concatenate(u)
    whole = {
        name: (np.concatenate([b[name][0] for b in bins]), n_bins) for name, (_, n_bins) in bins[0].items()
    }
    whole["energy"] = (reference.energy[0].bins(energies), reference.energy[0].n_bins)
    weights = np.concatenate(log_w)
    if not np.isfinite(weights).any():
        raise ValueError(
            f"all {len(weights)} weights are zero: no draw lies where the target's energy is finite; train "
            "longer, or draw more"
        )
    return Draws(weights, energies, whole, reference_log_weights(generator, reference, measure))


@torch.no_grad()
def reference_log_weights(
    generator: Sampler, reference: Reference, measure: Measure = "flexible-limit"
) -> np.ndarray:
    """-u - log q of the reference's configurations, float64 (n,); inf where log q is -inf.

    Of constrained dynamics they are 1/2 ln |Z| larger, see `weighted_for`. The configurations are put into
    the labelling of the generator's own domain.
    """
    parts = []
    device = generator.coordinates.reference.device
    for start in range(0, len(reference), _CHUNK):
        part = slice(start, start + _CHUNK)
        log_q = generator.log_prob(generator.coordinates.canonical(reference.x[part].to(device).double()))
        log_w = -reference.u[part] - log_q.cpu().double()
        if measure == "constrained-dynamics":
            log_w += 0.5 * mass_metric_log_det(generator.system, reference.x[part])
        parts.append(log_w)
    return torch.cat(parts).numpy()
