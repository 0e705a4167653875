"""Sizes against mdtraj's."""

import mdtraj
import numpy as np
import pytest
import torch

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.molecule.system import System
from boltzgen.samples.sizes import end_to_end_distance, radius_of_gyration, sizes_of
from boltzgen.samples.weighted_samples import WeightedSamples
from tests.helpers.molecules import peptide, random_y


@pytest.mark.parametrize("name", ["capped_ala3", "gly_ala_val", "ace_phe_nme"])
def test_sizes_are_mdtrajs(name: str) -> None:
    system = peptide(name)
    coordinates = MolecularCoordinates(system)
    zero = torch.zeros(8)
    samples = WeightedSamples.from_energies(coordinates(random_y(coordinates, 8))[0], zero, zero, system)
    x, topology = samples.x.numpy(), mdtraj.Topology.from_openmm(system.topology)
    trajectory = mdtraj.Trajectory(x, topology)
    # mdtraj's is about the mean position, farther from the atoms than the centre of mass by that distance
    # squared.
    masses = np.array([a.element.mass for a in topology.atoms])
    shift = np.linalg.norm(mdtraj.compute_center_of_mass(trajectory) - x.mean(1), axis=1)
    expected = np.sqrt(mdtraj.compute_rg(trajectory, masses) ** 2 - shift**2)
    assert shift.max() > 0.005
    found = radius_of_gyration(samples)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    mean = samples.expectation(radius_of_gyration)
    assert mean.value == pytest.approx(expected.mean(), rel=1e-5)
    alphas = topology.select("name CA")
    if len(alphas) == 1:
        with pytest.raises(ValueError, match="two amino acids or more, got 1"):
            end_to_end_distance(samples)
    else:
        expected = np.linalg.norm(x[:, alphas[0]] - x[:, alphas[-1]], axis=1)
        np.testing.assert_allclose(end_to_end_distance(samples), expected, rtol=1e-5)


def test_sizes_need_a_topology() -> None:
    zero = torch.zeros(2)
    with pytest.raises(ValueError, match="carry no molecule"):
        radius_of_gyration(WeightedSamples.from_energies(torch.zeros(2, 3, 3), zero, zero))


def test_the_ends_of_two_amino_acids_are_no_size() -> None:
    """They are neighbours, at a distance that says nothing."""
    assert list(sizes_of(peptide("ace_ala_nme"))) == ["radius_of_gyration"]
    assert list(sizes_of(System.load("alanine_tripeptide"))) == ["radius_of_gyration"]
    assert list(sizes_of(System.load("alanine_tetrapeptide"))) == ["radius_of_gyration", "end_to_end"]
