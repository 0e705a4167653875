"""F, U, -T S and the heat capacity of harmonic oscillators, and their correlated errors."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from boltzgen.free_energy.result import Result, warnings_of
from boltzgen.free_energy.state_functions import (
    energy,
    free_energy,
    heat_capacity,
    log_z,
    minus_ts,
    overlap_warnings,
)

N_DIMS, WIDTH, N = 4, 1.1, 3000
LOG_Z = N_DIMS / 2 * math.log(2 * math.pi)
EXACT = {"F": -LOG_Z, "U": N_DIMS / 2, "-T S": -LOG_Z - N_DIMS / 2, "C": N_DIMS / 2}


def drawn(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """u and log_w of draws that are 1.1 times too wide."""
    z = np.random.default_rng(seed).standard_normal((N, N_DIMS))
    square = np.square(z).sum(1)
    u = 0.5 * WIDTH**2 * square
    return u, -u + 0.5 * square + N_DIMS * math.log(WIDTH * math.sqrt(2 * math.pi))


def estimated(u: np.ndarray, log_w: np.ndarray, errors: str) -> dict[str, Result]:
    options: dict = {"errors": errors, "seed": 0}
    return {
        "F": free_energy(log_w, **options),
        "U": energy(u, log_w, **options),
        "-T S": minus_ts(u, log_w, **options),
        "C": heat_capacity(u, log_w, **options),
    }


def by_hand(u: np.ndarray, log_w: np.ndarray) -> dict[str, float]:
    w = np.exp(log_w)
    f, mean = -math.log(w.mean()), np.average(u, weights=w)
    return {"F": f, "U": mean, "-T S": f - mean, "C": np.average((u - mean) ** 2, weights=w)}


@pytest.mark.parametrize("errors", ["analytic", "bootstrap"])
def test_values_and_errors(errors: str) -> None:
    """The errors are the scatter over 400 samples of values computed by hand."""
    samples = [by_hand(*drawn(seed)) for seed in range(400)]
    u, log_w = drawn(0)
    for name, found in estimated(u, log_w, errors).items():
        assert found.value == pytest.approx(samples[0][name], rel=1e-3 if name == "C" else 1e-9), name
        assert found.error == pytest.approx(np.std([s[name] for s in samples]), rel=0.15), name
        assert found.low < EXACT[name] < found.high, name
        assert found.high - found.low == pytest.approx(2 * 1.96 * found.error, rel=0.12), name
        assert found.is_trusted and found.notes
        assert found.unit == ("k" if name == "C" else "kT")


def test_the_heat_capacity_of_few_draws_is_not_too_low() -> None:
    """Of five draws the variance without its correction would be a fifth too low."""
    rng = np.random.default_rng(0)
    values = [heat_capacity(rng.standard_normal(5), np.zeros(5)).value for _ in range(300)]
    assert np.mean(values) == pytest.approx(1.0, abs=0.12)


def test_minus_ts_is_the_difference_with_correlated_errors() -> None:
    found = estimated(*drawn(1), "analytic")
    assert found["-T S"].value == pytest.approx(found["F"].value - found["U"].value)
    assert found["-T S"].error != pytest.approx(math.hypot(found["F"].error, found["U"].error), rel=0.05)


@pytest.mark.parametrize("make", [free_energy, lambda w, **o: energy(drawn()[0], w, **o)])
def test_units(make: Callable[..., Result]) -> None:
    found = make(drawn()[1], temperature=300.0)
    assert found.to("kJ/mol").value == pytest.approx(2.494339 * found.value, rel=1e-6)


def test_a_constant_in_u_moves_f_and_u_alike() -> None:
    u, log_w = drawn(2)
    plain, shifted = estimated(u, log_w, "analytic"), estimated(u + 700.0, log_w - 700.0, "analytic")
    for name, by in {"F": 700.0, "U": 700.0, "-T S": 0.0, "C": 0.0}.items():
        assert shifted[name].value - plain[name].value == pytest.approx(by, abs=1e-8), name
        assert shifted[name].error == pytest.approx(plain[name].error, rel=1e-5), name


def test_draws_outside_the_domain_count_in_z() -> None:
    u, log_w = drawn(3)
    padded = np.append(u, np.full(N, np.inf)), np.append(log_w, np.full(N, -np.inf))
    for errors in ("analytic", "bootstrap"):
        plain, found = estimated(u, log_w, errors), estimated(*padded, errors)
        assert found["F"].value == pytest.approx(plain["F"].value + math.log(2))
        assert found["F"].error > 2 * plain["F"].error
        assert found["U"].value == pytest.approx(plain["U"].value)


def test_a_perfect_generator_has_no_error_of_f() -> None:
    found = free_energy(np.full(100, 3.0))
    assert (found.value, found.error, found.low, found.high) == (-3.0, 0.0, -3.0, -3.0)


@pytest.mark.parametrize("errors", ["analytic", "bootstrap"])
def test_weights_that_look_light_are_not_trusted(errors: str) -> None:
    """Of oscillators drawn too narrow F is far off, and the weights of some repetitions do not show it."""
    exact, silent, off = -3 * math.log(2 * math.pi), 0, 0
    for seed in range(20):
        square = np.square(np.random.default_rng([0, seed]).standard_normal((1000, 6))).sum(1)
        log_w = -0.5 * (0.36 - 1.0) * square + 6 * math.log(0.6 * math.sqrt(2 * math.pi))
        found = free_energy(log_w, errors=errors)
        assert found.warnings and log_z(log_w).warnings
        if not warnings_of(log_w):
            silent += 1
            off += found.value > exact + 2 * found.error
            assert "how far the generator is from the target" in "".join(free_energy(log_w).warnings)
    assert silent >= 2 and off >= 1


def test_the_overlap_is_that_of_u_between_temperatures() -> None:
    """Weights exp(-u / 10): what they add to the divergence is w (u - U), up to a factor."""
    u = np.random.default_rng(1).gamma(2.0, size=2000) * 8.0
    few = np.random.default_rng(2).gamma(2.0, size=150) * 30.0
    for values in (u, few):
        f = overlap_warnings(-0.1 * values)
        own = [w for w in energy(values, -0.1 * values).warnings if "few draws decide" in w]
        assert [w.split(":")[1] for w in f] == [w.split(":")[1] for w in own]
    assert not overlap_warnings(-0.1 * u) and overlap_warnings(-0.1 * few)
    # A constant changes nothing, and draws without weight no number of effective contributions.
    assert overlap_warnings(-0.1 * few - 700.0) == overlap_warnings(-0.1 * few)
    (longer,) = overlap_warnings(np.append(-0.1 * few, np.full(10, -np.inf)))
    assert longer.split(",")[0] == overlap_warnings(-0.1 * few)[0].split(",")[0]
    assert overlap_warnings(np.zeros(200)) == ()
