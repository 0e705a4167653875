"""How large the molecule is in each conformation of a sample."""

from collections.abc import Callable

import torch
from torch import Tensor

from boltzgen.molecule.measures import measure
from boltzgen.molecule.torsions import alpha_carbons
from boltzgen.samples.draws import Molecule, known_topology
from boltzgen.samples.weighted_samples import WeightedSamples


def radius_of_gyration(samples: WeightedSamples) -> Tensor:
    """Root of sum m |r - c|^2 / sum m with c the centre of mass, float32 (n,) in nm.

    The masses are the elements'. `mdtraj.compute_rg` takes c to be the mean position instead, even where
    masses are given.

    Raises:
        ValueError: the samples carry no topology, see `WeightedSamples.mdtraj_topology`.
    """
    return measure("radius_of_gyration", samples.mdtraj_topology)(samples.x).float()


def end_to_end_distance(samples: WeightedSamples) -> Tensor:
    """Distance of the first amino acid's alpha carbon from the last one's, float32 (n,) in nm.

    Raises:
        ValueError: fewer than two amino acids; or no topology, see `WeightedSamples.mdtraj_topology`.
    """
    return measure("end_to_end", samples.mdtraj_topology)(samples.x).float()


def distance(i: int, j: int) -> Callable[[WeightedSamples], Tensor]:
    """A function of samples: the distance of two atoms, counted from 0, float32 (n,) in nm.

    Raises:
        ValueError: one atom twice; when called, no such atom.
    """
    if i == j:
        raise ValueError(f"expected two different atoms, got {i} twice")

    def found(samples: WeightedSamples) -> Tensor:
        n_atoms = samples.x.shape[1]
        if not (0 <= i < n_atoms and 0 <= j < n_atoms):
            raise ValueError(f"expected atoms from 0 to {n_atoms - 1}, got {i} and {j}")
        return torch.linalg.vector_norm(samples.x[:, i] - samples.x[:, j], dim=-1)

    found.__name__ = f"distance {i}-{j}"
    return found


def sizes_of(molecule: Molecule) -> dict[str, Callable[[WeightedSamples], torch.Tensor]]:
    """Functions that measure how large a molecule is, by name.

    The ends of two amino acids are neighbours at a fixed distance, which says nothing.
    """
    found: dict[str, Callable[[WeightedSamples], torch.Tensor]] = {"radius_of_gyration": radius_of_gyration}
    if len(alpha_carbons(known_topology(molecule))) >= 3:
        found["end_to_end"] = end_to_end_distance
    return found
