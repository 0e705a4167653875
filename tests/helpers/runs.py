"""Training runs in miniature."""

import json
from pathlib import Path
from typing import Any

from boltzgen.training.checkpoint import METRICS
from boltzgen.training.progress import Progress
from boltzgen.training.settings import Settings

#: Six short rounds, the last three at the target, with sixteen walkers.
TINY = Settings(rounds=6, steps=3, batch=64, walkers=16)


def timeless(folder: Path) -> list[dict[str, Any]]:
    """The metrics of a run, without what differs between two equal ones."""
    return [
        {k: v for k, v in json.loads(line).items() if k != "seconds"}
        for line in (folder / METRICS).read_text().splitlines()
    ]


class StopAt:
    """A progress callback that interrupts at the n-th step.

    Attributes:
        seen: of the steps.
        told: of the steps and of what is done before and after them.
    """

    def __init__(self, n: int) -> None:
        self.left = n
        self.seen: list[Progress] = []
        self.told: list[Progress] = []

    def __call__(self, progress: Progress) -> None:
        self.told.append(progress)
        if progress.round is None:
            return
        self.seen.append(progress)
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
