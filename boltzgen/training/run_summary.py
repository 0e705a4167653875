"""The summary of a finished run: fresh draws, the forward test, and where it was made."""

import itertools
import json
import logging
import math
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from boltzgen import __version__
from boltzgen.free_energy.weight_summary import weight_summary
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.locate import SUMMARY
from boltzgen.molecule.system import System
from boltzgen.samples.shards import BLOCK
from boltzgen.simulation.basins import as_rows, from_rows
from boltzgen.simulation.forward import ForwardTest, forward_test
from boltzgen.storage import write_atomically
from boltzgen.training.budget import draws_in
from boltzgen.training.folder import reference_to
from boltzgen.training.ranks import Ranks
from boltzgen.training.timing import summary_draw_seconds
from boltzgen.training.training_run import TrainingRun

logger = logging.getLogger(__name__)

#: Fresh draws of the finished generator for the summary where there is time for them, and their seed.
MOST_DRAWS, _VALIDATION_SEED = 100_000, 2**31
#: Of these draws, for each walker of the forward test of the summary; and its moves.
_PER_WALKER, _MOVES = 200, 20
#: What one of them takes, its share of the forward test included, in samples trained on; for the time left.
VALIDATION_WORK = 0.5


def summarize(
    folder: Path, run: TrainingRun, system: System, device: str, *, ends: float | None = None
) -> dict[str, Any]:
    """Write the summary of a finished run, of fresh draws whose energies count as well, and return it.

    Each rank makes its share of the draws and simulations; the first one writes.

    Args:
        folder: of the run.
        run: finished.
        system: the molecule.
        device: torch device.
        ends: when it should be done, on `time.perf_counter`'s clock; there are then fewer draws.
    """
    began, n, ranks = time.perf_counter(), MOST_DRAWS, run.ranks
    generator = BoltzmannGenerator.load(folder, system, device=device)
    if ends is not None:
        draw = summary_draw_seconds(generator, run.energy) / ranks.size
        n = ranks.told(draws_in(ends - time.perf_counter(), draw, most=MOST_DRAWS))
        run.validation = VALIDATION_WORK * n
    found = weight_summary(ranks.gather(_log_weights(generator, run, n)))
    forward = _forward(generator, run, n // _PER_WALKER)
    summary = reference_to(system, folder) | {
        "system_name": system.name,
        "temperature": generator.temperature,
        "seconds": run.seconds + time.perf_counter() - began,
        "n_energy_evaluations": run.count_energies(),
        "n_validation": found.pop("n_samples"),
        **found,
        **forward,
        "seed": generator.seed,
        "versions": {
            "boltzgen": __version__,
            "torch": torch.__version__,
            "openmm": metadata.version("openmm"),
            "python": platform.python_version(),
        },
    }
    if run.data is not None:
        summary |= run.data.summary() | _likelihoods(run.metrics)
    summary |= {"settings": run.settings.as_dict(), "hardware": _hardware(device, ranks.size)}
    with ranks.together():
        if ranks.is_writer:
            write_atomically(folder / SUMMARY, json.dumps(summary, indent=1).encode())
    return ranks.told(summary)


def _log_weights(generator: BoltzmannGenerator, run: TrainingRun, n: int) -> torch.Tensor:
    """Log-weights of this rank's part of n draws: of whole blocks, each with a random stream of its own."""
    part = run.ranks.part(math.ceil(n / BLOCK))
    start, stop = min(n, part.start * BLOCK), min(n, part.stop * BLOCK)
    log_w = [torch.zeros(0, dtype=torch.float64)]
    for chunk in generator.sample_chunks(max(1, stop), run.energy, seed=_VALIDATION_SEED, start=start):
        log_w.append(chunk.log_w)
        run.tell("drawing for the summary", validated=0.5 * sum(map(len, log_w)) / (stop - start))
    return torch.cat(log_w)


def _forward(generator: BoltzmannGenerator, run: TrainingRun, n_walkers: int) -> dict[str, Any]:
    """What the forward test says of a finished generator; nothing where its simulations cannot be run."""
    moves, ranks, own = itertools.count(1), run.ranks, None
    try:
        own = forward_test(
            generator,
            run.energy,
            n_walkers=max(1, ranks.share(n_walkers)),
            n_starts=ranks.share(n_walkers // 2),
            n_moves=_MOVES,
            seed=_VALIDATION_SEED + ranks.rank,
            progress=lambda done: run.tell("forward test", validated=0.5 + 0.5 * next(moves) / _MOVES),
        )
    except ValueError as error:
        logger.warning("no forward test: %s", error)
    if ranks.any(own is None):
        return {}
    assert own is not None
    test = _of_all(own, ranks)
    if test.verdict != "passed":
        logger.log(logging.WARNING if test.flagged else logging.INFO, "%s", test.sentence)
    return {"forward_ess": test.forward_ess, "largest_log_w": test.largest, "forward": test.summary()}


def _of_all(own: ForwardTest, ranks: Ranks) -> ForwardTest:
    """The simulations of all ranks as one test."""
    worst = ranks.gather(own.log_w_worst)
    order = worst.argsort(descending=True, stable=True)[: len(own.log_w_worst)]
    names = own.system.torsions
    counts = ranks.total(torch.tensor([own.acceptance / ranks.size, own.n_energy_evaluations]).double())
    return ForwardTest(
        ranks.gather(own.log_w.T).T,
        ranks.gather(own.x)[order],
        worst[order],
        ranks.total(own.visits),
        float(counts[0]),
        int(counts[1]),
        own.system,
        from_rows(ranks.gather(as_rows(own.basins, names)), names),
    )


def _likelihoods(metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """Negative log-likelihoods of the parameters that were kept.

    Those after the best round on data alone, or after the last one with energies.
    """
    data = [m for m in metrics if m["stage"] == "data"]
    best = min(data, key=lambda m: m["held_out_nll"])
    kept = metrics[-1] if metrics[-1]["stage"] != "data" else best
    return {"held_out_nll": kept["held_out_nll"], "data_nll": best["nll"], "best_data_round": best["round"]}


def _hardware(device: str, processes: int) -> dict[str, Any]:
    name = platform.processor() or platform.machine()
    if device.startswith("cuda"):
        name = torch.cuda.get_device_name(device)
    return {
        "device": device,
        "name": name,
        "processes": processes,
        "threads": torch.get_num_threads(),
    }
