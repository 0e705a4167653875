"""States found from draws of molecules whose states are known."""

import math

import numpy as np
import pytest
import torch

from boltzgen.free_energy.found_states import OTHER, FoundStates, find_states, torsion_groups
from boltzgen.molecule.system import System
from tests.helpers.molecules import peptide
from tests.helpers.posing import made_up_samples


def found(system: System, n: int = 4000, **options: float) -> tuple[FoundStates, np.ndarray, np.ndarray]:
    samples = made_up_samples(system, n)
    angles = {
        name: rotamer.angle(samples.x) for group in torsion_groups(system) for name, rotamer in group.items()
    }
    log_w = samples.log_w.numpy()
    states = find_states(system, angles, log_w, **options)
    assert states.labels(samples.x).tolist() == states.labels_of(angles).tolist()
    return states, states.labels(samples.x), np.exp(log_w - log_w.max())


def test_states_of_alanine_dipeptide(alanine: System) -> None:
    """70 % near (-80, 70), 30 % near (-70, -40), the rest near (60, -60) degrees, where phi > 0 is C7ax."""
    states, labels, weights = found(alanine)
    assert states.names == ("C7eq", "alphaR", "C7ax")
    assert [group.label for group in states.groups] == ["phi, psi"]
    shares = np.bincount(labels, weights) / weights.sum()
    assert shares == pytest.approx([0.695, 0.3, 0.005], abs=0.02)


def test_few_states_leave_the_rest_to_other(alanine: System) -> None:
    states, labels, weights = found(alanine, most=2)
    assert states.names == ("C7eq", "alphaR", OTHER)
    shares = np.bincount(labels, weights) / weights.sum()
    assert shares[2] == pytest.approx(0.005, abs=0.003)


def test_pairs_and_rotamers_are_joined() -> None:
    """phi and psi of each residue together, side chains alone, and names from the regions and rotamers."""
    system = peptide("phe_pro_trp")
    groups = [tuple(group) for group in torsion_groups(system)]
    assert ("phi2", "psi2") in groups
    assert ("chi1_1",) in groups
    rng = np.random.default_rng(0)
    n = 3000
    angles = {name: 0.2 * rng.standard_normal(n) for group in groups for name in group}
    angles["phi2"] += np.radians(-70.0)
    angles["psi2"] += np.radians(150.0)
    angles["chi1_1"] += np.where(np.arange(n) % 3 == 0, np.radians(60.0), np.radians(-60.0))
    angles["chi2_1"] = np.remainder(0.2 * rng.standard_normal(n) + math.pi, math.pi) - math.pi / 2
    chosen = ["psi2", "chi1_1", "phi2", "chi2_1"]
    states = find_states(system, angles, np.zeros(n), torsions=chosen)
    assert [group.label for group in states.groups] == ["phi2, psi2", "chi1_1", "chi2_1"]
    # chi2 of PHE has a period of 180 degrees: the cloud about 90 degrees is one well.
    assert states.names == ("PPII/g-/perpendicular", "PPII/g+/perpendicular")
    assert np.bincount(states.labels_of(angles)).tolist() == [2000, 1000]
    assert set(states.torsions) == set(chosen)


def test_two_wells_of_one_name_are_numbered(alanine: System) -> None:
    rng = np.random.default_rng(1)
    phi = np.radians(np.where(np.arange(2000) % 4 == 0, -150.0, -60.0) + 10 * rng.standard_normal(2000))
    psi = np.radians(-40 + 10 * rng.standard_normal(2000))
    states = find_states(alanine, {"phi": phi, "psi": psi}, np.zeros(2000))
    assert states.names == ("alphaR.1", "alphaR.2")


def test_what_cannot_be_found(alanine: System) -> None:
    angles = {"phi": np.zeros(5), "psi": np.zeros(5)}
    for log_w, options, message in (
        (np.full(5, -np.inf), {}, "all weights are zero"),
        (np.zeros(5), {"torsions": ["chi1"]}, "no torsion called 'chi1'"),
        (np.zeros(5), {"most": 0}, "`most`"),
    ):
        with pytest.raises(ValueError, match=message):
            find_states(alanine, angles, log_w, **options)
    # Fewer draws than a well needs are one state still.
    few = find_states(alanine, angles, np.zeros(5))
    assert few.labels_of(angles).tolist() == [0] * 5
    assert few.labels(torch.full((1, alanine.n_atoms, 3), math.nan)).shape == (1,)
