"""What fits into a time: rounds, and the draws of the summary that follows them."""

import math
from dataclasses import dataclass

#: Rounds from which an annealing is of use: eight gave 97 % on alanine dipeptide
#: (docs/results/training.md).
LEAST_ROUNDS = 8
#: Fresh draws of the summary at least: below, its efficiency says little.
LEAST_DRAWS = 10_000
#: Share of a run's time for its summary, within what that costs at least and at most.
_SUMMARY = 0.15
#: Share of the time that is planned with; the rest is for what is not measured, such as writing.
_PLANNED = 0.95


@dataclass(frozen=True)
class Speed:
    """How fast training is on some machine, in seconds.

    Attributes:
        start: from now to the first round.
        round: of training on energies.
        draw: a draw of the summary, with its share of the forward test.
    """

    start: float
    round: float
    draw: float

    def seconds(self, rounds: int, draws: int) -> float:
        """Of so many rounds, and a summary of so many draws."""
        return self.start + rounds * self.round + draws * self.draw

    def rounds_in(self, seconds: float, *, most_draws: int) -> int:
        """Rounds, at least one, that leave time for a summary of at most so many draws."""
        return max(1, self._fitting(seconds, most_draws))

    def _fitting(self, seconds: float, most_draws: int) -> int:
        least = min(LEAST_DRAWS, most_draws) * self.draw
        summary = min(max(_SUMMARY * seconds, least), most_draws * self.draw)
        return int((_PLANNED * seconds - self.start - summary) / self.round)

    def rounds_after(self, done: int, planned: int, *, took: float, left: float, most_draws: int) -> int:
        """Rounds in all, counted anew after some: a machine may be busier, or less, than when it was timed.

        The pace is that of all rounds so far: what disturbs one of them does not end the run early. The plan
        stays where three quarters of it are done, and where it is right to a tenth.

        Args:
            done: rounds so far.
            planned: rounds in all.
            took: seconds of those done, with what comes before the first.
            left: seconds, for the other rounds and a summary.
            most_draws: of the summary.
        """
        if done > 1 and 4 * done >= 3 * planned:
            return planned
        slower = took / self.seconds(done, 0)
        now = Speed(0.0, slower * self.round, slower * self.draw)
        rounds = done + max(0, now._fitting(left, most_draws))
        return planned if abs(rounds - planned) <= 0.1 * planned else rounds

    def shortest(self, *, most_draws: int) -> float:
        """Seconds into which `LEAST_ROUNDS` fit by `rounds_in`."""
        rounds = self.seconds(LEAST_ROUNDS, 0)
        with_least = (rounds + min(LEAST_DRAWS, most_draws) * self.draw) / _PLANNED
        with_share = rounds / (_PLANNED - _SUMMARY)
        with_most = (rounds + most_draws * self.draw) / _PLANNED
        return max(with_least, min(with_share, with_most))


def draws_in(seconds: float, draw: float, *, most: int) -> int:
    """Draws of the summary that fit into a time, not below `LEAST_DRAWS` nor above `most`.

    Args:
        seconds: there are; none or fewer where time is out.
        draw: seconds of one.
        most: draws.
    """
    return min(most, max(LEAST_DRAWS, int(seconds / draw)))


def sensible_minutes(seconds: float) -> int:
    """Minutes, rounded up: to fives from ten minutes on, to tens from an hour on.

    >>> sensible_minutes(61), sensible_minutes(1441), sensible_minutes(3700)
    (2, 25, 70)
    """
    minutes = math.ceil(seconds / 60)
    step = 1 if minutes <= 10 else 5 if minutes <= 60 else 10
    return step * math.ceil(minutes / step)


def shortfall(minutes: float, rounds: int, speed: Speed, *, spent: float, most_draws: int) -> str | None:
    """That so many minutes are too few to anneal in, in words; None where they are not.

    Args:
        minutes: asked for.
        rounds: that fit.
        speed: of training from now on.
        spent: seconds so far.
        most_draws: of the summary.
    """
    if rounds >= LEAST_ROUNDS:
        return None
    needed = sensible_minutes(spent + speed.shortest(most_draws=most_draws))
    fitting, then = "1 round" if rounds == 1 else f"{rounds} rounds", ""
    alone = spent + speed.seconds(1, min(LEAST_DRAWS, most_draws))
    if alone > 60 * minutes:
        fitting = f"less than 1 round, which with its summary takes about {sensible_minutes(alone)},"
        then = "; one round is trained all the same"
    return (
        f"{minutes:g} minutes are {fitting} on this machine, as busy as it is now; annealing needs about "
        f"{LEAST_ROUNDS}: stop it and give `--minutes {needed}` or more{then}"
    )
