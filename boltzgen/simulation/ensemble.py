"""The frames of a simulation, at every temperature."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from boltzgen.molecule.system import System
from boltzgen.simulation.checkpoint import Block, block_files, load_block


@dataclass(frozen=True, eq=False)
class Ensemble:
    """What a simulation recorded after its burn-in.

    Attributes:
        system: the molecule.
        temperatures: float64 (n_temperatures,) in K.
        x: positions, float32 (n_frames, n_walkers, n_temperatures, n_atoms, 3) in nm.
        potential: U, float64 (n_frames, n_walkers, n_temperatures) in kJ/mol.
        replica: which replica of its walker each frame belongs to, int16, same shape.
        starts: where each walker began, float32 (n_walkers, n_atoms, 3) in nm.
        plan: how the simulation was set up.
        statistics: of the blocks, in order, those of the burn-in left out.
    """

    system: System
    temperatures: Tensor
    x: Tensor
    potential: Tensor
    replica: Tensor
    starts: Tensor
    plan: dict[str, Any]
    statistics: list[dict[str, Any]]

    @classmethod
    def load(cls, folder: Path, system: System) -> "Ensemble":
        """Read a simulation's folder.

        Raises:
            FileNotFoundError: it holds no simulation, or none past its burn-in.
            ValueError: a file is broken, or the simulation is of another system.
        """
        blocks: list[Block] = []
        plan: dict[str, Any] = {}
        for path in block_files(folder):
            block, _, metadata = load_block(path)
            if metadata["fingerprint"] != system.fingerprint:
                raise ValueError(
                    f"the simulation in {folder} is of another system than {system.name!r}, or of other "
                    f"parameters: {metadata['system']!r}"
                )
            plan = metadata["plan"] | plan
            if metadata["burn_in"]:
                continue
            blocks.append(block)
        if not blocks:
            raise FileNotFoundError(
                f"{folder} holds no frames of a simulation past its burn-in; run: boltzgen simulate "
                f"{system.name} -o {folder}"
            )
        return cls(
            system=system,
            temperatures=torch.tensor(plan["temperatures"], dtype=torch.float64),
            x=torch.cat([b.x for b in blocks]),
            potential=torch.cat([b.potential for b in blocks]),
            replica=torch.cat([b.replica for b in blocks]),
            starts=torch.tensor(plan["starts"], dtype=torch.float32),
            plan={k: v for k, v in plan.items() if k != "starts"},
            statistics=[b.statistics for b in blocks],
        )

    @property
    def n_frames(self) -> int:
        return len(self.potential)

    @property
    def n_walkers(self) -> int:
        return int(self.potential.shape[1])
