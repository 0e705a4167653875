"""What a pose of a molecule costs: its energy above the lowest minimum, and how rare its conformer is."""

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import torch
from torch import Tensor

from boltzgen.analysis.states import found_in, weights_of
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.choose import energy_for
from boltzgen.free_energy.found_states import FoundStates
from boltzgen.free_energy.means import probability
from boltzgen.free_energy.result import Result
from boltzgen.generator.relax import relaxed
from boltzgen.molecule.matching import atom_orders
from boltzgen.molecule.system import System
from boltzgen.samples.export import positions_at
from boltzgen.samples.measured_file import MeasuredFile
from boltzgen.samples.sdf import Connections, read_pose
from boltzgen.units import one_kt


@dataclass(frozen=True)
class Strain:
    """A pose beside the free ensemble of its molecule. Energies are those of the force field, in one unit.

    Attributes:
        conformer: wells of the torsions that the pose, relaxed, is in.
        pose_energy: of the pose as it is given, constrained bonds brought to their lengths.
        relaxed_energy: of the minimum near it.
        lowest_energy: of the lowest minimum that was found: of the pose, and of the draw of the lowest energy
            in each conformer of the ensemble.
        lowest_conformer: that it is in.
        strain: `relaxed_energy` less `lowest_energy`.
        moved: root mean square distance of the relaxed pose from the pose in nm, all atoms, superposed.
        population: of the pose's conformer in the ensemble.
        free_energy: -kT ln of it, what it costs to be in that conformer.
        unit: of the energies.
        temperature: of the ensemble in K.
    """

    conformer: str
    pose_energy: float
    relaxed_energy: float
    lowest_energy: float
    lowest_conformer: str
    strain: float
    moved: float
    population: Result
    free_energy: Result
    unit: str
    temperature: float

    def to_dict(self) -> dict[str, Any]:
        """Fields by name, for JSON."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return found | {name: found[name].to_dict() for name in ("population", "free_energy")}


def strain(
    samples: str | os.PathLike[str],
    pose: str | os.PathLike[str],
    system: System | str | Path,
    *,
    unit: str = "kJ/mol",
    barrier: float = 1.0,
    most: int = 50,
) -> Strain:
    """Strain of a pose in the free ensemble.

    Conformers are wells of the torsions, as `state_energies(find=True)` finds them.

    Args:
        samples: samples file of the molecule.
        pose: SDF file of the molecule with all hydrogens, in any order of atoms.
        system: the molecule, or the name or folder that `System.load` finds it by.
        unit: kT, kJ/mol or kcal/mol.
        barrier: in kT, between two wells.
        most: conformers whose minima are looked for.

    Raises:
        FileNotFoundError: no such file or system.
        ValueError: the files are of different molecules or stereoisomers, or the pose has atoms that lie on
            each other.
    """
    molecule = system if isinstance(system, System) else System.load(system)
    drawn = MeasuredFile(samples, system=molecule)
    connections, raw = read_pose(pose)
    coordinates = MolecularCoordinates(molecule)
    x = placed(molecule, coordinates, connections, torch.from_numpy(raw), str(pose))
    energy = energy_for(molecule, drawn.header.temperature)
    start = coordinates.inverse(x)[0]
    end, relaxed_energy = relaxed(coordinates, energy, start)
    pose_energy = float(energy(coordinates(start)[0]))

    header, log_w, temperature = weights_of(drawn, None)
    states, angles = found_in(drawn, header, log_w, barrier=barrier, most=most)
    u = np.concatenate([part.u.numpy() for part in drawn])
    labels = np.where(np.isfinite(log_w), states.labels_of(angles), -1)
    conformer, wells = _conformer(states, coordinates(end)[0])
    inside = np.all([g.labels(angles) == k for g, k in zip(states.groups, wells, strict=True)], axis=0)

    lowest, where = relaxed_energy, conformer
    places = {
        name: int(np.where(labels == k, u, math.inf).argmin())
        for k, name in enumerate(states.names[: len(states.joined)])
    }
    lowest_draws = positions_at(samples, places.values())
    for place in places.values():
        at = coordinates.inverse(torch.from_numpy(lowest_draws[place]).double())[0]
        minimum, found = relaxed(coordinates, energy, at)
        if found < lowest - 1e-6:
            # Relaxed it may be in another conformer than the draw.
            lowest, where = found, _conformer(states, coordinates(minimum)[0])[0]
    kt = one_kt(unit, temperature)
    population = probability(inside, log_w)
    return Strain(
        conformer,
        kt * pose_energy,
        kt * relaxed_energy,
        kt * lowest,
        where,
        kt * (relaxed_energy - lowest),
        _moved(x, coordinates(end)[0]),
        population,
        _cost(population, temperature).to(unit),
        unit,
        temperature,
    )


def _conformer(states: FoundStates, x: Tensor) -> tuple[str, list[int]]:
    """The name of the conformer that positions x (n_atoms, 3) are in, and its well of each group."""
    angles = {name: torsion.angle(x.float()[None]) for name, torsion in states.torsions.items()}
    wells = [int(group.labels(angles)[0]) for group in states.groups]
    return "/".join(group.names[k] for group, k in zip(states.groups, wells, strict=True)), wells


def placed(
    system: System, coordinates: MolecularCoordinates, connections: Connections, x: Tensor, name: str
) -> Tensor:
    """Positions x (n, 3) of a file's atoms in the order of the system's, in its domain.

    Raises:
        ValueError: it is another molecule, or another stereoisomer, or outside the domain.
    """
    neighbours: list[list[int]] = [[] for _ in connections.symbols]
    for i, j in map(sorted, connections.pairs):
        neighbours[i].append(j)
        neighbours[j].append(i)
    elements = system.graph.elements
    orders = atom_orders(elements, system.graph.neighbours, connections.symbols, neighbours)
    broken: dict[str, Tensor] = {}
    for order in orders:
        found = coordinates.canonical(_handed(system, x[order]))
        conditions = coordinates.domain_conditions(coordinates.inverse(found)[0])
        if all(map(bool, conditions.values())):
            return found
        broken = broken or conditions
    if not broken:
        raise ValueError(
            f"{name} is another molecule than {system.name}, or lacks hydrogens; give a pose of the molecule "
            "that was prepared, with all hydrogens"
        )
    why = ", ".join(reason for reason, holds in broken.items() if not holds)
    raise ValueError(
        f"{name} is no conformation of {system.name} that its generator knows: {why}; give a pose of the "
        "same stereoisomer"
    )


def _handed(system: System, x: Tensor) -> Tensor:
    """Positions with hydrogens of a centre exchanged where they are the other way round in the system."""
    x = x.clone()
    for centre, around in enumerate(system.graph.neighbours):
        hydrogens = [j for j in around if system.graph.elements[j] == "H"]
        if len(around) == 4 and len(hydrogens) >= 2:
            a, b, c, _ = sorted(around)
            signs = [
                torch.linalg.det(torch.stack([r[k] - r[centre] for k in (a, b, c)])).sign()
                for r in (x, system.positions)
            ]
            if signs[0] != signs[1]:
                first, second = hydrogens[:2]
                x[[first, second]] = x[[second, first]]
    return x


def _moved(x: Tensor, y: Tensor) -> float:
    """Root mean square distance of conformations (n, 3) in nm, the second one turned onto the first."""
    first, second = (mdtraj.Trajectory(one.numpy()[None], None) for one in (x, y))
    return float(mdtraj.rmsd(second, first)[0])


def _cost(population: Result, temperature: float) -> Result:
    """-ln of a population in kT."""
    value, low, high = (
        -math.log(p) if p > 0 else math.inf for p in (population.value, population.high, population.low)
    )
    error = population.error / population.value if population.value > 0 else math.nan
    if not math.isfinite(population.high):
        low = -math.inf
    return replace(
        population, value=value, error=error, low=low, high=high, unit="kT", temperature=temperature
    )
