"""Draws as ArviZ has them."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def inference_data(
    posterior: Mapping[str, np.ndarray], stats: Mapping[str, np.ndarray], attributes: Mapping[str, Any]
) -> Any:
    """ArviZ's object of one chain: draws (n,) by name, their statistics (n,), and what is to be known of all.

    It is an `InferenceData`, or from ArviZ 1 on an xarray `DataTree`, with the groups `posterior` and
    `sample_stats`, arrays of shape (chain, draw).

    Raises:
        ImportError: ArviZ is not installed.
    """
    try:
        import arviz
    except ImportError as error:
        raise ImportError("`to_arviz` needs ArviZ: `pip install arviz`") from error
    groups = {
        "posterior": {name: values[None] for name, values in posterior.items()},
        "sample_stats": {name: values[None] for name, values in stats.items()},
    }
    groups = {name: held for name, held in groups.items() if held}
    # The groups were keywords of `from_dict` up to ArviZ 0.x; since 1 they are its first argument.
    old = int(arviz.__version__.split(".")[0]) < 1
    data = arviz.from_dict(**groups) if old else arviz.from_dict(groups)
    for name in groups:
        data[name].attrs.update(attributes)
    return data
