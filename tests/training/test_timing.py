"""The time that training takes, and what the results page says that it gives."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from boltzgen.molecule.system import System
from boltzgen.samples.shards import BLOCK
from boltzgen.training import timing
from boltzgen.training.measured import MEASURED, MOLECULES, expectation, like
from boltzgen.training.ranks import Ranks
from boltzgen.training.settings import Settings
from boltzgen.training.timing import training_speed
from tests.helpers.ranks import on_ranks

ROOT = Path(__file__).parents[2]


def test_measured_values_are_those_of_the_results() -> None:
    """Every row of the table of four minutes, and the other two by their sentences."""
    rows = re.findall(
        r"^\| ([A-Z]+) \| \d+ \| (\d+) \| (\d+) \| [\d,]+ \| \d+ "
        r"\| ([\d.e+]+) \| [\d.]+ \| ([\d.]+) \|",
        (ROOT / MOLECULES).read_text(),
        re.MULTILINE,
    )
    table = {name: (int(a) + int(b), float(e), float(efficiency)) for name, a, b, e, efficiency in rows}
    assert len(table) == 20
    assert {
        m.molecule: (m.coordinates, m.energies, m.efficiency) for m in MEASURED if m.minutes == 4
    } == table
    for measured in MEASURED:
        if measured.minutes != 4:
            text = " ".join((ROOT / measured.page).read_text().split())
            assert f"{measured.efficiency:g} % " in text


@pytest.mark.parametrize(
    ("coordinates", "text"),
    [
        (60, "83.4 to 97.4 % (median 91.7 %) after 1.2 to 2 million energies (13 peptides of 51 to 69 "),
        (
            100,
            "41.4 % after 1.5 million energies (TRP of 85 coordinates, docs/results/molecules.md); 87 % "
            "after 9.7 million energies (alanine tetrapeptide of 98 coordinates, ",
        ),
        (150, "7.4 % after 8.1 million energies (hexapeptide of 148 coordinates"),
        (12, "not measured for 12 flow coordinates"),
        (400, "not measured for 400 flow coordinates"),
    ],
)
def test_what_is_expected_is_what_was_measured(coordinates: int, text: str) -> None:
    said = expectation(coordinates)
    assert said.startswith(text)
    # The minutes were another machine's; and likeness is that of a number.
    assert "minutes" not in said
    assert not like(coordinates) or said.endswith("alike in their number of coordinates alone; no promise")
    assert all(0.8 < m.coordinates / coordinates < 1.25 for m in like(coordinates))


def test_an_estimate_counts_the_making_of_a_generator(
    alanine: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that ticks with every look at it."""
    seconds = iter(range(10**6))
    monkeypatch.setattr("boltzgen.training.timing._now", lambda _: float(next(seconds)))
    found = training_speed(alanine, Settings(rounds=10, steps=7, batch=64, walkers=128))
    # A round is looked at after each of its three steps, and at its end. It begins hot: walkers only descend.
    assert (found.round, found.draw) == (4.0 + (7 - 3), pytest.approx(1.08 / BLOCK + 1.75 * 2 / BLOCK))
    assert found.start == 1.0 + 128 * 2 / BLOCK * 100


@pytest.mark.parametrize(("first", "times"), [(9.0, 2), (11.0, 1)], ids=["short", "long"])
def test_ranks_time_a_round_as_often_as_each_other(
    monkeypatch: pytest.MonkeyPatch, first: float, times: int
) -> None:
    """The first rank's clock decides whether a round took long; the other's says the opposite."""

    def once(work: Callable[[], float], _: torch.device) -> float:
        return work()

    monkeypatch.setattr("boltzgen.training.timing._once", once)
    counts = [0, 0]

    def work(ranks: Ranks) -> float:
        def of_round() -> float:
            ranks.total(torch.tensor(1))
            counts[ranks.rank] += 1
            return first if ranks.rank == 0 else 20.0 - first

        return timing._timed(of_round, torch.device("cpu"), ranks)

    assert on_ranks(2, work) == [first, 20.0 - first]
    assert counts == [times, times]
