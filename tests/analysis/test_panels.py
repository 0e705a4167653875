"""What pictures of several panels show: each residue's own surface on one scale, and profiles with their
errors.
"""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.patches import StepPatch

from boltzgen.analysis.panels import profile_figure, ramachandran_grid
from boltzgen.analysis.profiles import profile
from boltzgen.analysis.ramachandran import Ramachandran, ramachandran
from boltzgen.units import one_kt
from tests.helpers.drawing import boxes


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


@pytest.mark.parametrize("unit", ["kT", "kJ/mol"])
def test_the_scale_of_all_panels_ends_where_the_draws_tell(unit: str) -> None:
    """A panel with draws of no weight, e^40 below the others, is beside one without."""
    angles = 0.2 * np.random.default_rng(0).standard_normal((2, 2000))
    angles[:, 1900:] += 2.0
    weights = np.where(np.arange(2000) < 1900, 1.0, np.exp(-40.0))
    poor = ramachandran(*angles, weights / weights.sum(), 60)
    surfaces = [("ALA 2", ("phi2", "psi2"), surface(0.2)), ("ALA 3", ("phi3", "psi3"), poor)]
    figure = ramachandran_grid(surfaces, "t", unit=unit, temperature=300.0)
    meshes = [c for axes in figure.axes[:2] for c in axes.collections if isinstance(c, QuadMesh)]
    scale = one_kt(unit, 300.0)
    assert poor.n_effective == pytest.approx(1900)
    assert {mesh.get_clim() for mesh in meshes} == {(0.0, meshes[0].get_clim()[1])}
    assert 4 * scale < meshes[0].get_clim()[1] < 8.6 * scale
    assert meshes[1].get_array().max() == pytest.approx(scale * poor.deepest)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["under 0.1 effective draws", "no draws"]
    assert figure.axes[2].get_ylabel() == ("free energy / kT" if unit == "kT" else "free energy / (kJ/mol)")


@pytest.mark.parametrize("n", [1, 3])
def test_nothing_is_cut_and_nothing_overlaps(n: int) -> None:
    found = profile(np.random.default_rng(0).normal(0.4, 0.02, 1000), np.full(1000, 1e-3))
    title = "alanine_dipeptide_amber99sbildn, 300 K: 1,000,000 draws, 997,000 effective"
    surfaces = [(f"ALA {k}", (f"phi{k}", f"psi{k}"), surface(0.3)) for k in range(1, n + 1)]
    profiles = {f"length_{k}": found for k in range(n)}
    for figure in (ramachandran_grid(surfaces, title), profile_figure(profiles, title)):
        seen = boxes(figure)
        assert len(seen) > 8
        for box in seen.values():
            assert box.x0 >= 0 and box.y0 >= 0
            assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        for (one, first), (other, second) in combinations(seen.items(), 2):
            assert not first.overlaps(second), (one, other)


def test_profiles_with_bands_of_their_intervals_and_gaps_where_nothing_fell() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0.4, 0.02, 500), rng.normal(0.8, 0.02, 500)])
    found = profile(values, np.full(1000, 1e-3))
    figure = profile_figure({"radius_of_gyration": found, "end_to_end": found})
    assert [axes.get_xlabel() for axes in figure.axes] == ["radius of gyration / nm", "end to end / nm"]
    band, line, _ = (p for p in figure.axes[0].patches if isinstance(p, StepPatch))
    seen = found.counts > 0
    assert not seen.all()
    np.testing.assert_allclose(line.get_data().values[seen], found.free_energy[seen])
    assert np.isnan(line.get_data().values[~seen]).all()
    width = band.get_data().values - band.get_data().baseline
    known = np.isfinite(found.free_energy_interval).all(axis=0)
    assert 0 < known.sum() < seen.sum()  # the rarest bins have no band
    np.testing.assert_allclose(width[known], np.diff(found.free_energy_interval, axis=0)[0, known])
    assert np.isnan(width[~known]).all()
