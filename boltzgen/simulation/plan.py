"""How a simulation is set up."""

from dataclasses import dataclass
from typing import Any, Literal

import torch

from boltzgen import units
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.molecule.system import System
from boltzgen.simulation.integrator import integrator_for
from boltzgen.simulation.ladder import temperature_ladder
from boltzgen.simulation.langevin import Langevin, minimised
from boltzgen.simulation.replica_exchange import ReplicaExchange
from boltzgen.simulation.sampler import Sampler
from boltzgen.simulation.start import inside_domain, random_starts

Method = Literal["remd", "md"]


@dataclass(frozen=True)
class Plan:
    """How a simulation is set up; a resumed one keeps its own.

    Attributes:
        method: "remd", replica exchange, or "md", OpenMM's Langevin dynamics.
        n_walkers: independent walkers.
        highest: top of the ladder in K (the bottom is the system's temperature); only for replica exchange.
        interval: moves between frames (replica exchange), or steps of 1 fs (dynamics).
        n_steps: time steps of each move of replica exchange.
        checkpoint_frames: frames in each checkpoint.
        burn_in: checkpoints at the start whose frames are never used, in which time steps are tuned; what
            else is left out follows from the frames, see `burn_in`.
        platform: of OpenMM, for dynamics.
        seed: of all randomness.
    """

    method: Method = "remd"
    n_walkers: int = 128
    highest: float = 1200.0
    interval: int = 20
    n_steps: int = 25
    checkpoint_frames: int = 10
    burn_in: int = 4
    platform: str = "CPU"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in ("remd", "md"):
            raise ValueError(f"expected `method` to be remd or md, got {self.method!r}")
        counts = {
            "walkers": self.n_walkers,
            "interval": self.interval,
            "n_steps": self.n_steps,
            "checkpoint_frames": self.checkpoint_frames,
        }
        for name, value in counts.items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"expected `{name}` to be at least 1, got {value}")
        if not isinstance(self.burn_in, int) or self.burn_in < 0:
            raise ValueError(f"expected `burn_in` to be a number of checkpoints, got {self.burn_in}")
        units.kelvin(self.highest)

    @classmethod
    def for_method(cls, method: Method, **changes: Any) -> "Plan":
        """The defaults of a method, but for the changes that are not None.

        Raises:
            ValueError: there is no such method.
        """
        defaults: dict[str, Any] = (
            {}
            if method == "remd"
            else {"n_walkers": 1, "interval": 1000, "burn_in": 1, "checkpoint_frames": 100}
        )
        return cls(**({"method": method} | defaults | {k: v for k, v in changes.items() if v is not None}))

    @property
    def burn_in_frames(self) -> int:
        """Frames of each walker, at each temperature, while time steps are tuned."""
        return self.burn_in * self.checkpoint_frames

    def temperatures(self, system: System) -> torch.Tensor:
        """The temperatures that are simulated, rising, float64 (n_temperatures,) in K."""
        if self.method == "md":
            return torch.tensor([system.temperature], dtype=torch.float64)
        return temperature_ladder(
            system.temperature, self.highest, 3 * system.n_atoms - 6 - len(system.constraints)
        )

    def sampler(self, system: System, device: str) -> Sampler:
        """What advances the simulation."""
        if self.method == "md":
            return Langevin(system, system.temperature, platform=self.platform, seed=self.seed)
        coordinates = MolecularCoordinates(system).to(device)
        return ReplicaExchange(
            energy_for(system).to(device),
            integrator_for(system, device),
            self.temperatures(system),
            inside=lambda x: inside_domain(coordinates, x),
            n_steps=self.n_steps,
            seed=self.seed,
        )

    def starts(self, system: System) -> tuple[torch.Tensor, int]:
        """Where walkers begin: at random torsions; dynamics at a minimum.

        Returns:
            Positions (n_walkers, n_atoms, 3) in nm, and the number of energies that it took to find them.
        """
        if self.method == "md":
            return minimised(system, self.n_walkers)
        energy = CountedEnergy(energy_for(system).to("cpu"))
        x = random_starts(
            MolecularCoordinates(system),
            energy,
            integrator_for(system, "cpu"),
            self.n_walkers,
            seed=self.seed,
        )
        return x, energy.n_evaluations
