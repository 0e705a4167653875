"""A picture of a training run to watch: `training.png` in the run's folder."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from boltzgen.figures import GENERATOR, INK, TARGET, ShownFigure, light_frame, plain_numbers, set_title
from boltzgen.storage import write_figure
from boltzgen.training.energy_objective import POSITIVE_PHI
from boltzgen.training.guard import SPREAD, WENT_BACK
from boltzgen.weights import K_HAT_LIMIT

PICTURE = "training.png"
#: The next picture is drawn after so many times as long as the last one took.
_RARELY = 30.0
_DPI = 130

Metrics = Sequence[dict[str, Any]]


class TrainingPicture:
    """Draws the picture after a round, but so rarely that training does not wait for it.

    Args:
        folder: of the run.
        title: of the picture.
    """

    def __init__(self, folder: Path, title: str) -> None:
        self.path, self.title = folder / PICTURE, title
        self._due = 0.0

    def update(self, metrics: Metrics, *, last: bool) -> None:
        """Draw the rounds so far if it is time to, or if they are all.

        Raises:
            OSError: the picture cannot be written.
        """
        began = time.monotonic()
        if began < self._due and not last:
            return
        write_figure(self.path, training_figure(metrics, self.title), dpi=_DPI)
        now = time.monotonic()
        self._due = now + _RARELY * (now - began)


def training_figure(metrics: Metrics, title: str = "") -> ShownFigure:
    """How a run's rounds went.

    Of training on energies the sampling efficiency of each round's draws at the round's temperature, the
    temperature, how far log-weights spread, the PSIS k-hat and, of peptides, the share of the weight at
    phi > 0, against the energies computed; rounds that diverged are marked. Of training on data the negative
    log-likelihoods.

    Args:
        metrics: a record for each round, the lines of `metrics.jsonl`.
        title: of the figure.
    """
    data = [m for m in metrics if m["stage"] == "data"]
    energies = [m for m in metrics if m["stage"] != "data"]
    has_phi = any(POSITIVE_PHI in m for m in energies)
    n = bool(data) + (4 + has_phi) * bool(energies)
    figure = ShownFigure(0.3 + 2.9 * n, 2.7, layout="constrained")
    panels = list(figure.subplots(1, n, squeeze=False)[0])
    if data:
        axes = panels.pop(0)
        rounds = [m["round"] + 1 for m in data]
        axes.plot(rounds, [m.get("nll", math.nan) for m in data], color=TARGET, label="training frames")
        axes.plot(rounds, [m["held_out_nll"] for m in data], color=GENERATOR, label="frames held out")
        _label(axes, "round of training on data", "−log likelihood / frame")
        axes.legend(frameon=False, fontsize=7.5, labelcolor=INK)
    if energies:
        _draw_energies(panels, energies)
    set_title(figure, title)
    return figure


def _draw_energies(panels: Sequence[Any], metrics: Metrics) -> None:
    x = [m["n_energy_evaluations"] / 1e6 for m in metrics]

    def column(name: str, scale: float = 1.0) -> list[float]:
        values = [m.get(name) for m in metrics]
        return [scale * v if v is not None else math.nan for v in values]

    efficiency, temperature, spread, k_hat, *phi = panels
    efficiency.plot(x, column("sampling_efficiency_clipped", 100), color=GENERATOR, lw=1, label="clipped")
    efficiency.plot(
        x, column("sampling_efficiency", 100), color=TARGET, marker=".", label="of the round's draws"
    )
    efficiency.set_ylim(0, 100)
    efficiency.legend(frameon=False, fontsize=7.5, labelcolor=INK)
    _label(efficiency, "", "sampling efficiency / %")
    temperature.plot(x, column("temperature"), color=TARGET, marker=".")
    _label(temperature, "", "temperature / K")
    spread.plot(x, [v if v > 0 else math.nan for v in column(SPREAD)], color=TARGET, marker=".")
    spread.set_yscale("log")
    plain_numbers(spread)
    _label(spread, "", "spread of log w")
    k_hat.plot(x, column("psis_k_hat"), color=TARGET, marker=".")
    k_hat.axhline(K_HAT_LIMIT, color=GENERATOR, lw=0.8, ls="--")
    k_hat.annotate("above: not reliable", (x[0], K_HAT_LIMIT), (0, 2), textcoords="offset points", fontsize=7)
    _label(k_hat, "", "PSIS k-hat")
    for axes in phi:
        axes.plot(x, column(POSITIVE_PHI, 100), color=TARGET, marker=".")
        axes.set_ylim(bottom=0)
        _label(axes, "", "weight at φ > 0 / %")
    for axes in panels:
        axes.set_xlabel("energies / 10⁶", color=INK)
        for m, at in zip(metrics, x, strict=True):
            if WENT_BACK in m:
                axes.axvline(at, color=GENERATOR, lw=0.8, ls=":")


def _label(axes: Any, x: str, y: str) -> None:
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.margins(x=0.02)
    light_frame(axes)
