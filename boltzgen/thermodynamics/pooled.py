"""Draws of several generators of one molecule, weighted as draws of their mixture."""

from collections.abc import Sequence

import torch
from torch import Tensor

from boltzgen.energy.base import Energy
from boltzgen.free_energy.temperature import mixture_log_q
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.samples.weighted_samples import WeightedSamples

#: Added to the seed of each further generator, so that no two have the same random numbers.
_SEED_STEP = 2**32
_CHUNK = 16384


def pooled_samples(
    generators: Sequence[BoltzmannGenerator], energy: Energy, n: int | Sequence[int], *, seed: int = 0
) -> WeightedSamples:
    """Draws of every generator, with the density of all of them together and weights to `energy`.

    The generators may have been trained at different temperatures. The result is reweighted to any
    temperature near one of them by `WeightedSamples.at_temperatures`, as MBAR would with densities that are
    known to be normalised: see `free_energy.temperature.mixture_log_q`. Each density is computed for each
    draw, in double precision of the coordinates.

    Args:
        generators: of one molecule and force field.
        energy: of that molecule, at the temperature of the result.
        n: draws from each of them.
        seed: of the draws.

    Raises:
        ValueError: no generator, not one number of draws for each, or other molecules than the first one's.
    """
    if not generators:
        raise ValueError("expected at least one generator, got none")
    counts = [n] * len(generators) if isinstance(n, int) else list(n)
    if len(counts) != len(generators):
        raise ValueError(f"expected draws of each of {len(generators)} generators, got {len(counts)} numbers")
    first = generators[0]
    for other in generators[1:]:
        if other.system.fingerprint != first.system.fingerprint:
            raise ValueError(
                f"expected generators of one molecule, force field and domain, got those of "
                f"{first.system.name!r} and {other.system.name!r} that differ"
            )
    parts = [
        generator.sample(count, energy, seed=seed + k * _SEED_STEP)
        for k, (generator, count) in enumerate(zip(generators, counts, strict=True))
    ]
    rows = []
    for j, generator in enumerate(generators):
        rows.append(
            torch.cat([p.log_q if j == k else log_density(generator, p) for k, p in enumerate(parts)])
        )
    pooled = WeightedSamples.concatenate(parts)
    log_q = torch.from_numpy(mixture_log_q(torch.stack(rows).numpy(), counts))
    return WeightedSamples.from_energies(pooled.x, pooled.u, log_q, pooled.system)


@torch.no_grad()
def log_density(generator: BoltzmannGenerator, samples: WeightedSamples) -> Tensor:
    """log q of conformations that another generator drew, float64 (n,), -inf outside the domain.

    Which of its equivalent labellings a conformation has is for each generator to choose; the density is of
    the one that this generator has.
    """
    found = torch.full_like(samples.log_q, -torch.inf)
    inside = torch.nonzero(samples.u.isfinite())[:, 0]
    for chunk in inside.split(_CHUNK) if len(inside) else ():
        x = generator.coordinates.canonical(samples.x[chunk].double()).to(generator.device)
        found[chunk] = generator.log_prob(x).double().cpu()
    return found
