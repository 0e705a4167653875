"""What `tabular.py` and `images.py` share: training by maximum likelihood, and measured rows as a table."""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from boltzgen.flow.likelihood import Likelihood
from boltzgen.flow.resampling import Resampling, update_rates
from boltzgen.training.early_stopping import EarlyStopping
from boltzgen.training.fit import AdaptiveClipping, fit
from boltzgen.training.likelihood_objective import LikelihoodObjective
from boltzgen.training.optimizer import MatrixOptimizer
from boltzgen.training.schedule import warmup_hold_cosine

#: Proposals of a fresh estimate of every Z, before each validation and before what is reported.
VALIDATING, REPORTING = 50_000, 1_000_000


@dataclass(frozen=True)
class Training:
    """How long, and with what steps."""

    steps: int
    batch: int
    learning_rate: float
    every: int
    patience: int = 10


def shuffled(n: int, batch: int, stream: torch.Generator) -> Iterator[Tensor]:
    """Indices of batches, each row once before any comes again."""
    while True:
        yield from (part for part in torch.randperm(n, generator=stream).split(batch) if len(part) == batch)


def train(
    model: nn.Module, log_prob: Callable[[], Tensor], validate: Callable[[], Tensor], how: Training
) -> dict[str, Any]:
    """Train until the validation data say so; the best parameters, and a fresh estimate of Z, are left.

    Args:
        model: what is trained.
        log_prob: of the next batch, with a graph.
        validate: log-densities of all validation data.
        how: see `Training`.
    """

    @torch.no_grad()
    def loss() -> float:
        update_rates(model, VALIDATING)
        return -float(validate().mean())

    stopping = EarlyStopping(model, loss, every=how.every, patience=how.patience)
    # Time on the processor: whatever else the machine does.
    begin, times = time.process_time(), []
    result = fit(
        LikelihoodObjective(model, log_prob),
        MatrixOptimizer(model, learning_rate=how.learning_rate, weight_decay=1e-3),
        warmup_hold_cosine(how.steps, min(100, how.steps), 0.2),
        stopping.steps(how.steps),
        clipping=AdaptiveClipping({"model": model}, 3.0),
        on_step=lambda step, loss, metrics: times.append(time.process_time()),
    )
    seconds = time.process_time() - begin
    model.load_state_dict(stopping.state)
    update_rates(model, REPORTING)
    steps = sorted(b - a for a, b in zip([begin, *times], times, strict=False))
    return {
        "steps": len(times),
        "best_step": stopping.best_step,
        "validation": -stopping.best_loss,
        "skipped_steps": result["skipped_steps"],
        "cpu_seconds": seconds,
        "ms_per_step": 1e3 * steps[len(steps) // 2],
    }


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def widest(build: Callable[[int], nn.Module], most: int) -> int:
    """The largest width from 4 on with which a model has no more than so many parameters."""
    low, high = 4, 8
    if parameters(build(low)) > most:
        raise ValueError(f"expected room for a network of width {low}, got a budget of {most} parameters")
    while parameters(build(high)) <= most:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if parameters(build(middle)) <= most else (low, middle)
    return low


@torch.no_grad()
def proposals(model: nn.Module) -> float | None:
    """Expected number of proposals for one draw, the mean over classes; None where nothing is resampled."""
    found = [float(part.of_draws(part.expected_proposals()).mean()) for part in resampled_parts(model)]
    return sum(found) if found else None


def resampled_parts(model: nn.Module) -> list[Resampling]:
    return [part for part in model.modules() if isinstance(part, Resampling)]


def likelihood_row(found: Likelihood) -> dict[str, float]:
    return {
        "test": found.mean,
        "test_error": found.standard_error,
        "rate_error": found.rate_error,
        "n_test": found.n,
    }


def written(folder: Path, stem: str, measure: Callable[[], dict[str, Any]]) -> None:
    """Measure and write the row down, unless that is done."""
    if (folder / f"{stem}.json").exists():
        return
    row = measure()
    (folder / f"{stem}.json").write_text(json.dumps(row))
    print(json.dumps(row), flush=True)


def rows_by(folder: Path, *keys: str) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Rows of a folder by the values of keys."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for file in sorted(folder.glob("*.json")):
        row = json.loads(file.read_text())
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    return found


def over_seeds(rows: list[dict[str, Any]], key: str, digits: int) -> str:
    """The mean over seeds, with its standard error where there are several."""
    values = [row[key] for row in rows if row[key] is not None and math.isfinite(row[key])]
    if not values:
        return ""
    mean = f"{statistics.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} +- {statistics.stdev(values) / math.sqrt(len(values)):.{digits}f}"


def largest(rows: list[dict[str, Any]], key: str, digits: int) -> str:
    return f"{max(row[key] for row in rows):.{digits}f}"


def common_options(doc: str | None) -> argparse.ArgumentParser:
    """Options of both scripts."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where each run leaves its row; finished ones are kept")
    parser.add_argument("--data", type=Path, help="folder with files of yours")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="of training, at most")
    parser.add_argument("--quick", action="store_true", help="a few steps on made data: does it run?")
    return parser
