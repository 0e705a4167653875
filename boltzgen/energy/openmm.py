"""Energies from OpenMM itself, one configuration at a time.

They are the reference, and the way out for forces that have no term in `ForceFieldEnergy`.
"""

import math
from collections.abc import Mapping
from typing import Any, Self

import openmm
import torch
from torch import Tensor
from typing_extensions import override

from boltzgen.energy.base import Energy
from boltzgen.energy.contexts import ContextEngine
from boltzgen.energy.first_order import first_order
from boltzgen.energy.workers import WorkerPool
from boltzgen.molecule.system import System


class OpenMMEnergy(Energy):
    """Reduced energy in kT computed by OpenMM, with OpenMM's forces as its gradient.

    Works for every OpenMM force, one configuration after the other: hundreds of microseconds per
    configuration and more. A configuration for which OpenMM raises has energy +inf and a NaN gradient. Second
    derivatives raise.

    With ``workers`` the batch is split over that many processes, which start at the first evaluation and end
    with `close`, at the end of a ``with`` block, or with the interpreter. A worker that dies or takes too
    long ends them all, with a `WorkerError`. A script that uses them runs what it does under ``if __name__ ==
    "__main__":``, because each process imports it anew. `energy_for` never starts any.

    Args:
        system: the molecule.
        temperature: T in K, by default the system's.
        platform: name of an OpenMM platform. "Reference" is float64 and exact.
        properties: the platform's properties, such as ``{"Threads": "1"}``; workers of the CPU platform have
            one thread each unless told otherwise.
        workers: number of processes, or None to compute in this one.
        timeout: time in s that a worker may take to start, or to compute the 64 configurations that it gets
            at a time.

    Raises:
        ValueError: OpenMM has no such platform here, the platform no such property, or a number is out of
            range.
    """

    def __init__(
        self,
        system: System,
        temperature: Any = None,
        *,
        platform: str = "Reference",
        properties: Mapping[str, str] | None = None,
        workers: int | None = None,
        timeout: float = 120.0,
    ) -> None:
        super().__init__(system.n_atoms, system.temperature if temperature is None else temperature)
        self.system = system
        available = [
            openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())
        ]
        if platform not in available:
            raise ValueError(f"OpenMM has no platform {platform!r} here; available: {', '.join(available)}")
        known = openmm.Platform.getPlatformByName(platform).getPropertyNames()
        settings = {name: str(value) for name, value in (properties or {}).items()}
        for name in settings:
            if name not in known:
                raise ValueError(
                    f"the platform {platform} has no property {name!r}; it has: {', '.join(known) or 'none'}"
                )
        if workers is not None and workers < 1:
            raise ValueError(f"workers must be at least 1, or None to compute in this process, got {workers}")
        if not 0 < timeout < math.inf:
            raise ValueError(f"timeout must be a positive number of seconds, got {timeout}")
        self.platform = platform
        # Shared by every at(T).
        self.engine: ContextEngine | WorkerPool
        if workers is None:
            self.engine = ContextEngine(system.openmm_system, platform, settings)
        else:
            if platform == "CPU":
                settings = {"Threads": "1", **settings}
            self.engine = WorkerPool(
                system.openmm_system, platform, settings, workers=workers, timeout=timeout
            )

    @override
    def potential(self, x: Tensor) -> Tensor:
        energy: Tensor = _Potential.apply(x if torch.is_grad_enabled() else x.detach(), self)
        return energy

    def close(self) -> None:
        """End the worker processes, if any; every `at(T)` of this energy shares them."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Potential(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, energy: OpenMMEnergy) -> Tensor:
        flat = x.detach().reshape(-1, *x.shape[-2:]).to("cpu", torch.float64).numpy()
        values, forces = energy.engine.evaluate(flat, forces=ctx.needs_input_grad[0])
        ctx.save_for_backward(torch.from_numpy(-forces).to(x).reshape(x.shape), x)
        return torch.from_numpy(values).to(x).reshape(x.shape[:-2])

    @staticmethod
    def backward(ctx: Any, by_value: Tensor) -> tuple[Tensor, None]:
        gradient, x = ctx.saved_tensors
        return first_order(by_value, gradient, x), None
