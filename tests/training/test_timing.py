"""The time that training takes, and what the results page says that it gives."""

import re
from pathlib import Path

import pytest

from boltzgen.generator.generator import BLOCK
from boltzgen.molecule.system import System
from boltzgen.training.measured import MEASURED, MOLECULES, expectation, like
from boltzgen.training.settings import Settings
from boltzgen.training.timing import training_seconds

ROOT = Path(__file__).parents[2]


def test_measured_values_are_those_of_the_results() -> None:
    """Every row of the table of four minutes, and the other two by their sentences."""
    rows = re.findall(
        r"^\| ([A-Za-z ]+)(?:, commit \w+)? \| \d+ \| (\d+) \| (\d+) \| [\d,]+ "
        r"\| [\d.e+]+ \| [\d.]+ \| ([\d.]+) \|",
        (ROOT / MOLECULES).read_text(),
        re.MULTILINE,
    )
    table = {name: (int(a) + int(b), float(efficiency)) for name, a, b, efficiency in rows}
    assert len(table) == 22
    assert {m.molecule: (m.coordinates, m.efficiency) for m in MEASURED if m.minutes == 4} == table
    for measured in MEASURED:
        if measured.minutes != 4:
            text = " ".join((ROOT / measured.page).read_text().split())
            assert f"{measured.efficiency:g} % " in text


@pytest.mark.parametrize(
    ("coordinates", "text"),
    [
        (60, "51.3 to 95.5 % (median 83 %) after 4 minutes: 13 peptides of 51 to 69 coordinates, "),
        (
            100,
            "40.5 % after 4 minutes: TRP of 85 coordinates, docs/results/molecules.md; 64 % after 58 minutes",
        ),
        (150, "0.1 % after 4 minutes: hexapeptide of 148 coordinates"),
        (12, "not measured for 12 flow coordinates"),
        (400, "not measured for 400 flow coordinates"),
    ],
)
def test_what_is_expected_is_what_was_measured(coordinates: int, text: str) -> None:
    assert expectation(coordinates).startswith(text)
    assert all(0.8 < m.coordinates / coordinates < 1.25 for m in like(coordinates))


def test_an_estimate_is_that_of_all_rounds(alanine: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that ticks with every look at it: rounds, steps and draws count."""
    seconds = iter(range(10**6))
    monkeypatch.setattr("boltzgen.training.timing._now", lambda _: float(next(seconds)))
    small = Settings(rounds=10, steps=7, batch=64)
    # A short round is looked at once after each of its three steps, and at its end; of those that are timed
    # every look takes a second, as the generator's making does and a block of draws.
    each = 4.0 + (7 - 3) * 1.0
    assert training_seconds(alanine, small, validation=0) == 1.0 + 10 * each
    assert training_seconds(alanine, small, validation=100 * BLOCK) == 1.0 + 10 * each + 100.0
