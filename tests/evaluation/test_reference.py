"""References built from frames whose distribution is known."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.evaluation.reference import Reference, reference_path
from boltzgen.molecule.system import System
from tests.helpers.molecules import peptide, random_labels, random_y
from tests.helpers.references import ALPHA_R, N_WALKERS, frames


def test_weights_walkers_and_histograms(reference: Reference, system: System) -> None:
    assert reference.populations is not None
    share = dict(zip([b.name for b in reference.basins], reference.populations.probability, strict=False))
    error = reference.populations.standard_error[2]
    assert abs(share["alphaR"] - ALPHA_R) < 4 * error
    n = 20_000 * (3 + math.e) ** 2 / (3 + math.e**2) / 4  # Kish's, of three weights of 1 to one of e
    assert reference.populations.n_effective == pytest.approx(n, rel=0.8)
    for surface in reference.surfaces:
        assert surface.n_effective == pytest.approx(n, rel=0.1)
        assert surface.probability.sum() == pytest.approx(1.0)
        assert surface.halves.sum(axis=(1, 2)) == pytest.approx(1.0)
    assert [len(s.probability) for s in reference.surfaces] == [64, 100]
    psi_share = reference.surfaces[0].probability[:, :32].sum()
    assert abs(psi_share - ALPHA_R) < 4 * error + 1e-3  # a few of either kind lie beyond psi = 0
    axis, energy = reference.energy
    centres = (axis.edges[1:-2] + axis.edges[2:-1]) / 2
    assert energy.probability[1:-1] @ centres == pytest.approx(-50.0 + 2 * ALPHA_R, abs=0.1)
    assert reference.fraction_outside == 0.0
    assert reference.fingerprint == system.fingerprint
    assert reference.temperature == 300.0


def test_configurations_have_equal_weight_and_are_not_repeated(reference: Reference, system: System) -> None:
    """Systematic draws: the rarer, heavier kind comes with its share to within 1 / n, and no weight exceeds 1
    / n.
    """
    x, u, log_w, walker = frames(system, 20_000)
    assert len(reference) == len(reference.u) == len(reference.walker) == 2000
    heavy = float((torch.exp(log_w) * (log_w > 0)).sum() / torch.exp(log_w).sum())
    index = torch.isin(u, reference.u).nonzero()[:, 0]
    assert len(index) == 2000
    assert torch.equal(reference.u, u[index])
    assert torch.equal(reference.walker, walker[index])
    torch.testing.assert_close(reference.x, MolecularCoordinates(system).canonical(x[index]))
    assert float((log_w[index] > 0).double().mean()) == pytest.approx(heavy, abs=0.02)
    few = Reference.from_frames(system, x[:300], u[:300], log_w[:300], walker[:300])
    assert 200 < len(few) < 300  # as many as the weights are worth


def test_labels_do_not_matter_and_what_lies_outside_is_left_out(system: System) -> None:
    x, u, log_w, walker = frames(system, 3000)
    plain = Reference.from_frames(system, x, u, log_w, walker, n_configurations=100)
    outside = random_labels(x)
    outside[::10] *= torch.tensor([1.0, 1.0, -1.0])
    mixed = Reference.from_frames(system, outside, u, log_w, walker, n_configurations=100)
    expected = float(torch.exp(log_w[::10]).sum() / torch.exp(log_w).sum())
    assert mixed.fraction_outside == pytest.approx(expected, rel=1e-9)
    coordinates = MolecularCoordinates(system)
    assert coordinates.in_domain(coordinates.inverse(mixed.x.double())[0]).all()
    kept = torch.arange(3000) % 10 != 0
    alone = Reference.from_frames(system, x[kept], u[kept], log_w[kept], walker[kept], n_configurations=100)
    assert plain.fraction_outside == 0.0
    torch.testing.assert_close(mixed.x, alone.x)
    np.testing.assert_allclose(mixed.surfaces[0].probability, alone.surfaces[0].probability, atol=1e-12)


def test_slow_exchange_between_walkers_shows_in_the_errors(system: System) -> None:
    """Walkers that never leave the basin they began in: as many independent observations of it as walkers."""
    x, u, log_w, _ = frames(system, 4800)
    order = torch.argsort(log_w, stable=True)
    walker = torch.arange(4800) // 400
    stuck = Reference.from_frames(system, x[order], u[order], torch.zeros(4800), walker)
    free = Reference.from_frames(system, x, u, torch.zeros(4800), walker)
    assert stuck.populations is not None
    assert free.populations is not None
    assert stuck.populations.standard_error[2] == pytest.approx(math.sqrt(0.25 * 0.75 / N_WALKERS), rel=0.2)
    assert free.populations.standard_error[2] == pytest.approx(math.sqrt(0.25 * 0.75 / 4800), rel=0.6)
    assert stuck.populations.n_effective < 20


def test_states_of_torsions(reference: Reference, system: System, tmp_path: Path) -> None:
    """psi is alpha in the rarer, heavier kind of frames alone; omega is trans; a file keeps the shares."""
    assert list(reference.states) == list(system.torsions)
    names, psi = reference.states["psi"]
    assert names == ("alpha", "beta")
    assert abs(psi.probability[0] - ALPHA_R) < 4 * psi.standard_error[0] + 1e-3
    assert reference.states["phi"][1].probability.tolist() == [0.0, 1.0]
    assert reference.states["omega"][1].probability.tolist() == [0.0, 1.0]
    path = tmp_path / "reference.h5"
    reference.save(path)
    back = Reference.load(path)
    assert {name: states for name, (states, _) in back.states.items()} == {
        name: states for name, (states, _) in reference.states.items()
    }
    for name, (_, histogram) in back.states.items():
        np.testing.assert_allclose(histogram.groups, reference.states[name][1].groups, rtol=1e-12)


def test_any_molecule_has_states(tmp_path: Path) -> None:
    """Dimethoxyethane, no peptide: its free torsions, drawn uniformly."""
    molecule = System.load("dimethoxyethane")
    coordinates = MolecularCoordinates(molecule)
    x = coordinates(random_y(coordinates, 600))[0].float()
    held = Reference.from_frames(molecule, x, torch.zeros(600), torch.zeros(600), torch.arange(600) % 6)
    assert list(held.states) == list(molecule.torsions) and len(held.states) == 3
    for names, histogram in held.states.values():
        assert names == ("g+", "t", "g-")
        assert (np.abs(histogram.probability - 1 / 3) < 0.1).all()


def test_what_the_simulation_says_of_itself(reference: Reference) -> None:
    assert reference.doubt == ""
    for test, doubt in (
        ({"stationary": True, "text": "stationary"}, ""),
        ({"stationary": False, "text": "phi drifts"}, "phi drifts"),
        ({"stationary": None, "text": "not tested: too few"}, "not tested: too few"),
    ):
        assert replace(reference, metadata={"stationarity": test}).doubt == doubt


def test_wrong_frames_are_refused(system: System) -> None:
    x, u, log_w, walker = frames(system, 50)
    with pytest.raises(ValueError, match=r"expected x \(n, 22, 3\)"):
        Reference.from_frames(system, x[:, :20], u, log_w, walker)
    with pytest.raises(ValueError, match=r"expected x \(n, 22, 3\)"):
        Reference.from_frames(system, x, u[:40], log_w, walker)
    with pytest.raises(ValueError, match="at least two independent walkers, got 1"):
        Reference.from_frames(system, x, u, log_w, torch.zeros(50, dtype=torch.long))
    with pytest.raises(ValueError, match="lies inside the domain"):
        Reference.from_frames(system, x * torch.tensor([1.0, 1.0, -1.0]), u, log_w, walker)
    broken = u.clone()
    broken[3] = math.inf
    with pytest.raises(ValueError, match="energy u that is not finite"):
        Reference.from_frames(system, x, broken, log_w, walker)
    left_out = log_w.clone()
    left_out[3] = -math.inf
    assert Reference.from_frames(system, x, broken, left_out, walker).u.isfinite().all()
    with pytest.raises(ValueError, match="positive number of kelvin"):
        Reference.from_frames(system, x, u, log_w, walker, temperature=-1.0)


def test_where_a_systems_reference_lies(system: System, tmp_path: Path) -> None:
    alone = System(system.topology, system.openmm_system, system.positions, folder=tmp_path)
    with pytest.raises(FileNotFoundError, match="has no reference.h5 of its own"):
        reference_path(alone)
    (tmp_path / "reference.h5").touch()
    assert reference_path(alone) == tmp_path / "reference.h5"


def test_a_ring_had_other_coordinates_in_earlier_versions(tmp_path: Path) -> None:
    """Their tables are counted again from the configurations, and not those of others under new names."""
    system = peptide("ace_pro_nme")
    coordinates = MolecularCoordinates(system)
    x = coordinates(random_y(coordinates, 400))[0].float()
    now = Reference.from_frames(
        system, x, torch.zeros(400), torch.zeros(400), torch.arange(400) // 100, n_configurations=400
    )
    earlier = {f"earlier {name}": now.marginals[name] for name in reversed(now.marginals)}
    replace(now, marginals=earlier).save(tmp_path / "reference.h5")
    found = Reference.load(tmp_path / "reference.h5", system).marginals
    assert list(found) == list(now.marginals)
    for name, (axis, shares) in found.items():
        assert axis.name == name
        expected = now.marginals[name][1].groups.sum(0)
        np.testing.assert_allclose(shares.groups.sum(0), expected, atol=0.02)
