"""The evaluation of the shipped generator, and of ones made blind to a mode, against the shipped reference.

Metrics are checked against a stand-in for it, the generator's own draws, reweighted: there everything must
agree to within the noise.
"""

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.collections import QuadMesh
from torch import Tensor

from boltzgen import weights as reweighting
from boltzgen.energy.choose import energy_for
from boltzgen.evaluation.draws import Draws, draw, reference_log_weights
from boltzgen.evaluation.evaluate import evaluate
from boltzgen.evaluation.metrics import forward_ess
from boltzgen.evaluation.page import FILES, save_evaluation
from boltzgen.evaluation.picture import evaluation_figure
from boltzgen.evaluation.reference import Reference
from boltzgen.evaluation.summary import missing_modes, summarize
from boltzgen.evaluation.tables import aligned, markdown, text_tables
from boltzgen.evaluation.verdict import AGREEMENT, by_chance, verdict
from boltzgen.geometry import dihedrals
from tests.helpers.drawing import boxes
from tests.helpers.standin import Thinned, shipped, simulated, stand_in

N = 16_384


@pytest.fixture(scope="module")
def good() -> Draws:
    _, generator, energy = shipped()
    return draw(generator, energy, stand_in(), n=N, seed=3)


@pytest.fixture(scope="module")
def result(good: Draws) -> dict[str, Any]:
    return summarize(good, stand_in())


@pytest.fixture(scope="module")
def wide() -> Draws:
    """Draws of the good generator with every narrow coordinate's deviation from its mean 3 % larger."""
    _, generator, energy = shipped()
    generator = copy.deepcopy(generator)
    affine = generator.flow.conditional.transform.transforms[-1]
    with torch.no_grad():
        # x = mean + L^-1 D^-1 z; log D_i is the last entry of the triangle's row i.
        affine.net.nets[0].last.bias[affine.stops] -= 0.03
    return draw(generator, energy, stand_in(), n=N, seed=3)


@pytest.fixture(scope="module")
def wide_result(wide: Draws) -> dict[str, Any]:
    return summarize(wide, stand_in())


def test_the_good_generator_agrees(result: dict[str, Any]) -> None:
    assert not result["flagged"]
    assert result["missing_modes"] == result["warnings"] == []
    assert all(abs(b["z"]) < 4 for b in result["basins"])
    assert len(result["marginals"]) == 60
    assert abs(result["marginals"][0]["z"]) < 5
    assert abs(result["energy"]["z"]) < 5
    # KS deviates of 60 equal distributions: neither all tiny nor all large.
    assert 1.0 < np.median([abs(m["z"]) for m in result["marginals"]]) < 3.0
    for m in result["marginals"]:
        assert 0.5 * m["tv_floor"] < m["tv"] < 2 * m["tv_floor"]
    for s in result["ramachandran"]:
        for name in ("kl", "tv"):
            assert 0.85 * s["after"][f"{name}_floor"] < s["after"][name] < 1.15 * s["after"][f"{name}_floor"]
    assert result["energy"]["wasserstein"] < 3 * result["energy"]["wasserstein_floor"]


def test_reweighting_repairs_a_wide_generator(wide_result: dict[str, Any]) -> None:
    """All 55 narrow coordinates drawn 3 % too wide: a mean energy 1.7 kT too high, gone after reweighting."""
    assert not wide_result["flagged"]
    energy = wide_result["energy"]
    assert energy["wasserstein"] < 3 * energy["wasserstein_floor"]
    assert energy["wasserstein_before"] == pytest.approx(55 * 0.03, rel=0.15)
    assert energy["wasserstein_before"] > 3 * energy["wasserstein_floor"]


def test_weights_and_densities_agree_with_each_other(
    result: dict[str, Any], good: Draws, wide: Draws, wide_result: dict[str, Any]
) -> None:
    for found, draws in ((result, good), (wide_result, wide)):
        assert found["sampling_efficiency"] == pytest.approx(
            reweighting.sampling_efficiency(torch.from_numpy(draws.log_w))
        )
        assert found["forward_ess"] == pytest.approx(found["sampling_efficiency"], abs=0.03)
        assert found["log_z"] < found["eubo"] + 4 * found["eubo_error"]
        assert found["elbo"] < found["log_z"]
        assert found["nll"] == pytest.approx(found["eubo"] + float(stand_in().u.mean()))
        assert found["psis_k_hat"] < 0.6
    assert result["sampling_efficiency"] > 0.98
    # Gaussians of relative width 1 + e have KL(p, q) = e^2 each, and ln ESS = -2 e^2, to second order.
    assert wide_result["forward_kl"] == pytest.approx(55 * 0.03**2, abs=0.01)
    assert math.log(wide_result["sampling_efficiency"]) == pytest.approx(-2 * 55 * 0.03**2, abs=0.02)


def test_log_weights_of_the_reference_are_those_of_the_draws() -> None:
    """The same conformations, drawn and evaluated: -u - log q of a reference made from them, whatever the
    labelling it is kept in.
    """
    system, generator, energy = shipped()
    samples = generator.sample(2048, energy, seed=1)
    reference = Reference.from_frames(
        system, samples.x, samples.u, torch.zeros(2048), torch.arange(2048) % 4, n_configurations=2048
    )
    expected = samples.log_w[torch.isin(samples.u, reference.u)].numpy()
    assert len(expected) == len(reference) == 2048
    np.testing.assert_allclose(reference_log_weights(generator, reference), expected, atol=2e-2)
    assert np.median(np.abs(reference_log_weights(generator, reference) - expected)) < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_few_draws_raise_no_alarm(seed: int) -> None:
    """Where hardly any draw falls beyond an edge, their own scatter is no error."""
    _, generator, energy = shipped()
    found = summarize(draw(generator, energy, stand_in(), n=200, seed=50 + seed), stand_in())
    assert max(abs(m["z"]) for m in found["marginals"]) < AGREEMENT
    assert max(abs(t["z"]) for t in found["torsions"]) < AGREEMENT


@pytest.mark.slow
def test_the_good_generator_is_not_flagged_over_20_seeds() -> None:
    _, generator, energy = shipped()
    reference = simulated()
    for seed in range(20):
        assert missing_modes(draw(generator, energy, reference, n=4096, seed=100 + seed), reference) == [], (
            seed
        )


def left_of_zero(x: Tensor) -> Tensor:
    phi = dihedrals(x, shipped()[0].torsions["phi"])
    return (phi < 0).double()


def rarely_right_of_zero(x: Tensor) -> Tensor:
    return left_of_zero(x).clamp(min=1e-5)


def without_a_rotamer(methyl: int) -> Callable[[Tensor], Tensor]:
    """Keeps two thirds of a methyl's circle, of its mean torsion within the third that the domain has."""

    def keep(x: Tensor) -> Tensor:
        coordinates = shipped()[1].coordinates
        return (
            coordinates.inverse(coordinates.canonical(x))[0][:, coordinates.n_full + methyl] < math.pi / 3
        ).double()

    return keep


@cache
def some_draws() -> Tensor:
    _, generator, energy = shipped()
    return generator.sample(8192, energy, seed=50).x.double()


COLLAPSED = {
    "no phi > 0": left_of_zero,
    "hardly any phi > 0": rarely_right_of_zero,
    **{f"methyl {m}": without_a_rotamer(m) for m in range(3)},
}


@pytest.mark.parametrize("name", COLLAPSED)
def test_a_collapsed_generator_is_flagged_though_its_efficiency_is_high(name: str) -> None:
    _, generator, energy = shipped()
    keep = COLLAPSED[name]
    acceptance = float(keep(some_draws()).mean())
    draws = draw(Thinned(generator, keep, acceptance), energy, simulated(), n=N, seed=3)
    assert draws.n_effective / len(draws.log_w) > 0.9
    found = missing_modes(draws, simulated())
    kinds = {f["kind"] for f in found}
    assert {"outliers", "forward ESS"} <= kinds, found
    assert forward_ess(draws.log_w_reference) < 0.1
    if name.startswith("methyl"):
        arcs = [f for f in found if f["kind"] == "arc"]
        assert [f["verdict"] for f in arcs] == ["missing"]
        assert arcs[0]["region"].startswith(("methyl CH3", "methyl CB", "methyl NME3:C")[int(name[-1])])


def test_states_of_torsions_are_compared(good: Draws, result: dict[str, Any]) -> None:
    """phi and psi against counts of the same states; omega, always trans, is left out."""
    rows = {(t["torsion"], t["name"]): t for t in result["torsions"]}
    assert set(rows) == {("phi", "+"), ("phi", "-"), ("psi", "alpha"), ("psi", "beta")}
    assert all(abs(t["z"]) < 4 for t in rows.values())
    phi, psi = (stand_in().states[name][1].probability for name in ("phi", "psi"))
    assert rows["phi", "+"]["reference"] == phi[0]
    assert rows["psi", "alpha"]["population"] == pytest.approx(psi[0], abs=0.02)
    # C7ax and alphaL are what has phi from 0 to 120 degrees.
    basins = {b["name"]: b for b in result["basins"]}
    right = basins["C7ax"]["population"] + basins["alphaL"]["population"]
    assert right <= rows["phi", "+"]["population"] < right + 0.005
    assert any("states of torsions" in table[0] for table in text_tables(result))


def test_a_reference_that_doubts_itself_is_named_beside_the_generator(good: Draws) -> None:
    """A generator blind to phi > 0 is flagged; with a reference whose own test failed, that is said to be at
    fault as well, in a warning of its own and with every missing mode.
    """
    _, generator, energy = shipped()
    keep = left_of_zero
    draws = draw(
        Thinned(generator, keep, float(keep(some_draws()).mean())), energy, simulated(), n=4096, seed=3
    )
    plain = summarize(draws, simulated())
    assert plain["flagged"] and not any("at fault" in w for w in plain["warnings"])
    test = {"stationary": False, "text": "the share of phi + drifts: 9.5, 2.8 %"}
    doubted = summarize(draws, replace(simulated(), metadata={"stationarity": test}))
    missing = [w for w in doubted["warnings"] if w.startswith("missing mode?")]
    assert missing and all(w.endswith("; the reference may be at fault") for w in missing)
    alone = [w for w in doubted["warnings"] if w.startswith("the reference may be at fault")]
    assert len(alone) == 1 and test["text"] in alone[0]
    assert doubted["missing_modes"] == plain["missing_modes"]
    assert "| reference: stationary | no |" in markdown(doubted)
    assert "| reference: stationary | not tested |" in markdown(plain)
    # Without a missing mode it is a warning all the same.
    agreeing = summarize(good, replace(stand_in(), metadata={"stationarity": test}))
    assert not agreeing["flagged"]
    assert sum("the reference may be at fault" in w for w in agreeing["warnings"]) == 1


def test_evaluate_is_one_call_with_the_systems_own_reference(tmp_path: Path) -> None:
    _, generator, energy = shipped()
    result = evaluate(generator, n=4096, seed=7, output=tmp_path / "out")
    expected = summarize(draw(generator, energy, simulated(), n=4096, seed=7), simulated())
    assert result == expected | {"seed": 7, "measure": "flexible-limit"}
    assert sorted(FILES) == sorted(p.name for p in (tmp_path / "out").iterdir())
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == result


def test_evaluate_takes_a_reference_and_flags(tmp_path: Path) -> None:
    system, generator, energy = shipped()
    done: list[int] = []
    blind = evaluate(
        Thinned(generator, without_a_rotamer(1), 0.67),
        stand_in(),
        energy=energy,
        n=4096,
        seed=2,
        progress=done.append,
    )
    assert sum(done) == blind["n_samples"]
    assert blind["flagged"]
    assert sum(w.startswith("missing mode?") for w in blind["warnings"]) == len(blind["missing_modes"])
    assert any("marginals differ beyond the combined errors" in w for w in blind["warnings"])
    with pytest.raises(ValueError, match="the reference is at 300 K, the energy at 310 K"):
        draw(generator, energy_for(system, 310.0), stand_in(), n=100)


def test_a_poor_reference_is_warned_of(good: Draws) -> None:
    _, generator, energy = shipped()
    reference = stand_in(2048)
    draws = draw(generator, energy, reference, n=8192, seed=3)
    warnings = summarize(draws, reference)["warnings"]
    assert len(warnings) == 1
    assert "the reference's own error dominates" in warnings[0]
    with pytest.raises(ValueError, match="these draws were made for another reference"):
        summarize(good, reference)


def test_tables_and_files(result: dict[str, Any], good: Draws, tmp_path: Path) -> None:
    files = save_evaluation(result, good, stand_in(), tmp_path / "new")
    assert sorted(files) == sorted(p.name for p in (tmp_path / "new").iterdir())
    saved = json.loads((tmp_path / "new" / "evaluation.json").read_text())
    assert saved["log_z"] == result["log_z"]
    assert saved["conventions"] == result["conventions"]
    text = markdown(result)
    assert (tmp_path / "new" / "evaluation.md").read_text() == text
    assert f"| ESS | {100 * result['sampling_efficiency']:.2f} % |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) > 1
    for table in text_tables(result):
        lines = aligned(table).splitlines()
        assert len(lines) == len(table[2]) + 2
        assert all(len(row) == len(table[1]) for row in table[2])


def test_the_page_shows_both_surfaces_and_their_difference(result: dict[str, Any], good: Draws) -> None:
    figure = evaluation_figure(result, good, stand_in())
    meshes = [c for axes in figure.subfigs[1].axes for c in axes.collections if isinstance(c, QuadMesh)]
    shown = [np.ma.filled(mesh.get_array(), np.nan) for mesh in meshes]
    surfaces = [s.reshape(64, 64).T for s in shown if s.size == 64 * 64]  # the other meshes are colour bars
    assert len(surfaces) == 3
    reference, drawn = stand_in().surfaces[0].probability, good.table("phi/psi/64").weight.reshape(64, 64)
    for surface, p in zip(surfaces, (reference, drawn), strict=False):
        np.testing.assert_allclose(surface[p > 0], np.log(p.max()) - np.log(p[p > 0]), atol=1e-9)
    difference = surfaces[2]
    where = np.isfinite(difference)
    assert 50 < where.sum() < 2000
    np.testing.assert_allclose(difference[where], np.log(reference[where] / drawn[where]), atol=1e-9)


def test_the_page_says_what_it_shows(result: dict[str, Any], good: Draws) -> None:
    figure = evaluation_figure(result, good, stand_in())
    seen = boxes(figure)
    assert max(box.x1 for box in seen.values()) <= figure.bbox.x1
    assert max(box.y1 for box in seen.values()) <= figure.bbox.y1
    assert min(min(box.x0, box.y0) for box in seen.values()) >= 0
    for (one, first), (other, second) in combinations(seen.items(), 2):
        assert not first.overlaps(second), (one, other)
    written = " ".join(name.split(": ", 1)[1].replace("\n", " ") for name in seen)
    for text in (verdict(result), by_chance(result), "φ / degrees", "ψ / degrees", "energy / kT"):
        assert text in written
    for axes in (a for part in figure.subfigs[1:] for a in part.axes):
        assert axes.get_xlabel() and axes.get_ylabel()
        assert len(axes.get_xticks()) > 1 and len(axes.get_yticks()) > 1
    assert f"**{verdict(result)}**" in markdown(result)
