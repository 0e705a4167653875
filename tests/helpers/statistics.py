"""Statistics that tests share, compared to the last bit."""

import numpy as np

from boltzgen.statistics.statistics import Statistics

#: Draws, and quantities, of the statistics that tests share.
N = 30_001
ALONG = ("cos(phi)", "distance CA2 O2", "psi", "angle N2 CA2 C2")


def assert_same(a: Statistics, b: Statistics, *, but: tuple[str, ...] = ()) -> None:
    first, second = a.pack(), b.pack()
    assert first.keys() == second.keys()
    different = [name for name in first if name not in but and not np.array_equal(first[name], second[name])]
    assert not different
