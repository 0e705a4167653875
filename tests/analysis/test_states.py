"""States of samples in memory and in a file."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from boltzgen.analysis.quantity import quantity
from boltzgen.analysis.states import state_energies
from boltzgen.analysis.states_report import StatesReport
from boltzgen.free_energy.state_energies import StateEnergies
from boltzgen.molecule.basins import Basin
from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from tests.helpers.posing import made_up_samples


@pytest.fixture(scope="module")
def samples(alanine: System) -> WeightedSamples:
    return made_up_samples(alanine, 3000)


@pytest.fixture(scope="module")
def file(samples: WeightedSamples, alanine: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples") / "s.h5"
    with SamplesWriter(path, alanine, 310.0) as writer:
        writer.write(samples[:1700])
        writer.write(samples[1700:])
    return path


def test_basins_by_default(samples: WeightedSamples) -> None:
    found = state_energies(samples)
    expected = samples.populations()
    assert found.names == tuple(b.name for b in expected)
    assert [row.population.value for row in found.rows] == pytest.approx([b.population for b in expected])
    assert found.temperature == 300.0
    assert found.difference("C7eq", "alphaR").low == samples.free_energy_difference("C7eq", "alphaR").low


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"states": ["left: phi > 0", Basin("helix", psi=(-100, 50))]},
        {"find": True},
        {"torsions": ["psi"]},
    ],
)
def test_a_file_gives_what_its_samples_do(samples: WeightedSamples, file: Path, options: dict) -> None:
    whole, read = state_energies(samples, **options, temperature=310.0), state_energies(file, **options)
    assert whole.names == read.names
    assert (whole.temperature, read.temperature, whole.notes) == (310.0, 310.0, read.notes)
    assert np.array_equal(whole.labels, read.labels)
    assert np.array_equal(whole.log_w, read.log_w)


@pytest.fixture(scope="module")
def seeds(alanine: System, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("seeds")
    for seed in (4, 5):
        made_up_samples(alanine, 3000, seed).save(folder / f"{seed}.h5", temperature=300.0)
    return [folder / "4.h5", folder / "5.h5"]


def test_files_are_pooled_and_compared(alanine: System, seeds: list[Path]) -> None:
    drawn = [made_up_samples(alanine, 3000, seed) for seed in (4, 5)]
    found, whole = state_energies(seeds), state_energies(WeightedSamples.concatenate(drawn))
    assert np.array_equal(found.labels, whole.labels) and np.array_equal(found.log_w, whole.log_w)
    assert found.u is not None and whole.u is not None and np.array_equal(found.u, whole.u)
    assert found.series == ((str(seeds[0]), (0, 3000)), (str(seeds[1]), (3000, 6000)))
    tested = {row.name: row for row in found.agreement}
    for k, one in enumerate(drawn):
        for basin in one.populations():
            assert tested[basin.name].populations[k] == pytest.approx(basin.population)
    report = StatesReport(found)
    assert report.agreement.startswith("the samples agree in")
    assert report.agreement not in report.warnings
    assert report.to_dict()["series"] == [str(path) for path in seeds]
    assert whole.agreement == [] and StatesReport(whole).agreement == ""


def test_samples_that_do_not_agree_are_warned_of(seeds: list[Path]) -> None:
    found = state_energies(seeds)
    # The second half is of another distribution: half of its C7eq is elsewhere.
    labels = found.labels.copy()
    moved = 3000 + np.flatnonzero(labels[3000:] == found.names.index("C7eq"))[::2]
    labels[moved] = found.names.index("C5")
    report = StatesReport(replace(found, labels=labels))
    assert report.agreement.startswith("the samples do not agree in ") and "C7eq" in report.agreement
    assert report.warnings[0] == report.agreement


def test_states_of_ones_own(samples: WeightedSamples) -> None:
    found = state_energies(samples, states=["left: phi > 0", "helix: between(psi, -100, 50)"])
    left = samples.expectation(lambda s: s.torsion("phi") > 0)
    helix = samples.expectation(lambda s: (s.torsion("phi") <= 0) & (s.torsion("psi") < math.radians(50)))
    assert [row.population.value for row in found.rows] == pytest.approx([left.value, helix.value])
    assert found.rows[0].population.error == pytest.approx(left.error)


def test_states_name_what_profiles_are_along(samples: WeightedSamples, file: Path) -> None:
    """One text for a state and for a number, of samples in memory and of a file; and what is not there."""
    text = "distance(ACE1:O, NME3:H)"
    values = quantity(text, samples.system)(samples)
    limit = float(values.median())
    found = state_energies(file, states=[f"near: {text} < {limit} and radius_of_gyration > 0.01"])
    expected = samples.expectation(values < limit)
    assert found.rows[0].population.value == pytest.approx(expected.value, abs=1e-3)
    with pytest.raises(ValueError, match="no atom called 'O9'"):
        state_energies(file, states=["near: distance(O9, NME3:H) < 1"])


def test_states_are_found(samples: WeightedSamples) -> None:
    found = state_energies(samples, find=True)
    assert found.names[:2] == ("C7eq", "alphaR")
    assert "phi, psi, parted by barriers of 1 kT" in found.notes[0]
    alone = state_energies(samples, torsions=["phi"], barrier=2.0)
    assert alone.names[0] == "S1"
    assert "wells of phi, parted by barriers of 2 kT" in alone.notes[0]


def test_what_is_refused(samples: WeightedSamples, file: Path) -> None:
    bare = WeightedSamples(samples.x, samples.u, samples.log_q, samples.log_w)
    for source, options, message in (
        (samples, {"states": ["a: phi > 0"], "find": True}, "not both"),
        (samples, {"states": ["a: chi1 > 0"]}, "'chi1' that this molecule has not"),
        (samples, {"states": ["a: phi > 0"] * 2}, "different names"),
        (bare, {}, "set `system`"),
        (file, {"temperature": 300.0}, "leave out `temperature`"),
    ):
        with pytest.raises(ValueError, match=message):
            state_energies(source, **options)
    with pytest.raises(FileNotFoundError):
        state_energies(file.with_name("none.h5"))


def test_a_single_state_is_warned_of() -> None:
    """That nothing parts the draws may be all that few of them can show."""
    one = StatesReport(StateEnergies(np.zeros(600, int), np.zeros(600), ("a",), 300.0))
    two = StatesReport(StateEnergies(np.arange(600) % 2, np.zeros(600), ("a", "b"), 300.0))
    assert one.warnings[0].startswith("all draws are in one state, a: nothing parts them")
    assert two.warnings == ()
