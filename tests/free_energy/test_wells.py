"""Wells of densities on the torus whose wells are known."""

import math

import numpy as np
import pytest

from boltzgen.free_energy.wells import find_wells


def draws(
    centres: list[tuple[float, ...]], counts: list[int], seed: int = 0, width: float = 15.0
) -> np.ndarray:
    """Normal clouds about centres [degrees], wrapped, (n, d) in radians."""
    rng = np.random.default_rng(seed)
    found = np.concatenate([rng.normal(c, width, (n, len(c))) for c, n in zip(centres, counts, strict=True)])
    return np.radians((found + 180.0) % 360.0 - 180.0)


@pytest.mark.parametrize(
    ("centres", "counts"),
    [
        ([(60.0,), (180.0,), (-60.0,)], [500, 3000, 1500]),
        ([(-80.0, 70.0), (-70.0, -40.0), (60.0, -150.0)], [5000, 2000, 100]),
        ([(-180.0, -175.0), (0.0, 0.0)], [2000, 1000]),  # across both edges of the picture
        ([(60.0, 60.0, 180.0), (180.0, 180.0, 180.0)], [3000, 1500]),
    ],
)
def test_clouds_are_wells(centres: list[tuple[float, ...]], counts: list[int]) -> None:
    angles = draws(centres, counts)
    wells = find_wells(angles, np.full(len(angles), 3.0))
    order = np.argsort(-np.array(counts))
    assert len(wells.minima) == len(centres)
    assert wells.populations == pytest.approx(np.array(counts)[order] / sum(counts), abs=0.01)
    away = np.abs(np.angle(np.exp(1j * (wells.minima - np.radians(np.array(centres)[order])))))
    assert away.max() < np.radians(12.0)
    own = np.argsort(order)[np.repeat(np.arange(len(counts)), counts)]
    assert np.mean(wells.labels(angles) == own) > 0.99


def test_weights_count() -> None:
    """Two clouds of as many draws; under the weights one of them is gone, or as small as the weights say."""
    angles = draws([(60.0,), (180.0,)], [2000, 2000])
    light = np.repeat([1.0, 0.1], 2000)
    assert find_wells(angles, light).populations == pytest.approx([10 / 11, 1 / 11], abs=0.01)
    assert len(find_wells(angles, np.repeat([1.0, 0.0], 2000)).minima) == 1


def test_where_the_circle_is_cut_does_not_matter() -> None:
    """A skewed cloud across the cut, and turned away from it by 40 of the 120 cells: the same wells."""
    rng = np.random.default_rng(5)
    angle = np.radians(np.concatenate([177.0 + 6.0 * rng.exponential(1.0, 3000), rng.normal(60, 15, 1000)]))
    cut, turned = (
        find_wells(np.angle(np.exp(1j * (angle + shift)))[:, None], np.ones(4000))
        for shift in (0.0, np.radians(120.0))
    )
    assert np.array_equal(np.roll(cut.grid, 40), turned.grid)
    assert np.exp(1j * (cut.minima + np.radians(120.0))) == pytest.approx(np.exp(1j * turned.minima))


def test_a_low_barrier_parts_no_wells() -> None:
    """p ~ exp(a cos 2t): wells at 0 and 180 degrees, parted by 2 a kT."""
    rng = np.random.default_rng(3)
    t = rng.uniform(-math.pi, math.pi, 200_000)
    for a, expected in ((0.3, 1), (0.8, 2)):
        weights = np.exp(a * np.cos(2 * t))
        assert len(find_wells(t[:, None], weights).minima) == expected
    assert len(find_wells(t[:, None], np.exp(0.3 * np.cos(2 * t)), barrier=0.3).minima) == 2


def test_a_few_draws_are_no_well() -> None:
    angles = draws([(60.0, 60.0), (-120.0, -120.0)], [2000, 5])
    wells = find_wells(angles, np.ones(len(angles)))
    assert len(wells.minima) == 1
    assert set(wells.labels(angles)) == {0}
    assert len(find_wells(angles, np.ones(len(angles)), min_effective=3.0).minima) == 2


def test_draws_without_weight_may_be_anywhere() -> None:
    angles = draws([(60.0,)], [100])
    angles[0] = math.nan
    weights = np.ones(100)
    weights[0] = 0.0
    wells = find_wells(angles, weights)
    assert wells.labels(angles).tolist() == [0] * 100


@pytest.mark.parametrize(
    ("angles", "weights", "options", "message"),
    [
        (np.zeros((5, 4)), np.ones(5), {}, "1 to 3 torsions"),
        (np.zeros((5, 1)), np.ones(4), {}, "weights \\(n,\\)"),
        (np.zeros((5, 1)), np.zeros(5), {}, "all weights are zero"),
        (np.zeros((5, 1)), np.ones(5), {"barrier": 0.0}, "`barrier`"),
    ],
)
def test_wrong_input(
    angles: np.ndarray, weights: np.ndarray, options: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        find_wells(angles, weights, **options)
