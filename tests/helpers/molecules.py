"""Molecules that many tests look at, and configurations of them."""

import math
from pathlib import Path

import numpy as np
import openmm
import torch
from openmm import app
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.molecule.graph import MolecularGraph, Rotor
from boltzgen.molecule.system import System

FOLDER = Path(__file__).parents[1] / "data" / "peptides"
PEPTIDES = sorted(file.stem for file in FOLDER.glob("*.pdb"))
AMBER = ["amber14/protein.ff14SB.xml", "implicit/obc2.xml"]
#: The hydrogens of the methyl groups of alanine dipeptide.
METHYLS = ((0, 2, 3), (11, 12, 13), (19, 20, 21))
#: 2-butanol without its methyls' hydrogens told apart: CH3-CH(OH)-CH2-CH3, centre at atom 1.
BUTANOL = MolecularGraph.from_bonds(
    [*"CCCCOHHHHHHHHHH"],
    [
        (0, 1),
        (1, 2),
        (2, 3),
        (1, 4),
        (4, 5),
        (1, 6),
        (0, 7),
        (0, 8),
        (0, 9),
        (2, 10),
        (2, 11),
        (3, 12),
        (3, 13),
        (3, 14),
    ],
)


def peptide(name: str, constraints: object = None) -> System:
    """A file of tests/data/peptides with amber14 and OBC2."""
    return System.from_pdb(FOLDER / f"{name}.pdb", AMBER, constraints)


def bare(elements: str, bonds: list[tuple[int, int]], positions: list[tuple[float, float, float]]) -> System:
    """A molecule without forces, placed in Angstrom."""
    topology, system = app.Topology(), openmm.System()
    residue = topology.addResidue("MOL", topology.addChain())
    atoms = [
        topology.addAtom(f"{e}{k}", app.Element.getBySymbol(e), residue)
        for k, e in enumerate(elements.split())
    ]
    for i, j in bonds:
        topology.addBond(atoms[i], atoms[j])
    for _ in atoms:
        system.addParticle(1.0)
    return System(topology, system, torch.tensor(positions) * 0.1)


#: CH3-C#C-CH2-OH, with the alkyne a little bent, drawn along x.
BUTYNOL = bare(
    "C C C C O H H H H H H",
    [(0, 1), (1, 2), (2, 3), (3, 4), (0, 5), (0, 6), (0, 7), (3, 8), (3, 9), (4, 10)],
    [
        (-1.45, 0.0, 0.05),
        (0.0, 0.0, 0.0),
        (1.2, 0.0, 0.02),
        (2.65, 0.1, 0.0),
        (3.1, 1.4, 0.2),
        (-1.8, 1.03, 0.0),
        (-1.8, -0.51, 0.89),
        (-1.8, -0.51, -0.89),
        (3.05, -0.45, 0.85),
        (3.0, -0.4, -0.9),
        (4.05, 1.4, 0.3),
    ],
)


def random_y(coordinates: MolecularCoordinates, n: int, seed: int = 0, spread: float = 0.3) -> Tensor:
    """Coordinates (n, n_periodic + n_stiff): uniform torsions, and normal stiff ones of this spread."""
    generator = torch.Generator().manual_seed(seed)
    circles = (
        torch.rand(n, coordinates.n_periodic, generator=generator, dtype=torch.float64) * 2 - 1
    ) * math.pi
    return torch.cat(
        (circles, spread * torch.randn(n, coordinates.n_stiff, generator=generator, dtype=torch.float64)),
        dim=-1,
    )


def rotation(w: Tensor) -> Tensor:
    """The matrix that turns about the axis w by |w|."""
    zero = torch.zeros((), dtype=w.dtype)
    generator = torch.stack(
        [torch.stack([zero, -w[2], w[1]]), torch.stack([w[2], zero, -w[0]]), torch.stack([-w[1], w[0], zero])]
    )
    return torch.linalg.matrix_exp(generator)


def random_labels(x: Tensor, seed: int = 1) -> Tensor:
    """The same conformations x (n, 22, 3) with the hydrogens of each methyl permuted at random, mirrored
    labellings included.
    """
    rng, out = np.random.default_rng(seed), x.clone()
    for methyl in METHYLS:
        order = torch.from_numpy(rng.permuted(np.tile(methyl, (len(x), 1)), axis=1))
        out[:, list(methyl)] = x[torch.arange(len(x))[:, None], order]
    return out


def relabelled(x: Tensor, rotor: Rotor, generator: torch.Generator) -> Tensor:
    """x (n, n_atoms, 3) with the rotor's branches under random labels of those that a rotation reaches."""
    shifts = torch.randint(rotor.fold, (len(x),), generator=generator)
    order = torch.arange(x.shape[1]).repeat(len(x), 1)
    if rotor.fold == 2:
        for i, j in rotor.exchange:
            order[shifts == 1, i], order[shifts == 1, j] = j, i
    else:
        for k, end in enumerate(rotor.ends):
            order[:, end] = torch.tensor(rotor.ends)[(k + shifts) % 3]
    return torch.take_along_dim(x, order.unsqueeze(-1), dim=1)
