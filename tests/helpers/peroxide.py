"""Hydrogen peroxide by a force field whose log Z, energy and differences follow from quadrature."""

import itertools
import math

import numpy as np
import openmm
import torch
from openmm import app

from boltzgen.coordinates.internal import InternalCoordinates
from boltzgen.coordinates.zmatrix import ZMatrix
from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.molecule.system import System

#: H-O-O-H in nm.
POSITIONS = torch.tensor(
    [[-0.03, 0.09, 0.02], [0.0, 0.0, 0.0], [0.145, 0.0, 0.0], [0.18, 0.06, 0.07]], dtype=torch.float64
)


def peroxide(
    *,
    charge: float = 0.0,
    barrier: float = 4.0,
    bond: float = 0.145,
    bends: float = 500.0,
    constraints: bool = False,
) -> System:
    """The molecule at 300 K; hydrogens carry `charge` and oxygens its opposite.

    `barrier` is of the torsion [kJ/mol], `bond` the length of O-O [nm], `bends` the angles' constant
    [kJ/(mol rad^2)]; `constraints` makes all bonds rigid.
    """
    topology, system = app.Topology(), openmm.System()
    residue = topology.addResidue("HPX", topology.addChain())
    elements = [app.element.hydrogen, app.element.oxygen, app.element.oxygen, app.element.hydrogen]
    atoms = [topology.addAtom(f"{e.symbol}{k}", e, residue) for k, e in enumerate(elements)]
    for i in range(3):
        topology.addBond(atoms[i], atoms[i + 1])
    for e in elements:
        system.addParticle(e.mass)
    stretch, bend, twist, pair = (
        openmm.HarmonicBondForce(),
        openmm.HarmonicAngleForce(),
        openmm.PeriodicTorsionForce(),
        openmm.NonbondedForce(),
    )
    for i, length in enumerate((0.097, bond, 0.097)):
        if constraints:
            system.addConstraint(i, i + 1, length)
        else:
            stretch.addBond(i, i + 1, length, 3e5)
    for i in range(2):
        bend.addAngle(i, i + 1, i + 2, 1.75, bends)
    twist.addTorsion(0, 1, 2, 3, 2, 0.0, barrier / 2)
    twist.addTorsion(0, 1, 2, 3, 1, 0.0, barrier / 3)
    for q in (charge, -charge, -charge, charge):
        pair.addParticle(q, 0.1, 0.0)
    for i, j in itertools.combinations(range(4), 2):
        if (i, j) != (0, 3):
            pair.addException(i, j, 0.0, 0.1, 0.0)
    for force in (stretch, bend, twist, pair):
        system.addForce(force)
    return System(topology, system, POSITIONS, name="peroxide")


def quadrature(system: System, order: int = 5, n_torsions: int = 128) -> tuple[float, float]:
    """log Z and the mean of u [kT]: Gauss-Hermite quadrature over bonds and angles, a sum over torsions.

    No flow takes part. `order` is the number of points of each of the five; the error at 5 is below 1e-6.
    """
    internal = InternalCoordinates(ZMatrix.from_graph(system.graph))
    energy = ForceFieldEnergy(system)
    centre = internal.inverse(system.positions)[0]
    kt, forces = 300.0 * 0.00831446261815324, system.openmm_system.getForces()
    nodes, log_weights = [], []
    for row in internal.bond_index.T.tolist():
        for n in range(forces[0].getNumBonds()):
            i, j, length, constant = forces[0].getBondParameters(n)
            if {i, j} == set(row):
                nodes.append(_hermite(length._value, math.sqrt(kt / constant._value), order))
                break
        else:
            length = next(v for p, v in system.constraints.items() if set(p) == set(row))
            nodes.append((np.array([length]), np.zeros(1)))
    for _ in range(2):
        constant = forces[1].getAngleParameters(0)[4]._value
        nodes.append(_hermite(1.75, math.sqrt(kt / constant), order))
    torsions = 2 * math.pi * np.arange(n_torsions) / n_torsions - math.pi
    nodes.append((torsions, np.full(n_torsions, math.log(2 * math.pi / n_torsions))))
    grid = np.stack(np.meshgrid(*(x for x, _ in nodes), indexing="ij"), -1).reshape(-1, len(nodes))
    log_weights = sum(np.meshgrid(*(w for _, w in nodes), indexing="ij")).ravel()
    assert grid.shape[1] == len(centre)
    x, log_det = internal(torch.from_numpy(grid))
    u = energy(x)
    terms = torch.from_numpy(log_weights) - u + log_det
    log_z = torch.logsumexp(terms, 0)
    return float(log_z), float((torch.exp(terms - log_z) * u).sum())


def _hermite(mean: float, deviation: float, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of an integral over x, and the logarithms of their weights."""
    t, w = np.polynomial.hermite.hermgauss(order)
    return mean + math.sqrt(2) * deviation * t, np.log(w) + t**2 + math.log(math.sqrt(2) * deviation)
