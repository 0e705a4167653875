"""What is planned into a time, and what is said where it is too short."""

import pytest

from boltzgen.training.budget import LEAST_DRAWS, LEAST_ROUNDS, Speed, draws_in, sensible_minutes, shortfall

MOST = 100_000
#: 1 s a thousand draws: the whole summary takes 100 s, the least 10 s.
SPEED = Speed(start=30.0, round=20.0, draw=1e-3)


@pytest.mark.parametrize(
    ("seconds", "rounds"),
    [
        (1.0, 1),
        (240.0, int((0.95 * 240 - 30 - 36) / 20)),  # 15 % for the summary
        (66.7, 1),  # no less than the least summary
        (3600.0, int((0.95 * 3600 - 30 - 100) / 20)),  # no more than the whole one
    ],
)
def test_rounds_leave_time_for_the_summary(seconds: float, rounds: int) -> None:
    assert SPEED.rounds_in(seconds, most_draws=MOST) == rounds


@pytest.mark.parametrize(
    "speed", [SPEED, Speed(30.0, 400.0, 1e-3), Speed(0.0, 5.0, 1e-1), Speed(9.0, 9.0, 3e-3)]
)
def test_a_run_with_its_summary_is_within_its_time(speed: Speed) -> None:
    least = speed.shortest(most_draws=MOST)
    assert speed.rounds_in(least + 1e-6, most_draws=MOST) == LEAST_ROUNDS
    assert speed.rounds_in(0.99 * least - 0.1, most_draws=MOST) < LEAST_ROUNDS
    for seconds in (least, 1.7 * least, 20 * least):
        rounds = speed.rounds_in(seconds, most_draws=MOST)
        left = seconds - speed.seconds(rounds, 0)
        assert speed.seconds(rounds, draws_in(left, speed.draw, most=MOST)) <= seconds


@pytest.mark.parametrize(
    ("done", "planned", "took", "left", "rounds"),
    [
        (1, 1, 50.0, 600.0, 1 + int((0.95 * 600 - 90) / 20)),  # as fast as timed: it would have ended early
        (1, 20, 100.0, 600.0, 1 + int((0.95 * 600 - 90) / 40)),  # half as fast, the start included
        (2, 20, 140.0, 600.0, 2 + int((0.95 * 600 - 90) / 40)),
        (4, 20, 170.0, 400.0, 4 + int((0.95 * 400 - 60) / (20 * 170 / 110))),  # one round of four disturbed
        (1, 20, 50.0, 470.0, 20),  # right to a tenth
        (2, 3, 70.0, 600.0, 2 + int((0.95 * 600 - 90) / 20)),  # two thirds are done
        (3, 4, 20.0, 6000.0, 4),  # three quarters of it are done
        (2, 9, 200.0, 30.0, 2),  # time is out
    ],
)
def test_rounds_are_counted_anew(done: int, planned: int, took: float, left: float, rounds: int) -> None:
    assert SPEED.rounds_after(done, planned, took=took, left=left, most_draws=MOST) == rounds


def test_draws_of_the_summary() -> None:
    assert draws_in(-5.0, 1e-3, most=MOST) == draws_in(1.0, 1e-3, most=MOST) == LEAST_DRAWS
    assert draws_in(25.0, 1e-3, most=MOST) == 25_000
    assert draws_in(1e6, 1e-3, most=MOST) == MOST
    assert draws_in(25.0, 1e-3, most=3000) == 3000


def test_too_few_minutes_are_told_with_how_many_are_enough() -> None:
    slow = Speed(start=60.0, round=180.0, draw=1e-3)
    assert shortfall(60, LEAST_ROUNDS, slow, spent=5, most_draws=MOST) is None
    said = shortfall(6, 1, slow, spent=100, most_draws=MOST)
    assert said is not None
    assert said.startswith("6 minutes are 1 round on this machine")
    assert said.endswith("annealing needs about 8: stop it and give `--minutes 30` or more")
    assert slow.rounds_in(60 * 30 - 100, most_draws=MOST) >= LEAST_ROUNDS
    least = shortfall(3, 1, slow, spent=100, most_draws=MOST)
    assert str(least).startswith(
        "3 minutes are less than 1 round, which with its summary takes about 6, on this"
    )
    assert str(least).endswith("or more; one round is trained all the same")
    assert "2.5 minutes are 2 rounds" in str(
        shortfall(2.5, 2, Speed(60.0, 20.0, 1e-3), spent=0, most_draws=MOST)
    )


@pytest.mark.parametrize(("seconds", "minutes"), [(1, 1), (61, 2), (600, 10), (601, 15), (3601, 70)])
def test_minutes_are_rounded_up(seconds: float, minutes: int) -> None:
    assert sensible_minutes(seconds) == minutes
