"""What `boltzgen sample` does between its options and what it prints: draw, write, and go on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from boltzgen.cli.cluster import Cluster
from boltzgen.energy.base import CountedEnergy, Energy
from boltzgen.free_energy.weight_summary import WeightTally
from boltzgen.generator.annealed_importance import Refinement, refined_digest
from boltzgen.samples.draws import Draws
from boltzgen.samples.shards import Range, Shard
from boltzgen.samples.writer import SamplesWriter
from boltzgen.statistics.estimates import Estimates
from boltzgen.statistics.writer import StatisticsWriter


class Drawing:
    """Draws that are wanted, and the writer that takes them, if any.

    Args:
        generator: that draws.
        energy: of the target.
        n: draws, of all shards.
        seed: of the draws.
        output: file of the writer.
        shard: which share of the draws is wanted; by default all.
        statistics_only: keep no conformations.
        pairs: see `StatisticsWriter`.
        along: see `StatisticsWriter`.
        doubt: see `SamplesHeader`.
        refine: moves of each draw; 0 for none.
        cluster: whose workers draw; by default this process does.
        resume: see `SamplesWriter`.
        force: see `SamplesWriter`.

    Attributes:
        whole: which of the seed's draws are wanted.
    """

    def __init__(
        self,
        generator: Any,
        energy: Energy,
        *,
        n: int,
        seed: int,
        output: Path | None,
        shard: Shard | None,
        statistics_only: bool,
        pairs: Sequence[tuple[str, str]],
        along: Sequence[str],
        doubt: str = "",
        refine: int = 0,
        cluster: Cluster | None = None,
        resume: bool,
        force: bool,
    ) -> None:
        self.generator, self.energy, self.seed = generator, CountedEnergy(energy), seed
        self.cluster, self.n, self.pairs, self.along = cluster, n, tuple(pairs), tuple(along)
        self.whole: Range = (0, n) if shard is None else shard.checked(n)
        self.refinement = Refinement(refine) if refine else None
        self.writer: SamplesWriter | StatisticsWriter | None = None
        target = (output or Path(), generator.system, energy.temperature)
        common: dict[str, Any] = {
            "seed": seed,
            "generator": refined_digest(generator.digest, refine),
            "shard": shard,
            "n": n,
            "doubt": doubt,
            "resume": resume,
            "force": force,
        }
        if output is not None and statistics_only:
            self.writer = StatisticsWriter(*target, **common, pairs=pairs, along=along)
        elif output is not None:
            self.writer = SamplesWriter(*target, **common)

    @property
    def n_wanted(self) -> int:
        """Draws that are wanted, or more where there are more already."""
        return max(self.whole[1] - self.whole[0], self.n_samples)

    @property
    def n_samples(self) -> int:
        """Draws that are written."""
        return self.writer.n_samples if self.writer else 0

    @property
    def kept(self) -> Path | None:
        """Where draws are kept that were interrupted."""
        return self.writer.kept if self.writer else None

    @property
    def missing(self) -> list[Range]:
        """Draws that are still to be made."""
        return self.writer.missing if self.writer else [self.whole]


def draw(drawing: Drawing, move: Callable[..., None]) -> dict[str, Any]:
    """Make the draws that are wanted, and say what their weights say of themselves.

    Args:
        drawing: what is wanted.
        move: of `cli.progress.progress`.
    """
    writer, energy = drawing.writer, drawing.energy
    with writer or nullcontext():
        n_spent = writer.n_energy_evaluations if writer else 0
        # Statistics have summed up their weights.
        tally = None if isinstance(writer, StatisticsWriter) else WeightTally(drawing.n_wanted)
        move("drawing conformations", total=drawing.n_wanted)
        if isinstance(writer, StatisticsWriter):
            move(advance=writer.n_samples)
        elif writer and tally:
            for left in writer.chunks():
                tally.add(left.log_w)
                move(advance=len(left))
        for chunk in _drawn(drawing, n_spent, move):
            if tally:
                tally.add(chunk.log_w)
            move(advance=len(chunk))
        spent = writer.n_energy_evaluations if writer and drawing.cluster else n_spent + energy.n_evaluations
    found = tally.summary() if tally else _summary(writer)
    return found | {"n_energy_evaluations": spent} | _refinement(drawing, found, spent, n_spent)


def _drawn(drawing: Drawing, n_spent: int, move: Callable[..., None]) -> Iterator[Draws]:
    """Make and write what is missing, by this process or by a cluster's workers; yield it part by part.

    What workers count does not come here, and moves the bar by itself.
    """
    writer, energy = drawing.writer, drawing.energy
    if drawing.cluster is None or writer is None:
        more = {"refine": drawing.refinement} if drawing.refinement else {}
        for start, stop in drawing.missing:
            for chunk in drawing.generator.sample_chunks(
                stop, energy, seed=drawing.seed, start=start, **more
            ):
                if writer:
                    writer.n_energy_evaluations = n_spent + energy.n_evaluations
                    writer.write(chunk)
                yield chunk
        return
    from boltzgen.cluster.sampling import draw_samples, draw_statistics

    generator = drawing.generator
    recipe = drawing.cluster.recipe(
        generator,
        temperature=energy.temperature,
        seed=drawing.seed,
        n=drawing.n,
        pairs=drawing.pairs,
        along=drawing.along,
        refine=drawing.refinement.steps if drawing.refinement else 0,
    )
    with drawing.cluster.connected() as client:
        if isinstance(writer, StatisticsWriter):
            draw_statistics(client, recipe, generator, writer, lambda n: move(advance=n))
        else:
            yield from draw_samples(client, recipe, generator, writer)


def _refinement(drawing: Drawing, found: dict[str, Any], spent: int, n_before: int) -> dict[str, Any]:
    """That draws were refined; and what that gained, where this process has drawn all of them."""
    if drawing.refinement is None:
        return {}
    alone = drawing.cluster is None and n_before == 0
    gain = drawing.refinement.summary(found["effective_sample_size"], spent) if alone else None
    return {"refined": drawing.refinement.steps, "refinement": gain}


def _summary(writer: Any) -> dict[str, Any]:
    return Estimates(writer.statistics).weights
