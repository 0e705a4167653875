"""What pictures of several panels show: each residue's own surface on one scale, and profiles with their
errors.
"""

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.patches import StepPatch

from boltzgen.analysis.panels import profile_figure, ramachandran_grid
from boltzgen.analysis.profiles import profile
from boltzgen.analysis.ramachandran import Ramachandran, ramachandran


def surface(spread: float) -> Ramachandran:
    angles = spread * np.random.default_rng(0).standard_normal((2, 2000))
    return ramachandran(*angles, np.full(2000, 1 / 2000), 60)


@pytest.mark.parametrize("n", [2, 5, 7])
def test_one_panel_for_each_residue(n: int) -> None:
    surfaces = [(f"R{k}", (f"phi{k}", f"psi{k}"), surface(0.2 + 0.1 * k)) for k in range(1, n + 1)]
    figure = ramachandran_grid(surfaces, "a title")
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == [name for name, _, _ in surfaces]
    scales = set()
    for axes, (_, pair, expected) in zip(panels, surfaces, strict=True):
        (mesh,) = (c for c in axes.collections if isinstance(c, QuadMesh))
        shown = np.ma.filled(mesh.get_array().reshape(60, 60), np.inf)
        np.testing.assert_allclose(shown, expected.free_energy.T)
        assert axes.get_xlabel() == f"φ{pair[0][3:]} / degrees"
        assert axes.get_ylabel() == f"ψ{pair[1][3:]} / degrees"
        scales.add(mesh.get_clim())
    assert len(scales) == 1
    assert figure.get_suptitle() == "a title"


def test_profiles_with_bands_of_their_intervals_and_gaps_where_nothing_fell() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0.4, 0.02, 500), rng.normal(0.8, 0.02, 500)])
    found = profile(values, np.full(1000, 1e-3))
    figure = profile_figure({"radius_of_gyration": found, "end_to_end": found})
    assert [axes.get_xlabel() for axes in figure.axes] == ["radius of gyration / nm", "end to end / nm"]
    band, line = (p for p in figure.axes[0].patches if isinstance(p, StepPatch))
    seen = found.counts > 0
    assert not seen.all()
    np.testing.assert_allclose(line.get_data().values[seen], found.free_energy[seen])
    assert np.isnan(line.get_data().values[~seen]).all()
    width = band.get_data().values - band.get_data().baseline
    known = np.isfinite(found.free_energy_interval).all(axis=0)
    assert 0 < known.sum() < seen.sum()  # the rarest bins have no band
    np.testing.assert_allclose(width[known], np.diff(found.free_energy_interval, axis=0)[0, known])
    assert np.isnan(width[~known]).all()
