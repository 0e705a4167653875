"""What the pictures show: the surface's numbers, the basins' boundaries and populations."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.image import imread

from boltzgen.analysis.plots import plot_ramachandran
from boltzgen.analysis.ramachandran import ramachandran, suitable_bins
from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples
from tests.helpers.posing import made_up_samples


@pytest.fixture(scope="module")
def samples() -> WeightedSamples:
    return made_up_samples(System.load("alanine_dipeptide"), 3_000)


def test_the_picture_holds_the_weighted_surface(samples: WeightedSamples, tmp_path: Path) -> None:
    figure = plot_ramachandran(samples, tmp_path / "r.png")
    axes = figure.axes[0]
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
    axes = plot_ramachandran(samples).axes[0]
    (lines,) = (c for c in axes.collections if isinstance(c, LineCollection))
    segments = np.array(lines.get_segments())
    upright = {float(s[0, 0]) for s in segments if s[0, 0] == s[1, 0]}
    level = {float(s[0, 1]) for s in segments if s[0, 1] == s[1, 1]}
    assert upright == {-110.0, 0.0, 120.0}
    assert level == {-120.0, -30.0, 50.0, 120.0}
    shown = dict(t.get_text().split("\n") for t in axes.texts)
    assert set(shown) == {"C7ax", "alphaL", "alphaR", "C7eq", "C5"}
    for basin in samples.populations(n_replicates=2):
        assert float(shown[basin.name].removesuffix(" %")) == pytest.approx(100 * basin.population, rel=0.06)


def test_marginals_lie_along_their_axes(samples: WeightedSamples) -> None:
    main, top, right = plot_ramachandran(samples).axes[:3]
    assert top.get_xlim() == main.get_xlim()
    assert right.get_ylim() == main.get_ylim()
    assert top.get_yscale() == right.get_xscale() == "log"
    assert [t.get_text() for t in top.get_legend().get_texts()] == [
        "target (weighted)",
        "generator (as drawn)",
    ]


def test_samples_without_torsions_are_refused(samples: WeightedSamples) -> None:
    bare = WeightedSamples(samples.x, samples.u, samples.log_q, samples.log_w)
    with pytest.raises(ValueError, match=r"no \(phi, psi\) pair"):
        plot_ramachandran(bare)
    with pytest.raises(ValueError, match="no torsion called 'chi'"):
        plot_ramachandran(samples, pair=("chi", "psi"))
