"""bgflow's energies, priors and flows as ours, and ours as bgflow's.

bgflow's arrays are ``(B, n)``, its energies and log-determinants ``(B, 1)``; a call of a flow returns ``(*x,
dlogp)`` with dlogp = log|det dx/dz|, and with ``inverse=True`` ``(*z, log|det dz/dx|)``. Directions and signs
are ours. Its `temperature` is relative: energies are divided by it.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from boltzgen.energy.base import Energy
from boltzgen.energy.torch_energy import TorchEnergy
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.flow import Flow
from boltzgen.flow.transform import Transform
from boltzgen.interop.bgflow_package import bgflow, uncached
from boltzgen.interop.foreign import CallableTarget, ForeignBase, dimensions
from boltzgen.molecule.system import System


def energy_to_bgflow(energy: Energy | Callable[[Tensor], Tensor], n_dims: int | None = None) -> Any:
    """A `bgflow.Energy` of our energy.

    Args:
        energy: a molecule's `Energy`, then of positions (B, 3 n_atoms) in nm; or any function u(y) of
            coordinates (B, n_dims), as a `PullbackEnergy` is.
        n_dims: of such a function.

    Returns:
        u (B, 1) in kT at the energy's own temperature, divided by `temperature` as bgflow does.

    Raises:
        ImportError: bgflow is missing.
        ValueError: a function without `n_dims`.
    """
    if isinstance(energy, Energy):
        return _classes()["Energy"](energy, 3 * energy.n_atoms, (energy.n_atoms, 3))
    if n_dims is None:
        raise ValueError("expected `n_dims`, the number of coordinates of a function that is no `Energy`")
    return _classes()["Energy"](energy, n_dims, (n_dims,))


def energy_from_bgflow(energy: Any, temperature: Any, *, system: System | None = None) -> TorchEnergy:
    """Our `Energy` of one of bgflow's on positions in nm.

    Args:
        energy: of (B, 3 n_atoms) or (B, n_atoms, 3), in kT.
        temperature: T in K at which its energies are in kT: of an `OpenMMBridge` its integrator's.
        system: whose energy it is, if known.
    """
    (shape,) = energy.event_shapes
    n_atoms = shape[0] if len(shape) == 2 else shape[0] // 3
    molecule = n_atoms if system is None else system
    return TorchEnergy(_FromEnergy(energy, tuple(shape)), molecule, temperature)


def target_from_bgflow(energy: Any) -> CallableTarget:
    """A target of our losses of any energy of bgflow on vectors (B, n_dims)."""
    dimensions(energy.event_shape, "an energy")
    return CallableTarget(lambda y: uncached(energy).energy(y))


def distribution_to_bgflow(distribution: Distribution) -> Any:
    """A `bgflow` prior, energy and sampler, of our distribution: its energy is -log p.

    It has no draws at other temperatures than 1: whose energy is divided is another distribution.

    Raises:
        ImportError: bgflow is missing.
    """
    return _classes()["Distribution"](distribution)


def distribution_from_bgflow(prior: Any) -> Distribution:
    """Our distribution of a prior of bgflow on vectors: log p is its negative energy.

    bgflow does not promise that exp(-energy) integrates to one. It does for its `NormalDistribution`,
    `UniformDistribution`, `TruncatedNormalDistribution`, `TorchDistribution` and products of these. A
    `UniformDistribution` has the same finite energy outside its interval as inside.
    """
    return ForeignBase(
        prior,
        (dimensions(prior.event_shape, "a prior"),),
        prior.sample,
        lambda z: -prior.energy(z).squeeze(-1),
    )


def flow_to_bgflow(transform: Transform, *, positions: bool = False) -> Any:
    """A `bgflow.Flow` of our transform, in the same direction, latent to configuration.

    Args:
        transform: ours, without a context.
        positions: whether its configurations are positions (..., n_atoms, 3), which bgflow has as
            (B, 3 n_atoms).

    Raises:
        ImportError: bgflow is missing.
    """
    return _classes()["Flow"](transform, positions)


def flow_from_bgflow(flow: Any) -> Transform:
    """Our transform of a flow of bgflow from vectors to vectors, in the same direction."""
    return _FromFlow(flow)


def generator_from_bgflow(generator: Any) -> Flow:
    """Our flow of a `bgflow.BoltzmannGenerator`: its prior and its flow, with their parameters.

    Every loss trains it; as a distribution of a molecule's flow coordinates it becomes a `FlowSampler`.
    """
    return Flow(distribution_from_bgflow(generator.prior), flow_from_bgflow(generator.flow))


class _FromEnergy(nn.Module):
    def __init__(self, energy: Any, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.energy, self.shape = energy, shape

    def forward(self, x: Tensor) -> Tensor:
        return uncached(self.energy).energy(x.reshape(-1, *self.shape))  # type: ignore[no-any-return]


class _FromFlow(Transform):
    def __init__(self, flow: Any) -> None:
        super().__init__()
        self.flow = flow

    @override
    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._call(z, inverse=False)

    @override
    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._call(x, inverse=True)

    def _call(self, x: Tensor, *, inverse: bool) -> tuple[Tensor, Tensor]:
        *found, dlogp = self.flow(x.reshape(-1, x.shape[-1]), inverse=inverse)
        if len(found) != 1:
            raise ValueError(
                f"expected a flow from one array to one, got one that returns {len(found)}; end it with "
                "`bgflow.MergeFlow`, or an inverse `SplitFlow`"
            )
        dlogp = torch.as_tensor(dlogp, dtype=x.dtype, device=x.device).expand(len(found[0]), 1)
        return found[0].reshape(x.shape[:-1] + found[0].shape[1:]), dlogp.reshape(x.shape[:-1])


@cache
def _classes() -> dict[str, Any]:
    """Subclasses of bgflow's classes, which cannot be defined before it is imported."""
    bgflow()
    import bgflow as package
    from bgflow.distribution.sampling import Sampler

    class OurEnergy(package.Energy):
        def __init__(self, energy: Any, n_dims: int, shape: tuple[int, ...]) -> None:
            super().__init__(n_dims)
            self.ours, self._shape = energy, shape

        def _energy(self, x: Tensor, **_: Any) -> Tensor:
            return self.ours(x.reshape(*x.shape[:-1], *self._shape)).unsqueeze(-1)

    class OurDistribution(package.Energy, Sampler):
        def __init__(self, distribution: Distribution) -> None:
            super().__init__(dimensions(distribution.event_shape, "a distribution"))
            self.ours = distribution

        def _energy(self, x: Tensor, **_: Any) -> Tensor:
            return -self.ours.log_prob(x).unsqueeze(-1)

        def _sample(self, n_samples: int, **_: Any) -> Tensor:
            return self.ours.sample_and_log_prob((n_samples,))[0]

        def _sample_with_temperature(self, n_samples: int, temperature: Any, **_: Any) -> Tensor:
            raise NotImplementedError(
                f"expected `temperature` 1, got {temperature}: a distribution of boltzgen has draws of its "
                "own density alone"
            )

    class OurFlow(package.Flow):
        def __init__(self, transform: Transform, positions: bool) -> None:  # noqa: FBT001
            super().__init__()
            self.ours, self._positions = transform, positions

        def _forward(self, z: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
            x, log_det = self.ours(z)
            return x.flatten(-2) if self._positions else x, log_det.unsqueeze(-1)

        def _inverse(self, x: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
            z, log_det = self.ours.inverse(x.unflatten(-1, (-1, 3)) if self._positions else x)
            return z, log_det.unsqueeze(-1)

    return {"Energy": OurEnergy, "Distribution": OurDistribution, "Flow": OurFlow}
