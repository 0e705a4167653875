"""Workers that a command is told to draw by."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client

    from boltzgen.cluster.recipe import Recipe
    from boltzgen.generator.generator import BoltzmannGenerator


@dataclass(frozen=True)
class Cluster:
    """Workers that draw.

    Attributes:
        source: of the generator, a name or an absolute path.
        workers: processes on this machine, or None.
        scheduler: address of a cluster that runs, or None.
        unfinished: take the last checkpoint of a run that has not ended.
        device: where workers compute.
    """

    source: str
    workers: int | None
    scheduler: str | None
    unfinished: bool
    device: str

    def connected(self) -> "AbstractContextManager[Client]":
        """The connection, see `cluster.connect.connected`."""
        from boltzgen.cluster.connect import connected

        return connected(workers=self.workers, scheduler=self.scheduler)

    def recipe(self, generator: "BoltzmannGenerator", **options: Any) -> "Recipe":
        """Of a generator's draws, with the other arguments of `cluster.recipe.Recipe`."""
        from boltzgen.cluster.recipe import Recipe

        return Recipe(
            source=self.source,
            digest=generator.digest,
            unfinished=self.unfinished,
            device=self.device,
            **options,
        )


def cluster_of(
    source: str, workers: int | None, scheduler: str | None, *, unfinished: bool, device: str
) -> Cluster | None:
    """Workers that options name; None if they name none.

    Raises:
        ValueError: they name two clusters.
    """
    check_cluster(workers, scheduler)
    if workers is None and scheduler is None:
        return None
    place = str(Path(source).resolve()) if Path(source).exists() else source
    return Cluster(place, workers, scheduler, unfinished, device)


def check_cluster(workers: int | None, scheduler: str | None) -> None:
    """Raise ValueError where options name two clusters."""
    if workers is not None and scheduler is not None:
        raise ValueError("work by `workers` of this machine or by those of a `scheduler`; give one of them")
