"""What the pictures show: the surface's numbers, the basins' boundaries and populations."""

import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.transforms import Bbox

from boltzgen.analysis.outlines import basin_shares
from boltzgen.analysis.plots import _decades, plot_profile, plot_ramachandran, ramachandran_figure
from boltzgen.analysis.profiles import profile
from boltzgen.analysis.ramachandran import TorsionDensity, ramachandran, suitable_bins
from boltzgen.molecule.basins import Basin
from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.weights import normalized_weights
from tests.helpers.drawing import boxes
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
    frames = plot_ramachandran(samples.resample(2000))
    assert frames.figure.legends[0].get_texts()[0].get_text() == "frames"
    assert "generator (as drawn)" not in [t.get_text() for t in frames.figure.legends[0].get_texts()]
    for axis, most in ((top.yaxis, 4), (right.xaxis, 2)):
        low, high = axis.get_view_interval()
        shown = [tick for tick in axis.get_ticklocs() if low <= tick <= high]
        assert 2 <= len(shown) <= most
        assert axis.get_label_text() == "density / degree⁻¹"


def bad(samples: WeightedSamples) -> WeightedSamples:
    """The samples with one draw of a hundred drawn e^40 times too often: these have next to no weight."""
    log_q = samples.log_q + 1.7 * torch.randn(len(samples), generator=torch.Generator().manual_seed(0))
    log_q[5::100] += 40.0
    return WeightedSamples.from_energies(samples.x, samples.u, log_q, samples.system)


def test_draws_without_weight_do_not_stretch_the_scale(samples: WeightedSamples) -> None:
    poor = bad(samples)
    assert poor.sampling_efficiency < 0.2
    axes = plot_ramachandran(poor)
    (mesh,) = (c for c in axes.collections if isinstance(c, QuadMesh))
    cells, top = mesh.get_array(), mesh.get_clim()[1]
    assert cells.max() > top
    assert 3 <= top <= 1 + math.log(poor.effective_sample_size)
    legend = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert legend[-2:] == ["under 0.1 effective draws", "no draws"]
    beyond = mesh.cmap(mesh.norm(cells[cells > top].compressed()))
    assert len(np.unique(beyond, axis=0)) == 1
    values = np.random.default_rng(0).normal(0.5, 0.02, len(poor))
    values[5::100] += 0.2
    found = profile(values, normalized_weights(poor.log_w).numpy())
    assert found.n_effective == pytest.approx(poor.effective_sample_size)
    low, high = plot_profile(found, "end_to_end").get_ylim()
    assert low < 0
    assert 2 < high <= 1 + math.log(poor.effective_sample_size)


def test_of_one_effective_draw_basins_have_names_alone_and_none_hides_it() -> None:
    """A draw in the middle of a basin, where a label would stand; others of next to no weight all over."""
    angles = np.radians(np.random.default_rng(0).uniform(-180, 180, (2, 20_000)))
    angles[:, 0] = np.radians((-90.0, 100.0))
    log_w = torch.full((20_000,), -40.0, dtype=torch.float64)
    log_w[0] = 0.0
    basins = (Basin("beta", phi=(-180, 0), psi=(20, 180)), Basin("alphaR", phi=(-180, 0), psi=(-180, 20)))
    figure = ramachandran_figure(*angles, normalized_weights(log_w).numpy(), 1.0, basins)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["beta", "alphaR"]
    cell = Bbox(axes.transData.transform([(-93, 97), (-87, 103)]))
    assert not any(text.get_window_extent().overlaps(cell) for text in axes.texts)


@pytest.mark.parametrize("most", [0.02, 0.03, 0.05, 0.1])
@pytest.mark.parametrize("rarest", [20.0, 1e3, 1e6])
@pytest.mark.parametrize("place", [(0.4, 0.25), (0.22, 0.12)])
def test_an_axis_of_densities_has_two_numbers_or_more(
    most: float, rarest: float, place: tuple[float, float]
) -> None:
    """However narrow the densities are; they are no closer than asked for, and begin where asked for."""
    values = np.array([most, most / 3, most / rarest])
    (low, high), ticks = _decades(TorsionDensity(np.arange(3.0), values, values), *place)
    at = np.log10(np.array(ticks) / low) / np.log10(high / low)
    assert len(ticks) >= 2
    assert np.diff(at).min() >= place[0] - 1e-9
    assert at[0] >= place[1] - 1e-9 and at[-1] <= 1 + 1e-9


@pytest.mark.parametrize(("unit", "kt"), [("kJ/mol", 2.4943), ("kcal/mol", 0.5962)])
def test_free_energies_in_other_units(samples: WeightedSamples, unit: str, kt: float) -> None:
    plain, axes = plot_ramachandran(samples), plot_ramachandran(samples, unit=unit, temperature=300.0)
    given = Figure().subplots()
    plot_ramachandran(samples, ax=given, unit=unit, temperature=300.0)
    meshes = [next(c for c in a.collections if isinstance(c, QuadMesh)) for a in (plain, axes, given)]
    for mesh in meshes[1:]:
        np.testing.assert_allclose(
            np.ma.filled(mesh.get_array(), -1.0), np.ma.filled(kt * meshes[0].get_array(), -1.0), rtol=1e-4
        )
        assert mesh.get_clim()[1] == pytest.approx(kt * meshes[0].get_clim()[1], abs=1 + kt)
    label = f"free energy / ({unit})"
    assert axes.figure.axes[3].get_ylabel() == given.child_axes[0].get_ylabel() == label
    found = profile(np.random.default_rng(0).normal(0.5, 0.02, 1000), np.full(1000, 1e-3))
    lines = [
        plot_profile(found, "end_to_end"),
        plot_profile(found, "end_to_end", unit=unit, temperature=300.0),
    ]
    assert lines[1].get_ylabel() == label
    steps = [ax.patches[1].get_data().values for ax in lines]
    np.testing.assert_allclose(steps[1], kt * steps[0], rtol=1e-4)


def test_another_unit_needs_a_temperature(samples: WeightedSamples) -> None:
    with pytest.raises(ValueError, match=r"`temperature` \[K\] beside `unit` 'kJ/mol', got None"):
        plot_ramachandran(replace(samples, temperature=None), unit="kJ/mol")
    told, known = (
        plot_ramachandran(s, unit="kJ/mol", temperature=t)
        for s, t in ((samples, 310.0), (replace(samples, temperature=310.0), None))
    )
    assert told.collections[0].get_clim() == known.collections[0].get_clim()
    with pytest.raises(ValueError, match="expected `unit` to be one of kT"):
        plot_ramachandran(samples, unit="eV", temperature=300.0)


@pytest.mark.parametrize("title", ["", "short", "alanine_tetrapeptide, 300 K: 1,000,000 draws, " * 4])
def test_nothing_is_cut_and_nothing_overlaps(samples: WeightedSamples, title: str) -> None:
    phi, psi = (samples.torsion(name).numpy() for name in ("phi", "psi"))
    weights = normalized_weights(bad(samples).log_w).numpy()
    basins = samples.system.basins
    figure = ramachandran_figure(phi, psi, weights, 500.0, basins, title=title)
    written_boxes = boxes(figure)
    assert len(written_boxes) > 25
    for box in written_boxes.values():
        assert box.x0 >= 0 and box.y0 >= 0
        assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    for (one, first), (other, second) in combinations(written_boxes.items(), 2):
        assert not first.overlaps(second), (one, other)


def test_the_picture_is_shown_by_notebooks(samples: WeightedSamples) -> None:
    axes = plot_ramachandran(samples)
    png = axes.figure._repr_png_()
    assert png.startswith(b"\x89PNG")
    assert axes._repr_png_() == png


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
    # Where there is no band, the line is dotted, and the legend says why.
    _, dotted, solid = (patch.get_data().values for patch in ax.patches)
    no_band = ~np.isfinite(found.free_energy_interval).all(axis=0)
    assert 0 < no_band.sum() < len(no_band)
    assert (np.isfinite(solid) == (np.isfinite(dotted) & ~no_band)).all()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["too few draws for an interval"]


def test_samples_without_torsions_are_refused(samples: WeightedSamples) -> None:
    bare = WeightedSamples(samples.x, samples.u, samples.log_q, samples.log_w)
    with pytest.raises(ValueError, match=r"no \(phi, psi\) pair"):
        plot_ramachandran(bare)
    with pytest.raises(ValueError, match="no torsion called 'chi'"):
        plot_ramachandran(samples, pair=("chi", "psi"))


def test_a_basin_that_a_few_draws_decide_has_no_share() -> None:
    phi = np.radians(np.concatenate((np.full(990, -90.0), np.full(9, 60.0), np.full(20, 150.0))))
    basins = (Basin("left", phi=(-180, 0)), Basin("few", phi=(0, 120)), Basin("right", phi=(120, 180)))
    shares = basin_shares({"phi": phi}, np.ones(len(phi)), basins)
    assert shares is not None
    assert math.isnan(shares[1]) and shares[[0, 2]] == pytest.approx([990 / 1019, 20 / 1019])
