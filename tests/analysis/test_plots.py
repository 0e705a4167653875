"""What the pictures show: the surface's numbers, the basins' boundaries and populations."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.image import imread

from boltzgen.analysis.plots import plot_profile, plot_ramachandran
from boltzgen.analysis.profiles import profile
from boltzgen.analysis.ramachandran import ramachandran, suitable_bins
from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples
from tests.helpers.posing import made_up_samples


@pytest.fixture(scope="module")
def samples() -> WeightedSamples:
    return made_up_samples(System.load("alanine_dipeptide"), 3_000)


def test_the_picture_holds_the_weighted_surface(samples: WeightedSamples, tmp_path: Path) -> None:
    axes = plot_ramachandran(samples)
    axes.figure.savefig(tmp_path / "r.png")
    (mesh,) = (c for c in axes.collections if isinstance(c, QuadMesh))
    expected = ramachandran(
        samples.torsion("phi").numpy(),
        samples.torsion("psi").numpy(),
        samples.log_w.exp().numpy(),
        suitable_bins(samples.effective_sample_size),
    ).free_energy
    shown = np.ma.filled(mesh.get_array().reshape(expected.shape), np.inf)
    np.testing.assert_allclose(
        shown, expected.T, atol=1e-6
    )  # phi runs to the right: the second axis of the mesh
    assert axes.get_xlim() == axes.get_ylim() == (-180, 180)
    assert "φ" in axes.get_xlabel()
    assert "ψ" in axes.get_ylabel()
    pixels = imread(tmp_path / "r.png")
    assert pixels.shape[0] > 900
    assert pixels[..., :3].std() > 0.1


def test_basins_are_outlined_and_labelled_with_their_populations(samples: WeightedSamples) -> None:
    axes = plot_ramachandran(samples)
    (lines,) = (c for c in axes.collections if isinstance(c, LineCollection))
    segments = np.array(lines.get_segments())
    upright = {float(s[0, 0]) for s in segments if s[0, 0] == s[1, 0]}
    level = {float(s[0, 1]) for s in segments if s[0, 1] == s[1, 1]}
    assert upright == {-110.0, 0.0, 120.0}
    assert level == {-120.0, -30.0, 50.0, 120.0}
    shown = dict(t.get_text().split("\n") for t in axes.texts)
    assert set(shown) == {"C7ax", "alphaL", "alphaR", "C7eq", "C5"}
    for basin in samples.populations():
        assert float(shown[basin.name].removesuffix(" %")) == pytest.approx(100 * basin.population, rel=0.06)


def test_marginals_lie_along_their_axes(samples: WeightedSamples) -> None:
    main = plot_ramachandran(samples)
    assert main is main.figure.axes[0]
    _, top, right = main.figure.axes[:3]
    assert top.get_xlim() == main.get_xlim()
    assert right.get_ylim() == main.get_ylim()
    assert top.get_yscale() == right.get_xscale() == "log"
    assert [t.get_text() for t in main.figure.legends[0].get_texts()][:2] == [
        "target (weighted)",
        "generator (as drawn)",
    ]


def test_given_axes_get_the_same_surface_basins_and_a_colour_bar(samples: WeightedSamples) -> None:
    alone = plot_ramachandran(samples)
    first, second = Figure().subplots(1, 2)
    assert plot_ramachandran(samples, ax=second) is second
    assert not first.has_data()
    assert second.figure.axes == [first, second]
    (bar,) = second.child_axes
    assert bar.get_ylabel() == "free energy / kT"
    meshes = [next(c for c in ax.collections if isinstance(c, QuadMesh)) for ax in (alone, second)]
    np.testing.assert_array_equal(*(np.ma.filled(mesh.get_array(), np.inf) for mesh in meshes))
    assert [t.get_text() for t in second.texts] == [t.get_text() for t in alone.texts]
    assert second.get_xlabel() == alone.get_xlabel() == "φ / degrees"


def test_a_profile_on_given_axes_and_on_its_own() -> None:
    found = profile(np.random.default_rng(0).normal(0.5, 0.02, 1000), np.full(1000, 1e-3))
    ax = Figure().subplots()
    assert plot_profile(found, "end_to_end", ax=ax) is ax
    alone = plot_profile(found, "end_to_end")
    assert alone is not ax
    assert alone.get_xlabel() == ax.get_xlabel() == "end to end / nm"
    assert alone.figure.axes == [alone]


def test_samples_without_torsions_are_refused(samples: WeightedSamples) -> None:
    bare = WeightedSamples(samples.x, samples.u, samples.log_q, samples.log_w)
    with pytest.raises(ValueError, match=r"no \(phi, psi\) pair"):
        plot_ramachandran(bare)
    with pytest.raises(ValueError, match="no torsion called 'chi'"):
        plot_ramachandran(samples, pair=("chi", "psi"))
