"""The picture of a training run shows its rounds, and is drawn rarely."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boltzgen.training import picture
from boltzgen.training.picture import PICTURE, TrainingPicture, training_figure


def energies(n: int) -> list[dict[str, Any]]:
    return [
        {
            "round": k,
            "stage": "energies",
            "loss": 1e9,
            "positive_phi": 0.01 * k,
            "sampling_efficiency": 0.1 * (k + 1),
            "sampling_efficiency_clipped": 0.1 * (k + 2),
            "psis_k_hat": None if k == 0 else 0.5,
            "log_weight_spread": 2.0 / (k + 1),
            "temperature": 1200.0 - 100 * k,
            "n_energy_evaluations": 50_000 * (k + 1),
        }
        for k in range(n)
    ]


def test_rounds_on_energies() -> None:
    metrics = energies(4)
    metrics[2] = {key: metrics[2][key] for key in ("round", "stage", "temperature", "n_energy_evaluations")}
    metrics[2]["went_back"] = True
    panels = training_figure(metrics, "training of a molecule").axes
    labels = [axes.get_ylabel() for axes in panels]
    assert labels[:4] == ["sampling efficiency / %", "temperature / K", "spread of log w", "PSIS k-hat"]
    assert labels[4:] == ["weight at φ > 0 / %"]
    shares = np.asarray(panels[4].get_lines()[0].get_ydata(), float)
    np.testing.assert_allclose(shares, [0, 1, np.nan, 3])
    clipped, plain = (np.asarray(line.get_ydata(), float) for line in panels[0].get_lines()[:2])
    np.testing.assert_allclose(clipped, [20, 30, np.nan, 50])
    np.testing.assert_allclose(plain, [10, 20, np.nan, 40])
    np.testing.assert_allclose(
        np.asarray(panels[1].get_lines()[0].get_xdata(), float), [0.05, 0.1, 0.15, 0.2]
    )
    # The round that went back is marked in every panel.
    assert [len(axes.get_lines()) for axes in panels] == [3, 2, 2, 3, 2]


def test_a_molecule_without_phi_has_no_panel_of_it() -> None:
    metrics = [{key: value for key, value in m.items() if key != "positive_phi"} for m in energies(3)]
    assert len(training_figure(metrics).axes) == 4


def test_rounds_on_data_and_then_on_energies() -> None:
    data = [{"round": k, "stage": "data", "nll": 9.0 - k, "held_out_nll": 9.5 - k} for k in range(3)]
    (axes,) = training_figure(data).axes
    assert [line.get_label() for line in axes.get_lines()] == ["training frames", "frames held out"]
    assert len(training_figure(data + energies(2)).axes) == 6


def test_it_is_drawn_again_only_after_a_while_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, now = [], [0.0]

    def figure(metrics: list[dict[str, Any]], title: str) -> Any:
        drawn.append(len(metrics))
        now[0] += 2.0  # seconds that it takes
        return training_figure(metrics, title)

    monkeypatch.setattr(picture, "training_figure", figure)
    monkeypatch.setattr(picture.time, "monotonic", lambda: now[0])
    watched = TrainingPicture(tmp_path, "training")
    for k in range(1, 7):
        watched.update(energies(k), last=k == 6)
        now[0] += 25.0
    assert drawn == [1, 4, 6]
    assert (tmp_path / PICTURE).read_bytes().startswith(b"\x89PNG")
