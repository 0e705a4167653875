"""How bgflow is found, and what is done to make it importable."""

import sys
from collections.abc import Iterator

import numpy as np
import pytest
from torch import nn

from boltzgen.interop.bgflow import distribution_to_bgflow
from boltzgen.interop.bgflow_package import COMMIT, bgflow, uncached


@pytest.fixture
def fresh() -> Iterator[None]:
    """Looked for anew, before and after."""
    bgflow.cache_clear()
    yield
    bgflow.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bgflow", None)
    with pytest.raises(ImportError) as caught:
        bgflow()
    text = str(caught.value)
    assert "pip install einops git+https://github.com/noegroup/bgflow@" + COMMIT in text
    assert "\n" not in text


@pytest.mark.usefixtures("fresh")
def test_the_name_that_numpy_dropped_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(np, "infty", raising=False)
    try:
        bgflow()
    except ImportError:
        pass
    assert np.infty == np.inf  # type: ignore[attr-defined]  # noqa: NPY201


@pytest.mark.usefixtures("fresh")
def test_adapters_need_it_only_when_called(monkeypatch: pytest.MonkeyPatch) -> None:
    from boltzgen.flow.elementary import StandardNormal
    from boltzgen.interop import bgflow as adapters

    adapters._classes.cache_clear()
    monkeypatch.setitem(sys.modules, "bgflow", None)
    with pytest.raises(ImportError, match="bgflow cannot be imported"):
        distribution_to_bgflow(StandardNormal(2))
    adapters._classes.cache_clear()


def test_last_batches_are_forgotten() -> None:
    inner = nn.Module()
    inner._last_batch = 5  # type: ignore[assignment]
    outer = nn.Sequential(inner)
    assert uncached(outer) is outer
    assert inner._last_batch is None
