"""Statistics say what the samples themselves say, and are the same however they were put together."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import boltzgen
from boltzgen.free_energy.weight_summary import weight_summary
from boltzgen.molecule.system import System
from boltzgen.molecule.torsional import counted_states
from boltzgen.samples.file import iter_samples, read_header
from boltzgen.samples.quantity import quantity
from boltzgen.samples.shards import BLOCK
from boltzgen.samples.sizes import radius_of_gyration
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.statistics import statistics as statistics_module
from boltzgen.statistics.estimates import Estimates
from boltzgen.statistics.file import is_statistics, load_statistics, save_statistics
from boltzgen.statistics.statistics import Statistics
from boltzgen.weights import k_hat_of_tail, normalized_weights, weighted_mean
from tests.helpers.posing import made_up_samples
from tests.helpers.statistics import ALONG, N, assert_same


def begun(system: System, n: int = N, **options: object) -> Statistics:
    return Statistics.begin(
        system, 300.0, n=n, seed=3, generator="a generator", along=ALONG, pairs=[("psi", "phi")], **options
    )


def test_weights_are_summed_up_as_those_of_samples(whole: Statistics, drawn: WeightedSamples) -> None:
    found, expected = Estimates(whole).weights, weight_summary(drawn.log_w)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-12), name


@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_populations_have_the_intervals_of_samples(system: System, spread: float) -> None:
    samples = made_up_samples(system, 5_000, spread=spread)
    statistics = begun(system, len(samples))
    statistics.add(samples, 0)
    found = Estimates(statistics).populations()
    expected = {"basin": samples.populations()} | samples.region_populations() | samples.rotamer_populations()
    assert found.keys() == expected.keys()
    for group, rows in expected.items():
        for mine, its in zip(found[group], rows, strict=True):
            assert (mine.name, mine.n_raw, mine.is_upper_bound) == (its.name, its.n_raw, its.is_upper_bound)
            for name in ("population", "low", "high", "n_effective", "delta_f_kT", "delta_f_low"):
                expected_value = getattr(its, name)
                if expected_value is not None:
                    expected_value = pytest.approx(expected_value, rel=1e-9)
                assert getattr(mine, name) == expected_value, (group, name)


def test_the_tail_of_a_state_is_its_largest_weights(
    system: System, drawn: WeightedSamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more draws than are kept, k-hat is of those that are."""
    monkeypatch.setattr(statistics_module, "STATE_TAIL", 50)
    monkeypatch.setattr("boltzgen.statistics.estimates.STATE_TAIL", 50)
    statistics = begun(system)
    statistics.add(drawn, 0)
    labels = system_labels(system, drawn)
    for k, row in enumerate(Estimates(statistics).sums("basin").inside):
        log_w = np.sort(drawn.log_w.numpy()[labels == k])
        log_w = log_w[np.isfinite(log_w)]
        if len(log_w) > 1_000:
            assert row.k_hat == pytest.approx(k_hat_of_tail(log_w[-51:]), rel=1e-9)


def system_labels(system: System, samples: WeightedSamples) -> np.ndarray:
    return counted_states(system)["basin"].labels(samples.x)


def test_means_and_errors_are_those_of_samples(
    whole: Statistics, drawn: WeightedSamples, system: System
) -> None:
    found, weights = Estimates(whole), normalized_weights(drawn.log_w).numpy()
    assert found.mean("radius_of_gyration") == pytest.approx(
        weighted_mean(radius_of_gyration(drawn).numpy(), weights), rel=1e-9
    )
    for text in ALONG:
        expected = weighted_mean(quantity(text, system)(drawn).numpy(), weights)
        # An error far below the mean is a difference of sums that are nearly equal.
        assert found.mean(text) == pytest.approx(expected, rel=1e-9, abs=1e-8 * abs(expected[0]))


@pytest.mark.parametrize("seed", range(3))
def test_any_order_and_grouping_of_blocks_gives_the_same_digits(
    system: System, drawn: WeightedSamples, whole: Statistics, seed: int
) -> None:
    blocks = [(start, drawn[start : start + BLOCK]) for start in range(0, N, BLOCK)]
    rng = np.random.default_rng(seed)
    parts = []
    for group in np.array_split(rng.permutation(len(blocks)), seed + 2):
        part = begun(system)
        for k in group:
            part.add(blocks[k][1], blocks[k][0])
        parts.append(part)
    while len(parts) > 1:  # a tree
        parts[0].merge(parts.pop())
        parts = parts[1:] + parts[:1]
    assert_same(parts[0], whole, but=("draws",))
    assert parts[0].n == whole.n == N
    assert Estimates(parts[0]).weights == Estimates(whole).weights


def test_a_file_holds_all_of_it(whole: Statistics, tmp_path: Path) -> None:
    save_statistics(whole, tmp_path / "again.h5")
    again = load_statistics(tmp_path / "again.h5")
    assert_same(again, whole)
    assert (again.header.seed, again.header.generator, again.header.temperature) == (3, "a generator", 300.0)
    assert again.header.ranges == ((0, N),)
    assert is_statistics(tmp_path / "again.h5")
    assert boltzgen.load_statistics(tmp_path / "again.h5").n == N


def test_a_molecule_of_many_states(tmp_path: Path) -> None:
    system = System.load("alanine_tetrapeptide")
    noise = 0.01 * torch.randn(100, system.n_atoms, 3, generator=torch.Generator().manual_seed(0))
    zero = torch.zeros(100, dtype=torch.float64)
    samples = WeightedSamples.from_energies(system.positions.float() + noise, zero, zero, system)
    statistics = Statistics.begin(system, 300.0, n=100, seed=0, generator="")
    statistics.add(samples, 0)
    save_statistics(statistics, tmp_path / "s.h5")
    again = load_statistics(tmp_path / "s.h5")
    assert_same(again, statistics)
    assert len(again.plan.pairs) == 3
    found = Estimates(again).populations()
    assert len(found) == 3
    assert all(math.isclose(sum(row.population for row in rows), 1.0) for rows in found.values())


def test_statistics_are_no_samples(whole_file: Path) -> None:
    with pytest.raises(ValueError, match="holds statistics of draws and no conformations"):
        read_header(whole_file)
    with pytest.raises(ValueError, match="holds statistics"):
        list(iter_samples(whole_file))


def test_draws_count_once(system: System, drawn: WeightedSamples) -> None:
    statistics = begun(system)
    statistics.add(drawn[:BLOCK], 0)
    before = statistics.pack()["cells_count"].copy()
    with pytest.raises(ValueError, match="draws 1000 to 2048 are there twice"):
        statistics.add(drawn[:BLOCK], 1_000)
    assert np.array_equal(statistics.pack()["cells_count"], before)
    assert statistics.n == BLOCK


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": N + 1}, "another whole number of draws"),
        ({"seed": 4}, "another seed cannot be put together: 3 and 4"),
        ({"generator": "another"}, "another generator"),
        ({"temperature": 310.0}, "another temperature"),
        ({"along": ()}, "other surfaces or quantities"),
        ({"pairs": ()}, "other surfaces or quantities"),
    ],
)
def test_others_are_refused(system: System, changes: dict[str, object], message: str) -> None:
    options = {"n": N, "seed": 3, "generator": "a generator", "along": ALONG, "pairs": [("psi", "phi")]}
    temperature = changes.get("temperature", 300.0)
    options |= {k: v for k, v in changes.items() if k != "temperature"}
    other = Statistics.begin(system, temperature, **options)
    with pytest.raises(ValueError, match=message):
        begun(system).merge(other)


def test_a_quantity_that_is_no_number_is_refused(system: System, drawn: WeightedSamples) -> None:
    statistics = Statistics.begin(system, 300.0, n=N, seed=0, generator="", along=["log(cos(phi))"])
    with pytest.raises(ValueError, match="is not a finite number"):
        statistics.add(drawn[:BLOCK], 0)
    huge = Statistics.begin(system, 300.0, n=N, seed=0, generator="", along=["exp(500 + 0 * phi)"])
    with pytest.raises(ValueError, match="too large to be averaged"):
        huge.add(drawn[:BLOCK], 0)


def test_draws_without_any_weight_say_so(system: System, drawn: WeightedSamples) -> None:
    none = WeightedSamples.from_energies(drawn.x[:50], torch.full((50,), torch.inf), torch.zeros(50), system)
    statistics = Statistics.begin(system, 300.0, n=50, seed=0, generator="")
    statistics.add(none, 0)
    with pytest.raises(ValueError, match="all 50 weights are zero"):
        Estimates(statistics)


def test_damage_is_seen(whole_file: Path, tmp_path: Path, write: Callable[..., Path]) -> None:
    content = whole_file.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for k in rng.integers(0, len(content), 60).tolist():
        broken = bytearray(content)
        broken[k] ^= 0xFF
        (tmp_path / "broken.h5").write_bytes(broken)
        try:
            assert_same(load_statistics(tmp_path / "broken.h5"), load_statistics(whole_file))
        except ValueError:
            refused += 1
    assert refused > 40  # what is left are bytes that hold nothing
    (tmp_path / "cut.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="cut off"):
        load_statistics(tmp_path / "cut.h5")
    with pytest.raises(FileNotFoundError, match="no statistics at"):
        load_statistics(tmp_path / "none.h5")
    write(tmp_path / "samples.h5", statistics=False)
    with pytest.raises(ValueError, match="holds no statistics"):
        load_statistics(tmp_path / "samples.h5")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("draws", lambda a: a + 1),
        ("ranges", lambda a: a + 1),
        ("ranges", lambda a: np.concatenate([a, a])),
        ("cells_count", lambda a: -a),
        ("cells_count", lambda a: a * 2),
        ("cells_weight", lambda a: a[:-1]),
        ("cells_weight", lambda a: a.astype(np.float64)),
        ("cells_weight", lambda a: np.full_like(a, 2**62)),
        ("pairs_cell", lambda a: a[::-1]),
        ("pairs_cell", lambda a: a + 10**7),
        ("pairs_count", lambda a: a[:-1]),
        ("places", lambda a: a + 2**50),
        ("largest", lambda a: a * np.nan),
        ("largest", lambda a: a[1:]),
        ("tails", lambda a: a[1:]),
        ("tails_count", lambda a: a - 1),
    ],
)
def test_numbers_that_cannot_be_are_refused(
    system: System, whole: Statistics, name: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    held = whole.pack()
    held[name] = change(held[name])
    with pytest.raises(ValueError):
        begun(system).unpack(held)
