"""Regions of (phi, psi) of amino acids: where they are, for which residues, and what samples say of them."""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from boltzgen.molecule.basins import Basin, assign_basins
from boltzgen.molecule.system import System
from boltzgen.samples.file import read_samples
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from tests.helpers.molecules import peptide
from tests.helpers.posing import pose


@cache
def regions(name: str) -> dict[str, tuple[Basin, ...]]:
    return peptide(name).regions


def literal(phi: float, psi: float) -> str:
    """The table of docs/conventions.md for L amino acids, degrees in [-180, 180)."""
    if phi < 0:
        if -100 <= psi < 50:
            return "alphaR"
        return "beta" if phi < -100 else "PPII"
    if phi >= 120:
        return "other"
    return "alphaL" if -30 <= psi < 120 else "C7ax"


def grid() -> tuple[np.ndarray, np.ndarray]:
    edges = [v + d for v in (-180, -120, -100, -50, -30, 0, 50, 100, 120, 180) for d in (-1e-6, 1e-6)]
    values = np.array([*(v for v in edges if -180 <= v < 180), *np.arange(-177.5, 180, 5.0)])
    phi, psi = np.meshgrid(values, values, indexing="ij")
    return phi.ravel(), psi.ravel()


def named(basins: tuple[Basin, ...], phi: np.ndarray, psi: np.ndarray) -> np.ndarray:
    names = next(tuple(b.intervals) for b in basins if b.intervals)
    angles = dict(zip(names, (np.radians(phi), np.radians(psi)), strict=True))
    # No two overlap, so that their order does not matter.
    inside = sum(b.contains(angles).astype(int) for b in basins if b.intervals)
    assert np.max(inside) == 1
    labels = assign_basins(angles, basins)
    assert (labels >= 0).all()
    return np.array([b.name for b in basins])[labels]


def test_regions_are_those_of_the_table() -> None:
    phi, psi = grid()
    (alanine,) = regions("ace_ala_nme").values()
    assert (named(alanine, phi, psi) == np.vectorize(literal)(phi, psi)).all()


def test_regions_of_glycine_are_mirror_images() -> None:
    phi, psi = grid()
    (glycine,) = regions("ace_gly_nme").values()
    here, there = named(glycine, phi, psi), named(glycine, -phi, -psi)
    mirror = {"alphaR": "alphaL", "beta": "beta'", "PPII": "PPII'"}
    mirror |= {b: a for a, b in mirror.items()}
    assert set(here) == mirror.keys()
    assert [mirror[name] for name in here] == there.tolist()
    left = phi < 0
    assert (here[left] == np.vectorize(literal)(phi, psi)[left]).all()


def test_proline_has_regions_of_psi_alone() -> None:
    phi, psi = grid()
    (proline,) = regions("ace_pro_nme").values()
    found = named(proline, phi, psi)
    assert set(found) == {"alphaR", "PPII", "other"}
    assert ((found == "other") == (phi >= 0)).all()
    assert ((found == "alphaR") == (np.vectorize(literal)(phi, psi) == "alphaR")).all()


def test_every_residue_with_phi_and_psi_has_its_own() -> None:
    found = regions("capped_ala3")
    assert list(found) == ["ALA 2", "ALA 3", "ALA 4"]
    assert list(found["ALA 3"][0].intervals) == ["phi3", "psi3"]
    # Ends without caps have one of the two torsions, and keep their own states.
    assert list(regions("gly_ala_val")) == ["ALA 2"]
    states = peptide("gly_ala_val").states
    assert list(states) == ["ALA 2", "phi3", "psi1", "omega1", "omega2", "chi1_3"]


def test_d_amino_acids_have_the_mirror_images() -> None:
    system = peptide("ace_ala_nme")
    mirrored = System(
        system.topology, system.openmm_system, system.positions * torch.tensor([1.0, 1.0, -1.0])
    )
    assert [b.name for b in mirrored.regions["ALA 2"]] == [b.name for b in regions("ace_gly_nme")["GLY 2"]]


def test_a_residue_whose_torsions_a_basin_names_has_none_besides() -> None:
    system = peptide("capped_ala3")
    basin = Basin("turn", phi3=(0, 120), psi4=(-60, 60))
    own = System(system.topology, system.openmm_system, system.positions, basins=[basin])
    assert list(own.regions) == ["ALA 2"]
    assert list(own.states)[:3] == ["basin", "ALA 2", "phi3"]
    assert {"phi3", "psi3", "phi4", "psi4"} <= own.states.keys()


@pytest.fixture(scope="module")
def samples(alanine: System) -> WeightedSamples:
    """600 conformations of alanine dipeptide in PPII, 300 in alphaR and 100 in C7ax, of equal weight."""
    system = System(alanine.topology, alanine.openmm_system, alanine.positions)
    kinds = np.repeat([[-70.0, 140.0], [-70.0, -40.0], [60.0, -60.0]], [600, 300, 100], axis=0)
    x = pose(system, *np.radians(kinds).T)
    zero = torch.zeros(1000)
    return WeightedSamples.from_energies(x, zero, zero, system)


def test_populations_without_basins_are_those_of_regions(samples: WeightedSamples, tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    assert isinstance(samples.system, System)
    with SamplesWriter(path, samples.system, 300.0) as writer:
        writer.write(samples)
    for found in (samples, read_samples(path)):
        rows = {row.name: row.population for row in found.populations()}
        assert rows == pytest.approx(
            {"alphaR": 0.3, "beta": 0.0, "PPII": 0.6, "alphaL": 0.0, "C7ax": 0.1, "other": 0.0}
        )
        assert found.region_populations() == {"ALA 2": found.populations()}
        assert found.free_energy_difference("PPII", "C7ax").delta_f == pytest.approx(math.log(6))
        with pytest.raises(ValueError, match="no basin called 'C5'; this molecule has: alphaR, beta"):
            found.free_energy_difference("PPII", "C5")


def test_regions_of_several_residues_are_named_by_residue(samples: WeightedSamples) -> None:
    system = peptide("capped_ala3")
    x = system.positions.float().expand(20, -1, -1)
    found = WeightedSamples.from_energies(x, torch.zeros(20), torch.zeros(20), system)
    assert len(found.populations()) == 18
    assert {row.name for row in found.populations() if row.population == 1.0} == {
        "ALA 2 beta",
        "ALA 3 beta",
        "ALA 4 beta",
    }
    assert found.free_energy_difference("ALA 3 beta", "ALA 3 PPII").delta_f == math.inf
    with pytest.raises(ValueError, match="'ALA 2 beta' and 'ALA 3 beta' are of different residues"):
        found.free_energy_difference("ALA 2 beta", "ALA 3 beta")


def test_a_molecule_without_basins_and_residues_says_so() -> None:
    system = System.load("dimethoxyethane")
    x, zero = system.positions.float().expand(20, -1, -1), torch.zeros(20)
    with pytest.raises(ValueError, match=r"no basins: give its `system.toml` some \[\[basins\]\]"):
        WeightedSamples.from_energies(x, zero, zero, system).populations()
