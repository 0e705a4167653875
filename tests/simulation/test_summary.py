"""What a simulation says of itself: made-up folders that drift or not, from the frames to the warning."""

import io
import json
import re
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boltzgen.cli import main
from boltzgen.evaluation.reference import Reference
from boltzgen.molecule.states import BASINS
from boltzgen.molecule.system import System
from boltzgen.simulation.burn_in import judge
from boltzgen.simulation.ensemble import Ensemble
from boltzgen.simulation.estimates import mbar
from boltzgen.simulation.plan import Method, Plan
from boltzgen.simulation.run import record
from boltzgen.simulation.states import Series, label
from tests.helpers.chains import DRIFTING, states
from tests.helpers.simulations import PREPARATION, write_simulation

N_WALKERS = 128
LADDER = (300.0, 350.0)


def made_up(
    folder: Path, system: System, shares: np.ndarray, seed: int, temperatures=(300.0,), **counts: int
) -> Ensemble:
    rng = np.random.default_rng(seed)
    plus = states(rng, shares, 0.5, (N_WALKERS, len(temperatures)))
    began = rng.random(N_WALKERS) < 0.5
    return write_simulation(folder, system, plus, began, temperatures=temperatures, seed=seed, **counts)


@pytest.fixture(scope="module")
def drifting(system: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """P(phi > 0) of 9.5, 7.6, 6.6, 5.2, 3.1, 2.8 % in blocks of ten frames."""
    folder = tmp_path_factory.mktemp("drifting") / "run"
    made_up(folder, system, DRIFTING, 0, LADDER)
    return folder


@pytest.fixture(scope="module")
def warned(drifting: Path) -> tuple[str, str]:
    """What the command prints of it: stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["simulate", "alanine_dipeptide", "-o", str(drifting), "-n", "60", "--resume"])
    assert code == 0, err.getvalue()
    return out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def summary(drifting: Path, warned: tuple[str, str]) -> dict[str, Any]:
    return json.loads((drifting / "simulation.json").read_text())


def test_a_drifting_simulation_says_so(system: System, drifting: Path, summary: dict[str, Any]) -> None:
    test = summary["stationarity"]
    assert test["stationary"] is False
    assert "the share of phi + drifts: " in test["text"] or "the share of basin C7ax drifts: " in test["text"]
    assert test["probability"] < 5e-3
    phi = next(row for row in test["states"] if (row["torsion"], row["state"]) == ("phi", "+"))
    assert phi["z_drift"] < -4
    halves = np.array(phi["blocks"]).reshape(2, -1).mean(1)
    assert halves[0] == pytest.approx(DRIFTING[:30].mean(), abs=0.015)
    assert halves[1] == pytest.approx(DRIFTING[30:].mean(), abs=0.015)
    assert {row["torsion"] for row in test["states"]} == {"phi", "psi", "omega0", "omega", BASINS}
    assert (summary["n_frames"], summary["burn_in_frames"]) == (40, 10 + 20)
    share = {row["name"]: row["population"] for row in summary["torsions"]["phi"]}
    assert share["+"] == pytest.approx(DRIFTING[20:].mean(), abs=0.01)
    reference = Reference.load(drifting / "reference.h5", system)
    assert reference.doubt == test["text"]
    assert reference.metadata == summary


def test_the_command_warns(drifting: Path, warned: tuple[str, str]) -> None:
    out, err = warned
    assert "warning: the simulation is not stationary: the share of " in err
    assert f"-o {drifting} -n 120 --resume" in err
    assert re.search(r"^stationarity +the share of ", out, re.MULTILINE)
    assert "phi +" in out and "omega trans" not in out


def test_costs_are_counted_whole(summary: dict[str, Any]) -> None:
    """Starts, tuning and all frames, those of the burn-in included, against the checkpoints."""
    assert summary["costs"] == {
        "starts": PREPARATION,
        "tuning": {"n_energy_evaluations": 7000, "seconds": 2.0},
        "frames": {"n_energy_evaluations": 6000, "seconds": 6.0},
    }
    assert summary["n_energy_evaluations"] == 13_500
    assert summary["seconds"] == 11.0
    assert summary["steps_per_second"] == pytest.approx(13_500 / 11.0)
    # Simulated time is that of the frames that are used.
    assert summary["nanoseconds_per_walker"] == pytest.approx([4e-3] * 2)


@pytest.mark.parametrize("method", ["remd", "md"])
def test_what_came_before_the_frames_is_counted(alanine: System, tmp_path: Path, method: Method) -> None:
    """Energies of the starts, the tuning and the frames, each as it is made; and the seconds of all."""
    small = Plan(n_walkers=8, interval=2, n_steps=5, checkpoint_frames=3, burn_in=1, seed=5)
    plan = (
        small
        if method == "remd"
        else Plan.for_method("md", n_walkers=2, interval=5, checkpoint_frames=3, platform="Reference")
    )
    began = time.perf_counter()
    record(alanine, tmp_path / "run", 3, plan=plan)
    spent = time.perf_counter() - began
    ensemble = Ensemble.load(tmp_path / "run", alanine)
    preparation, tuning = ensemble.preparation, ensemble.burn_in_statistics[0]
    if method == "remd":
        n_replicas = 8 * len(ensemble.temperatures)
        each = 3 * 2 * 5 * n_replicas + n_replicas  # frames, moves, steps; and where they begin
        # 300 steps of the descent and its beginning, in one round or more.
        assert preparation["n_energy_evaluations"] % (8 * 301) == 0
    else:
        each = 3 * 5 * 2
    assert preparation["n_energy_evaluations"] > 0
    assert tuning["n_energy_evaluations"] == each
    assert [part["n_energy_evaluations"] for part in ensemble.statistics] == [each]
    seconds = preparation["seconds"] + tuning["seconds"] + ensemble.statistics[0]["seconds"]
    assert 0.5 * spent < seconds < spent
    assert "preparation" not in ensemble.plan and "starts" not in ensemble.plan


def test_stationary_counterparts_do_not(system: System, tmp_path: Path) -> None:
    for seed in range(24):
        ensemble = made_up(tmp_path / str(seed), system, np.full(60, DRIFTING.mean()), seed)
        _, log_w = mbar(ensemble.potential.numpy(), ensemble.temperatures.numpy(), 300.0)
        verdict = judge(Series.build(label(ensemble.x, ensemble.starts, system), log_w))
        assert verdict.stationary, seed


def test_labels_are_those_of_the_torsions(system: System, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    plus, began = rng.random((20, 6, 2)) < 0.3, rng.random(6) < 0.5
    ensemble = write_simulation(tmp_path, system, plus, began, temperatures=LADDER)
    found = label(ensemble.x, ensemble.starts, system)
    assert set(found) == {"phi", "psi", "omega0", "omega", BASINS}
    assert np.array_equal(found["phi"].frames == 0, plus)
    assert np.array_equal(found["phi"].starts == 0, began)
    assert (found["psi"].frames == 1).all() and (found["omega"].frames == 1).all()
    names = np.array([basin.name for basin in system.basins])
    assert set(names[found[BASINS].frames[~plus]]) <= {"C7eq", "C5"}
    later = ensemble.after(5)
    assert later.n_frames == 15
    assert np.array_equal(label(later.x, later.starts, system)["phi"].frames == 0, plus[5:])


def test_round_trips_of_a_replica_are_counted_from_the_start(system: System, tmp_path: Path) -> None:
    """100 in each checkpoint of ten frames, by 256 replicas; the tuning is one checkpoint."""
    ensemble = made_up(tmp_path / "a", system, DRIFTING, 0, LADDER, round_trips=100)
    expected = (100 + 10 * np.arange(1, 61)) / 256
    np.testing.assert_allclose(ensemble.round_trips, expected)
    assert ensemble.after(3).round_trips is None
    assert made_up(tmp_path / "b", system, DRIFTING, 0, LADDER).round_trips is None
    assert made_up(tmp_path / "c", system, DRIFTING, 0, round_trips=0).round_trips is None


def test_the_command_says_that_a_simulation_is_too_short(
    system: System, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """7 checkpoints of 100 are 2.7 trips of a replica; 14, and a tenth more, take 384 frames in all."""
    folder = tmp_path / "short"
    made_up(folder, system, np.full(60, 0.05), 0, LADDER, round_trips=100)
    assert main(["simulate", "alanine_dipeptide", "-o", str(folder), "-n", "60", "--resume"]) == 0
    out, err = capsys.readouterr()
    assert "warning: the simulation is too short: replicas went up to the highest temperature" in err
    assert "and back 2.7 times in the mean, and 14 are needed" in err
    assert f"-o {folder} -n 390 --resume" in err
    assert re.search(r"^stationarity +too short: ", out, re.MULTILINE)
    reference = Reference.load(folder / "reference.h5", system)
    assert reference.doubt.startswith("too short: ")


def test_a_simulation_of_enough_round_trips_leaves_out_seven(system: System, tmp_path: Path) -> None:
    folder = tmp_path / "enough"
    made_up(folder, system, np.full(60, 0.05), 0, LADDER, round_trips=600)
    assert main(["simulate", "alanine_dipeptide", "-o", str(folder), "-n", "60", "--resume"]) == 0
    summary = json.loads((folder / "simulation.json").read_text())
    assert summary["stationarity"]["stationary"] is True
    # (600 + 60 k) / 256 is 7 after 19.9 frames.
    assert (summary["n_frames"], summary["stationarity"]["burn_in_frames"]) == (41, 19)
