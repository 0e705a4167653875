"""Free-energy differences between two Hamiltonians of one molecule, each with a generator of its own."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from boltzgen.energy.base import Energy, check_energy_of
from boltzgen.energy.choose import energy_for
from boltzgen.free_energy.hamiltonians import A, B, Draws, bar, independent, mbar, mixture, one_sided
from boltzgen.free_energy.result import Result
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.latent import LatentTransform
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.thermodynamics.comparable import check_comparable, check_temperature

#: Added to the seed of B's draws: with one seed both generators would have the same random numbers, and
#: their errors would not be independent.
_SEED_OF_B = 2**32
_CHUNK = 16384
NOTE = "on the domain of both: one enantiomer, one labelling of equivalent atoms, trans peptide bonds"

#: Estimators of `HamiltonianDifference` by name, the best first.
METHODS = (
    "mixture",
    "mbar",
    "independent",
    "targeted",
    "targeted_forward",
    "targeted_reverse",
    "forward",
    "reverse",
)


@dataclass(frozen=True, eq=False)
class HamiltonianDifference:
    """Draws of two generators, from which f_B - f_A follows in several ways; see `draw`.

    Attributes:
        from_a, from_b: draws of each generator with the energies and densities of both.
        mapped_a, mapped_b: the same draws with the other's energy at the place to which the two flows map
            them, less the map's log-determinant; densities of the other are not known (-inf).
        temperature: of both, in K.
    """

    from_a: Draws
    from_b: Draws
    mapped_a: Draws
    mapped_b: Draws
    temperature: float

    @classmethod
    def draw(
        cls,
        a: BoltzmannGenerator,
        b: BoltzmannGenerator,
        n: int,
        *,
        energies: tuple[Energy, Energy] | None = None,
        seed: int = 0,
        on_draws: Callable[[int], None] = lambda n: None,
    ) -> Self:
        """n draws of each generator; three energies of each draw: two where it is, one where flows map it.

        Args:
            a: generator of Hamiltonian A.
            b: generator of Hamiltonian B.
            n: of each.
            energies: of A and B, at one temperature (default: each system's, at its generator's own).
            seed: of the random streams; those of B differ from those of A.
            on_draws: told the number of draws made so far, of 2 n.

        Raises:
            ValueError: the generators cannot be compared, see `check_comparable`; the energies have two
                temperatures, or are of other systems.
        """
        check_comparable(a, b)
        u = energies or tuple(energy_for(g.system, g.temperature).to(g.device) for g in (a, b))
        temperature = check_temperature(*u)
        for generator, energy in zip((a, b), u, strict=True):
            check_energy_of(generator.system, energy)
        found, done = [], 0
        for own, other, energy, source in ((a, b, u[B], A), (b, a, u[A], B)):
            parts: list[tuple[Draws, Draws]] = []
            for chunk in own.sample_chunks(n, u[source], seed=seed + source * _SEED_OF_B, chunk_size=_CHUNK):
                parts.append(
                    (_crossed(chunk, other, energy, source), _mapped(chunk, own, other, energy, source))
                )
                done += len(chunk)
                on_draws(done)
            found += [_joined(column) for column in zip(*parts, strict=True)]
        return cls(found[0], found[2], found[1], found[3], temperature)

    def __getitem__(self, part: slice) -> Self:
        """Some of each generator's draws: estimates from them show how fast they converge."""
        return replace(
            self, **{n: getattr(self, n)[part] for n in ("from_a", "from_b", "mapped_a", "mapped_b")}
        )

    def __len__(self) -> int:
        """Draws of each generator."""
        return len(self.from_a)

    @property
    def _fields(self) -> dict[str, Any]:
        return {"temperature": self.temperature, "notes": (NOTE,)}

    def independent(self) -> Result:
        """-(ln Z_B - ln Z_A), each from its own generator's draws; see `free_energy.hamiltonians`."""
        return independent(self.from_a, self.from_b, **self._fields)

    def forward(self) -> Result:
        """Exponential averaging of u_B - u_A over A's draws."""
        return one_sided(self.from_a, **self._fields)

    def reverse(self) -> Result:
        """Exponential averaging of u_A - u_B over B's draws."""
        return one_sided(self.from_b, **self._fields)

    def mbar(self) -> Result:
        """MBAR by pymbar over all draws, the generators as sampled states."""
        return mbar(self.from_a, self.from_b, **self._fields)

    def mixture(self) -> Result:
        """Importance sampling from both generators' draws together, with the known normalisers."""
        return mixture(self.from_a, self.from_b, **self._fields)

    def targeted(self) -> Result:
        """Targeted perturbation with the map of the two flows in both directions, and BAR.

        Jarzynski, Phys. Rev. E 65, 046122, 2002; Hahn and Then, Phys. Rev. E 79, 011113, 2009; with learned
        maps Wirnsberger et al., J. Chem. Phys. 153, 144112, 2020.
        """
        return bar(self.mapped_a, self.mapped_b, **self._fields)

    def targeted_forward(self) -> Result:
        """Targeted perturbation of A's draws alone."""
        return one_sided(self.mapped_a, **self._fields)

    def targeted_reverse(self) -> Result:
        """Targeted perturbation of B's draws alone."""
        return one_sided(self.mapped_b, **self._fields)

    def estimates(self) -> dict[str, Result]:
        """All of `METHODS` by name."""
        return {name: getattr(self, name)() for name in METHODS}


def hamiltonian_difference(
    a: BoltzmannGenerator,
    b: BoltzmannGenerator,
    n: int = 100_000,
    *,
    energies: tuple[Energy, Energy] | None = None,
    seed: int = 0,
) -> Result:
    """F_B - F_A of one molecule in kT by the `mixture` of both generators' draws, n of each.

    Arguments and errors are those of `HamiltonianDifference.draw`, which has more estimators.
    """
    return HamiltonianDifference.draw(a, b, n, energies=energies, seed=seed).mixture()


@torch.no_grad()
def _crossed(chunk: WeightedSamples, other: BoltzmannGenerator, energy: Energy, source: int) -> Draws:
    """Draws with the other's energy and density at the same conformation, labelled as the other has it."""
    inside = chunk.u.isfinite()
    u, log_q = torch.full_like(chunk.u, torch.inf), torch.full_like(chunk.u, -torch.inf)
    x = other.coordinates.canonical(chunk.x[inside].double()).to(other.device)
    density = other.log_prob(x).double().cpu()
    log_q[inside] = density
    # Inside by the domain, not by the density: a sampler may reach nothing of what the target has.
    within = other.coordinates.inverse_in_domain(x)[2]
    u[inside] = torch.where(within, energy(x.float()), torch.inf).double().cpu()
    return _pair(chunk.u, u, chunk.log_q, log_q, source)


@torch.no_grad()
def _mapped(
    chunk: WeightedSamples, own: BoltzmannGenerator, other: BoltzmannGenerator, energy: Energy, source: int
) -> Draws:
    """Draws with the other's energy at x' = G_other(G_own^-1(x)), less ln |det dx'/dx|."""
    inside = chunk.u.isfinite()
    u = torch.full_like(chunk.u, torch.inf)
    x, log_det = transported(own, other, chunk.x[inside].to(own.device))
    within = other.coordinates.inverse_in_domain(x)[2]
    u[inside] = torch.where(within, energy(x.float()).double() - log_det, torch.inf).cpu()
    return _pair(chunk.u, u, chunk.log_q, torch.full_like(u, -torch.inf), source)


def transported(own: BoltzmannGenerator, other: BoltzmannGenerator, x: Tensor) -> tuple[Tensor, Tensor]:
    """Conformations of one generator mapped by its flow's inverse and the other's flow.

    Args:
        own: generator of x.
        other: generator of x'.
        x: conformations (n, n_atoms, 3) in nm, in the domain of `own`.

    Returns:
        x' (n, n_atoms, 3) in nm, float64, and ln |det dx'/dx| (n,), float64.
    """
    y, first = own.coordinates.inverse(x.double())
    dtype = next(own.flow.parameters()).dtype
    z, second = LatentTransform(own.flow).inverse(y.to(dtype))
    y, third = LatentTransform(other.flow)(z.to(next(other.flow.parameters()).dtype))
    moved, fourth = other.coordinates(y.double())
    return moved, first + second.double() + third.double() + fourth


def _pair(own_u: Tensor, other_u: Tensor, own_q: Tensor, other_q: Tensor, source: int) -> Draws:
    u, log_q = (
        torch.stack((own, other) if source == A else (other, own), dim=1).double().numpy()
        for own, other in ((own_u, other_u), (own_q, other_q))
    )
    return Draws(u, log_q, source)


def _joined(parts: tuple[Draws, ...]) -> Draws:
    return Draws(
        np.concatenate([p.u for p in parts]), np.concatenate([p.log_q for p in parts]), parts[0].source
    )
