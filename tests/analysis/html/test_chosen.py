"""Which conformations a page shows."""

import numpy as np
import pytest
import torch

from boltzgen.analysis.html.chosen import MOST, Chooser, Chosen

N = 30_000


def choose(
    log_w: np.ndarray,
    states: dict[str, np.ndarray] | None = None,
    angles: np.ndarray | None = None,
    *,
    chunk: int = N,
    n_atoms: int = 2,
) -> Chosen:
    """Choose from conformations whose first coordinate is their number."""
    x = torch.zeros(len(log_w), n_atoms, 3)
    x[:, 0, 0] = torch.arange(len(log_w))
    chooser = Chooser(n_atoms)
    for start in range(0, len(log_w), chunk):
        part = slice(start, start + chunk)
        labels = {name: column[part] for name, column in (states or {}).items()}
        pairs = [] if angles is None else [(angles[0, part], angles[1, part])]
        chooser.add(x[part], torch.from_numpy(log_w[part]), labels, pairs)
        assert chooser.n_held <= MOST + 12 * 40 + 18**2
    return chooser.chosen()


def test_positions_belong_to_their_index_however_the_file_is_cut() -> None:
    rng = np.random.default_rng(1)
    log_w, states = rng.standard_normal(N), {"basin": rng.integers(-1, 4, N)}
    angles = rng.uniform(-np.pi, np.pi, (2, N))
    whole, parts = (choose(log_w, states, angles, chunk=chunk) for chunk in (N, 1234))
    assert len(whole) == MOST == len(set(whole.index.tolist()))
    np.testing.assert_array_equal(whole.x[:, 0, 0], whole.index)
    np.testing.assert_array_equal(whole.index, parts.index)
    np.testing.assert_array_equal(whole.x, parts.x)


def test_heavy_conformations_are_chosen_in_proportion() -> None:
    heavy = np.arange(N) % 2 == 0
    found = choose(np.where(heavy, np.log(3.0), 0.0))
    # A share of 3/4, whose standard deviation is 0.025.
    assert abs(heavy[found.index].mean() - 0.75) < 0.1


def test_every_state_is_shown_whatever_it_weighs() -> None:
    state = np.zeros(N, int)
    state[[5, 20_000]] = 1
    state[77] = 2
    log_w = np.where(state == 0, 0.0, -20.0)
    found = choose(log_w, {"basin": state}, chunk=5000)
    assert {5, 77, 20_000} <= set(found.index.tolist())
    # None of them by its weight alone.
    assert not {5, 77, 20_000} & set(choose(log_w).index.tolist())


def test_many_states_leave_room_for_the_others() -> None:
    rng = np.random.default_rng(2)
    states = {f"chi{k}": rng.integers(0, 2, N) for k in range(20)}
    rare = np.zeros(N, int)
    rare[123] = 1
    found = choose(np.zeros(N), states | {"last": rare})
    assert 123 in found.index
    assert len(found) == MOST


def test_corners_of_a_surface_are_shown() -> None:
    angles = np.full((2, N), 0.1)
    angles[:, 4321] = -3.0, 3.0
    found = choose(np.where(np.arange(N) == 4321, -20.0, 0.0), angles=angles)
    assert 4321 in found.index


def test_weightless_conformations_are_never_shown() -> None:
    log_w = np.full(N, -np.inf)
    log_w[[3, 9]] = 0.0
    found = choose(log_w, {"basin": np.zeros(N, int)}, np.full((2, N), np.nan), chunk=100)
    assert found.index.tolist() == [3, 9]


@pytest.mark.parametrize(("n_atoms", "expected"), [(22, 300), (400, 100), (5000, 60)])
def test_of_large_molecules_fewer_are_shown(n_atoms: int, expected: int) -> None:
    assert len(choose(np.zeros(500), n_atoms=n_atoms)) == expected
