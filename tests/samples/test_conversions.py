"""Samples in other packages: the same positions, names, bonds and torsions, and weights with their frames."""

import pickle
import sys
from dataclasses import replace

import mdtraj
import numpy as np
import pytest

from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples
from tests.helpers.posing import made_up_samples


@pytest.fixture(scope="module")
def samples(alanine: System) -> WeightedSamples:
    return made_up_samples(alanine, 200)


def test_mdanalysis_has_the_same_molecule(samples: WeightedSamples, alanine: System) -> None:
    pytest.importorskip("MDAnalysis")
    universe, topology = samples.to_mdanalysis(), alanine.mdtraj_topology
    assert [a.name for a in universe.atoms] == [a.name for a in topology.atoms]
    assert list(universe.atoms.resnames) == [a.residue.name for a in topology.atoms]
    assert list(universe.atoms.resids) == [a.residue.resSeq for a in topology.atoms]
    assert {frozenset(b.indices) for b in universe.bonds} == {
        frozenset((a.index, b.index)) for a, b in topology.bonds
    }
    assert universe.atoms.total_mass() == pytest.approx(sum(a.element.mass for a in topology.atoms))
    assert len(universe.select_atoms("backbone")) == len(topology.select("backbone"))


def test_mdanalysis_has_positions_in_angstrom_and_torsions_in_degrees(samples: WeightedSamples) -> None:
    pytest.importorskip("MDAnalysis")
    universe = samples.to_mdanalysis()
    before = samples.x.clone()
    atoms = universe.atoms[list(samples.system.torsions["phi"])]  # type: ignore[union-attr]
    phi = [atoms.dihedral.value() for _ in universe.trajectory]
    np.testing.assert_allclose(universe.atoms.positions, 10 * samples.x[0].numpy(), rtol=1e-6)
    np.testing.assert_allclose(phi, samples.torsion("phi").rad2deg().numpy(), atol=1e-2)
    universe.trajectory.timeseries()[:] = 0
    universe.atoms.positions = 0
    assert (samples.x == before).all()


def test_mdanalysis_frames_carry_their_weights(samples: WeightedSamples) -> None:
    pytest.importorskip("MDAnalysis")
    universe = samples.to_mdanalysis()
    weights = samples.weights.numpy()
    assert [float(ts.aux.weight) for ts in universe.trajectory] == weights.tolist()
    assert [float(ts.aux.log_w) for ts in universe.trajectory] == samples.log_w.tolist()
    for k in (150, 3, 4, 199, 0):
        assert float(universe.trajectory[k].aux.weight) == weights[k]
    assert [float(ts.aux.weight) for ts in universe.trajectory[10:50:7]] == weights[10:50:7].tolist()
    copy = pickle.loads(pickle.dumps(universe))
    assert float(copy.trajectory[42].aux.weight) == weights[42]


def test_a_weighted_mean_by_mdanalysis_is_that_of_the_samples(samples: WeightedSamples) -> None:
    pytest.importorskip("MDAnalysis")
    universe = samples.to_mdanalysis()
    mean = sum(ts.aux.weight * universe.atoms.radius_of_gyration() / 10 for ts in universe.trajectory)
    masses = np.array([a.element.mass for a in samples.mdtraj_topology.atoms])
    expected = samples.mean(mdtraj.compute_rg(samples.to_mdtraj(), masses))
    # `mdtraj.compute_rg` is about the mean position.
    assert mean == pytest.approx(expected.value, rel=1e-2)


def test_arviz_has_torsions_and_weights(samples: WeightedSamples, alanine: System) -> None:
    arviz = pytest.importorskip("arviz")
    data = replace(samples, temperature=300.0).to_arviz()
    assert list(data["posterior"].data_vars) == list(alanine.torsions)
    phi = data["posterior"]["phi"]
    assert phi.dims == ("chain", "draw") and phi.shape == (1, len(samples))
    np.testing.assert_array_equal(phi.values[0], samples.torsion("phi").numpy())
    stats = data["sample_stats"]
    np.testing.assert_array_equal(stats["lp"].values[0], -samples.u.numpy())
    np.testing.assert_array_equal(stats["log_weight"].values[0], samples.log_w.numpy())
    weighted = (stats["weight"] * np.cos(phi)).sum().item()
    assert weighted == pytest.approx(samples.mean(samples.torsion("phi").cos()).value, rel=1e-6)
    assert data["posterior"].attrs["temperature"] == 300.0
    # ArviZ' own functions take it.
    equal = samples.resample(500).to_arviz()
    found = arviz.summary(equal, var_names=["phi"], round_to="none")["mean"]
    assert float(found.iloc[0]) == pytest.approx(samples.resample(500).torsion("phi").mean().item(), abs=1e-6)


def test_samples_without_a_molecule_have_no_torsions(samples: WeightedSamples) -> None:
    bare = replace(samples, system=None)
    pytest.importorskip("arviz")
    assert "sample_stats" in bare.to_arviz()
    pytest.importorskip("MDAnalysis")
    with pytest.raises(ValueError, match="carry no molecule"):
        bare.to_mdanalysis()


@pytest.mark.parametrize(("method", "package"), [("to_mdanalysis", "MDAnalysis"), ("to_arviz", "ArviZ")])
def test_a_missing_package_is_named(
    samples: WeightedSamples, method: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (package, package.lower()):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=f"(?i)`{method}` needs {package}: `pip install {package}`"):
        getattr(samples, method)()
