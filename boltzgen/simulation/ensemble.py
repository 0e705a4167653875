"""The frames of a simulation, at every temperature."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from boltzgen.molecule.system import System
from boltzgen.simulation.checkpoint import ONCE, Checkpoint, checkpoint_files
from boltzgen.simulation.sampler import Frames
from boltzgen.storage import reading


@dataclass(frozen=True, eq=False)
class Ensemble:
    """What a simulation recorded once its time steps were tuned.

    Attributes:
        system: the molecule.
        temperatures: float64 (n_temperatures,) in K.
        x: positions, float32 (n_frames, n_walkers, n_temperatures, n_atoms, 3) in nm.
        potential: U, float64 (n_frames, n_walkers, n_temperatures) in kJ/mol.
        replica: which replica of its walker each frame belongs to, int16, same shape.
        starts: where each walker began, float32 (n_walkers, n_atoms, 3) in nm.
        plan: how the simulation was set up.
        statistics: of the checkpoints in order, see `Frames`.
        burn_in_statistics: the same of those before, in which time steps were tuned.
        preparation: `seconds` and `n_energy_evaluations` of finding starts; empty for a simulation of an
            earlier version, which did not record them.
    """

    system: System
    temperatures: Tensor
    x: Tensor
    potential: Tensor
    replica: Tensor
    starts: Tensor
    plan: dict[str, Any]
    statistics: list[dict[str, Any]]
    burn_in_statistics: list[dict[str, Any]] = field(default_factory=list)
    preparation: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path, system: System) -> "Ensemble":
        """Read a simulation's folder.

        Raises:
            FileNotFoundError: it holds no simulation, or none past its burn-in.
            ValueError: a file is broken, or the simulation is of another system.
        """
        parts: list[Frames] = []
        burn_in: list[dict[str, Any]] = []
        plan: dict[str, Any] = {}
        for path in checkpoint_files(folder):
            checkpoint = Checkpoint.load(path)
            checkpoint.check_system(system, folder)
            plan = checkpoint.plan | plan
            if checkpoint.burn_in:
                burn_in.append(checkpoint.frames.statistics)
            else:
                parts.append(checkpoint.frames)
        if not parts:
            raise FileNotFoundError(
                f"{folder} holds no frames of a simulation past its burn-in; simulate {system.name} into it"
            )
        wrong = f"the checkpoints in {folder} do not belong together, or are damaged"
        with reading(wrong, "copy them again, or begin a new simulation"):
            return cls(
                system=system,
                temperatures=torch.tensor(plan["temperatures"], dtype=torch.float64),
                x=torch.cat([part.x for part in parts]),
                potential=torch.cat([part.potential for part in parts]),
                replica=torch.cat([part.replica for part in parts]),
                starts=torch.tensor(plan["starts"], dtype=torch.float32),
                plan={k: v for k, v in plan.items() if k not in ONCE},
                statistics=[part.statistics for part in parts],
                burn_in_statistics=burn_in,
                preparation=plan.get("preparation", {}),
            )

    def after(self, n: int) -> "Ensemble":
        """The same without the first n frames of each walker."""
        return replace(self, x=self.x[n:], potential=self.potential[n:], replica=self.replica[n:])

    @property
    def n_frames(self) -> int:
        """Frames of each walker at each temperature."""
        return len(self.potential)

    @property
    def n_walkers(self) -> int:
        """Independent walkers."""
        return int(self.potential.shape[1])

    @property
    def round_trips(self) -> np.ndarray | None:
        """Round trips of a replica in the mean, from its start to the end of each frame, (n_frames,).

        They count from the first move, those of the tuning included; within a checkpoint they are spread
        evenly. None if there is one temperature, or after `after`.
        """
        parts = [*self.burn_in_statistics, *self.statistics]
        length = int(self.plan["checkpoint_frames"])
        whole = self.n_frames == length * len(self.statistics)
        if len(self.temperatures) < 2 or not whole or not all("round_trips" in part for part in parts):
            return None
        each = np.array([part["round_trips"] for part in parts], dtype=np.float64).repeat(length) / length
        return np.cumsum(each)[-self.n_frames :] / (self.n_walkers * len(self.temperatures))
