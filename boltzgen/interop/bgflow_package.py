"""bgflow itself: found, made importable, or missing with a line that tells how to get it."""

from functools import cache
from typing import Any

import numpy as np

#: The version that the adapters are tested with.
COMMIT = "fbba56fac3eb88f6825d2bd4f745ee75ae9715e1"
ADDRESS = "https://github.com/noegroup/bgflow"
_ADVICE = (
    f"`pip install einops git+{ADDRESS}@{COMMIT}` on Python 3.11, the last whose tools its set-up knows; "
    f"on a newer Python `pip install einops`, clone {ADDRESS} and put its folder on PYTHONPATH"
)


@cache
def bgflow() -> Any:
    """The package `bgflow`.

    It was last changed in 2023 and reads `numpy.infty`, which numpy 2 no longer has: where it is missing it
    is put back, as another name of `numpy.inf`.

    Raises:
        ImportError: bgflow is missing, or einops, which it needs.
    """
    if not hasattr(np, "infty"):
        np.infty = np.inf  # type: ignore[attr-defined]  # noqa: NPY201 - its old name, for bgflow alone
    try:
        import bgflow as package
    except ImportError as error:
        raise ImportError(f"bgflow cannot be imported ({error}); {_ADVICE}") from error
    return package


def uncached(energy: Any) -> Any:
    """An energy of bgflow that has forgotten its last batch.

    Its bridges to other programs take a batch for the last one where their texts are equal. torch abbreviates
    the text of more than a thousand numbers, and batches that differ in between would be given the energies
    and gradients of the last one.
    """
    for part in energy.modules():
        if getattr(part, "_last_batch", None) is not None:
            part._last_batch = None
    return energy
