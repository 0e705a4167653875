"""Elementary functions of compiled kernels, and how compiled functions are kept."""

import logging
import math

import numpy as np
import pytest

numba = pytest.importorskip("numba")
caching = pytest.importorskip("numba.core.caching")
mathematics = pytest.importorskip("boltzgen.kernels.compiled.mathematics")


def test_exponential() -> None:
    x = np.concatenate([-np.logspace(-6, 1.9, 2000), np.logspace(-6, 1.9, 2000)]).astype(np.float32)
    exponential = numba.vectorize(lambda x: mathematics.exp(x))
    np.testing.assert_allclose(exponential(x), np.exp(x.astype(np.float64)), rtol=2e-7)
    assert 0 <= exponential(np.float32(-np.inf)) < 1e-37
    assert np.isnan(exponential(np.float32(np.nan)))


def test_logarithm() -> None:
    x = np.concatenate([np.logspace(-30, 30, 3000), 1 + np.linspace(-1e-3, 1e-3, 100)]).astype(np.float32)
    logarithm = numba.vectorize(lambda x: mathematics.log(x))
    np.testing.assert_allclose(logarithm(x), np.log(x.astype(np.float64)), rtol=2e-7, atol=1e-10)
    assert mathematics.log_or_nan(np.float32(2.5)) == mathematics.log(np.float32(2.5))
    assert np.isnan(mathematics.log_or_nan(np.float32(np.inf)))


def test_arctangent() -> None:
    angle = np.concatenate(
        [np.linspace(0, np.pi, 3000), np.logspace(-6, -2, 50), np.pi - np.logspace(-6, -2, 50)]
    )
    sine, cosine = (3 * np.sin(angle)).astype(np.float32), (3 * np.cos(angle)).astype(np.float32)
    exact = np.arctan2(np.abs(sine).astype(np.float64), cosine.astype(np.float64))
    arctangent = numba.vectorize(lambda s, c: mathematics.arctangent(s, c))
    np.testing.assert_allclose(arctangent(np.abs(sine), cosine), exact, rtol=2e-7, atol=0)
    assert mathematics.arctangent(np.float32(0), np.float32(0)) == 0


def test_softplus() -> None:
    """To a few roundings of the result, however small it is."""
    for x in np.linspace(-80.0, 80.0, 1001, dtype=np.float32):
        value, derivative = mathematics.softplus(x)
        assert value == pytest.approx(np.logaddexp(0.0, np.float64(x)), rel=3e-7)
        assert derivative == pytest.approx(1 / (1 + np.exp(-np.float64(x))), rel=3e-7)


def test_wrapped_angles_are_within_one_period() -> None:
    pi = np.float32(np.pi)
    near = [
        np.nextafter(sign * turn * pi, to, dtype=np.float32)
        for sign in (-1, 1)
        for turn in range(12)
        for to in (-1e9, 0.0, 1e9)
    ]
    for x in np.concatenate(
        (near, -pi - np.float32(10.0) ** np.arange(-12, 4, dtype=np.float32), np.linspace(-50, 50, 999))
    ).astype(np.float32):
        wrapped = mathematics.wrap(x)
        assert -pi <= wrapped < pi
        assert abs(math.remainder(float(wrapped) - float(x), 2 * math.pi)) < 1e-6 + 3e-7 * abs(x)


def test_without_a_place_for_the_cache_functions_are_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    assert mathematics.kept(numba.njit(lambda x: x + 1))(2) == 3


def test_what_is_kept_on_disk_is_that_of_these_sources(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, caplog: pytest.LogCaptureFixture
) -> None:
    """A change in any file with compiled functions, not only in that of the function, compiles it anew; the
    log tells, since it takes a minute or two for all of them.
    """
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    caplog.set_level(logging.INFO, "boltzgen.kernels")

    def hits() -> int:
        caplog.clear()
        function = mathematics.kept(numba.njit(increment))
        assert function(2) == 3
        found = sum(function.stats.cache_hits.values())
        assert [r.getMessage() for r in caplog.records] == ["compiling kernels, once on this machine"] * (
            1 - found
        )
        return found

    assert [hits(), hits()] == [0, 1]
    monkeypatch.setattr(mathematics, "_SOURCES", b"others")
    assert [hits(), hits()] == [0, 1]


def increment(x: int) -> int:
    return x + 1
