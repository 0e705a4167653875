"""Tests of stationarity: exact where nothing changes, whatever the memory of the walkers, and able to see
what does.
"""

import math

import numpy as np
import pytest

from boltzgen.simulation.burn_in import MIN_FRAMES, ROUND_TRIPS, judge
from boltzgen.simulation.states import Labels, Series
from boltzgen.simulation.stationarity import drift, memory, split_r_hat
from tests.helpers.chains import DRIFTING, series, states

#: Number of walkers, share of a state, probability to keep it from frame to frame.
STATIONARY = [(128, 0.05, 0.8), (128, 0.3, 0.98), (16, 0.3, 0.9), (32, 0.005, 0.8)]


@pytest.mark.parametrize("test", [drift, memory])
@pytest.mark.parametrize(("n_walkers", "share", "stay"), STATIONARY)
def test_probabilities_are_what_they_say(test, n_walkers: int, share: float, stay: float) -> None:
    """Three torsions at once, 300 stationary simulations: a probability below 0.05 and 0.2 comes as often, or
    less where a state is visited by few walkers.
    """
    found = np.array(
        [
            test(
                series(
                    np.random.default_rng(seed),
                    np.full(30, share),
                    n_walkers=n_walkers,
                    stay=stay,
                    n_torsions=3,
                ),
                n_replicates=199,
            ).probability
            for seed in range(300)
        ]
    )
    for level in (0.05, 0.2):
        assert (found <= level).mean() < level + 3.5 * math.sqrt(level * (1 - level) / 300)
        assert share < 0.01 or (found <= level).mean() > level - 3.5 * math.sqrt(level * (1 - level) / 300)


@pytest.mark.parametrize("shape", ["step", "slope"])
@pytest.mark.parametrize("up", [False, True])
def test_drift_is_seen_in_the_state_that_drifts(shape: str, up: bool) -> None:
    shares = np.repeat([0.1, 0.3], 20) if shape == "step" else np.linspace(0.1, 0.3, 40)
    rng = np.random.default_rng(0)
    still = series(rng, np.full(40, 0.2), n_walkers=128, stay=0.5, n_torsions=4)
    moving = series(rng, shares if up else shares[::-1], n_walkers=128, stay=0.5)
    both = Series(
        (*still.names, ("other", "+"), ("other", "-")),
        np.concatenate([still.inside, moving.inside], -1),
        still.weight,
        np.concatenate([still.starts, moving.starts], -1),
    )
    found = drift(both)
    assert found.probability == 1e-4
    assert np.abs(found.z[:8]).max() < 3.5
    assert found.z[8] == pytest.approx(-found.z[9])
    assert (found.z[8] > 4) if up else (found.z[8] < -4)


def test_walkers_that_never_move_do_not_drift_but_remember() -> None:
    rng = np.random.default_rng(0)
    began = rng.random((64, 1)) < 0.5
    plus = np.repeat(began[None], 40, 0)
    stuck = Series(
        (("chi", "+"), ("chi", "-")),
        np.concatenate([plus, ~plus], -1).astype(float),
        np.ones((40, 64)),
        np.concatenate([began, ~began], -1),
    )
    assert drift(stuck).probability == 1.0
    found = memory(stuck)
    assert found.probability == 1e-4
    assert found.z == pytest.approx(math.sqrt(63))
    verdict = judge(stuck)
    assert verdict.stationary is False
    assert "remember where they began: the share of chi" in verdict.text
    assert "100 % in those that began there and 0 % in the others" in verdict.text


def test_memory_is_of_all_frames() -> None:
    """Walkers with a little more of where they began: one frame shows nothing, sixty do."""
    began = np.arange(128)[:, None] < 64
    shares = np.where(began, 0.25, 0.15)
    plus = np.random.default_rng(0).random((60, 128, 1)) < shares
    held = Series(
        (("chi", "+"), ("chi", "-")),
        np.concatenate([plus, ~plus], -1).astype(float),
        np.ones((60, 128)),
        np.concatenate([began, ~began], -1),
    )
    found = memory(held)
    assert found.probability == 1e-4
    # The correlation of a half with means that differ by 0.1 and scatter by sqrt(0.16 / 60) is about 0.7.
    assert found.z == pytest.approx(math.sqrt(127) * 0.7, rel=0.1)
    assert memory(held.after(59)).probability > 0.01


def test_weights_and_unequal_walkers() -> None:
    """The contrasts are of weights: frames without weight do not count, and halves of equal shares and
    unequal weights are no drift.
    """
    rng = np.random.default_rng(1)
    held = series(rng, np.full(40, 0.3), n_walkers=64, stay=0.0)
    heavier = np.where(np.arange(40) < 20, 1.0, 5.0)[:, None]
    weighted = Series(held.names, held.inside * heavier[..., None], held.weight * heavier, held.starts)
    assert weighted.share[0] == pytest.approx((held.inside[..., 0] * heavier).sum() / (64 * 20 * 6))
    assert abs(drift(weighted).z[0]) < 4.0
    assert np.abs(weighted.residual.sum((0, 1))).max() < 1e-9


def test_split_r_hat_of_known_chains() -> None:
    """R-hat^2 - 1 is 1 / n_eff of half a walker, here n / g with g = (1 + a) / (1 - a)."""
    rng = np.random.default_rng(2)
    for stay in (0.0, 0.9):
        plus = states(rng, np.full(2000, 0.4), stay, (200, 1)).astype(float)
        g = (1 + stay) / (1 - stay)
        expected = 1 + (g - 1) / 1000
        assert split_r_hat(plus)[0] ** 2 == pytest.approx(expected, abs=0.15 * g / 1000)
    halves = np.concatenate([np.zeros((10, 3, 1)), np.ones((10, 3, 1))])
    assert split_r_hat(halves)[0] == math.inf
    assert split_r_hat(np.zeros((10, 3, 2))).tolist() == [1.0, 1.0]
    # A drift within each walker, though all walkers agree.
    slope = np.linspace(0, 1, 100)[:, None, None] + 0.1 * rng.standard_normal((100, 4, 1))
    assert split_r_hat(slope)[0] > 1.5


def test_a_series_of_labels() -> None:
    """Weights of frames at two temperatures go to their states; states that nothing visits are left out."""
    frames = np.array([[[0, 1], [1, 1]], [[0, 0], [-1, 1]]], dtype=np.int8)
    log_w = np.log([[[1.0, 0.5], [1.0, 0.25]], [[1.0, 1.0], [1.0, 0.5]]])
    held = Series.build({"chi": Labels(("a", "b", "c"), frames, np.array([0, 2], np.int8))}, log_w)
    assert held.names == (("chi", "a"), ("chi", "b"))
    assert held.weight.tolist() == [[1.5, 1.25], [2.0, 1.5]]
    assert held.inside[..., 0].tolist() == [[1.0, 0.0], [2.0, 0.0]]
    assert held.inside[..., 1].tolist() == [[0.5, 1.25], [0.0, 0.5]]
    assert held.starts.tolist() == [[True, False], [False, False]]
    assert held.share == pytest.approx([3 / 6.25, 2.25 / 6.25])
    assert held.blocks(2)[:, 0] == pytest.approx([1 / 2.75, 2 / 3.5])
    assert held.after(1).weight.tolist() == [[2.0, 1.5]]


@pytest.mark.parametrize("seed", range(5))
def test_the_drifting_simulation_is_not_stationary(seed: int) -> None:
    verdict = judge(series(np.random.default_rng(seed), DRIFTING, n_walkers=128, stay=0.5, n_torsions=3))
    assert verdict.stationary is False
    assert verdict.burn_in == 20
    assert verdict.whole is not None and verdict.whole.probability < 5e-3
    assert "+ drifts: " in verdict.text


def test_memory_flags_what_drift_cannot() -> None:
    """Walkers that leave a state once, if at all: too few events to see a drift, but they are those that
    began there.
    """
    rng = np.random.default_rng(0)
    began = np.arange(128)[:, None] < 64
    left = rng.exponential(40.0, (128, 1))
    frames = 40.0 + np.arange(60)
    plus = began[None] & (frames[:, None, None] < left[None])
    held = Series(
        (("phi", "+"), ("phi", "-")),
        np.concatenate([plus, ~plus], -1).astype(float),
        np.ones((60, 128)),
        np.concatenate([began, ~began], -1),
    )
    assert memory(held).probability < 1e-3
    assert judge(held).stationary is False


def test_stationary_simulations_are_hardly_ever_flagged() -> None:
    """40 simulations with a memory of ten frames: one in 200 may be flagged, and few frames are left
    out.
    """
    found = [
        judge(series(np.random.default_rng(seed), np.full(60, 0.058), n_walkers=128, stay=0.8, n_torsions=3))
        for seed in range(40)
    ]
    assert all(verdict.stationary for verdict in found)
    assert np.mean([verdict.burn_in for verdict in found]) < 2.0
    assert found[0].text.startswith("stationary")


def test_a_transient_is_left_out() -> None:
    """A share that falls from 0.5 within ten of 200 frames: twice the frames in which it is seen go, and the
    rest has the right share.
    """
    shares = 0.1 + 0.4 * np.exp(-np.arange(200) / 5.0)
    for seed in range(5):
        held = series(np.random.default_rng(seed), shares, n_walkers=128, stay=0.3)
        verdict = judge(held)
        assert verdict.stationary
        assert 10 <= verdict.burn_in <= 60
        assert verdict.text == f"stationary after {verdict.burn_in} frames"
        kept = held.after(verdict.burn_in)
        error = kept.inside[..., 0].mean(0).std() / math.sqrt(128)
        assert abs(kept.share[0] - 0.1) < 4 * error
        assert held.share[0] - 0.1 > 3 * error


def test_few_walkers_are_judged_by_r_hat() -> None:
    for n_walkers in (1, 4):
        for seed in range(10):
            rng = np.random.default_rng(seed)
            mixed = judge(series(rng, np.full(4000, 0.3), n_walkers=n_walkers, stay=0.5))
            assert mixed.stationary and mixed.whole is not None and not mixed.whole.tested
            assert mixed.to_dict()["probability"] is None
            slow = judge(series(rng, np.linspace(0.9, 0.1, 400), n_walkers=n_walkers, stay=0.5))
            assert slow.stationary is False
            assert "split R-hat is" in slow.text


def test_too_short_or_without_torsions_is_not_tested() -> None:
    held = series(np.random.default_rng(0), np.full(MIN_FRAMES - 1, 0.3), n_walkers=32)
    assert judge(held).stationary is None
    assert judge(held).text == "not tested: 19 frames are too few, 20 or more are needed"
    nothing = Series.build({}, np.zeros((40, 32, 1)))
    assert judge(nothing).stationary is None
    assert "no named torsions" in judge(nothing).text
    assert judge(nothing).to_dict()["burn_in_frames"] == 0


def relaxing(n_frames: int) -> Series:
    """The share of a rare state falls to its own of 2 % as replicas make round trips, one in 20 frames."""
    frames = np.arange(n_frames)
    return series(np.random.default_rng(0), 0.02 + 0.3 * np.exp(-(frames + 40) / 20), n_walkers=128, stay=0.5)


def test_frames_before_seven_round_trips_are_burn_in() -> None:
    trips = (np.arange(400) + 41) / 20
    verdict = judge(relaxing(400), trips)
    assert verdict.stationary and not verdict.is_short
    assert verdict.burn_in == (trips < ROUND_TRIPS).sum() == 99
    assert verdict.round_trips == trips[-1]
    assert verdict.text == "stationary after 99 frames"
    # Where frames give more, they decide; without the count as before.
    assert judge(relaxing(400), trips + 5).burn_in == judge(relaxing(400)).burn_in < 99


def test_a_short_simulation_is_not_called_stationary() -> None:
    """As one of 58 frames was whose share of alphaL still fell from 9.5 to 2.9 %."""
    held = relaxing(60)
    trips = (np.arange(60) + 41) / 20
    verdict = judge(held, trips)
    assert verdict.is_short and verdict.stationary is False
    assert verdict.burn_in == 30, "half of the frames are kept"
    assert verdict.text.startswith(
        "too short: replicas went up to the highest temperature and back 5.0 times"
    )
    found = verdict.to_dict()
    assert found["too_short"] is True and found["round_trips_per_replica"] == trips[-1]
    assert not judge(held, 3 * trips).is_short


def test_too_few_frames_stay_untested_whatever_the_round_trips() -> None:
    held = relaxing(MIN_FRAMES - 1)
    assert judge(held, np.zeros(len(held))).stationary is None
    assert judge(held, np.zeros(len(held))).to_dict()["too_short"] is False
