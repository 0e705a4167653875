"""A molecule with its force field: topology, OpenMM System, reference positions, domain and basins."""

import hashlib
import os
import re
import tomllib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import mdtraj
import numpy as np
import openmm
import torch
from openmm import app, unit
from pydantic import ValidationError

from boltzgen import cards, units
from boltzgen.molecule.basins import Basin
from boltzgen.molecule.domain import domain_graph
from boltzgen.molecule.forcefields import OPENMM_DATA
from boltzgen.molecule.graph import MolecularGraph, Quadruple, Rotor, backbone_pairs
from boltzgen.molecule.labels import AtomLabels, atom_names, residue_names
from boltzgen.molecule.names import reason
from boltzgen.molecule.openmm_files import (
    check_constraints,
    first_line,
    forcefield_system,
    load_forcefield,
    read_structure,
    read_system,
    reference_context,
)
from boltzgen.molecule.regions import residue_regions
from boltzgen.molecule.rotamers import rotamers, torsion_states
from boltzgen.molecule.shipped import SYSTEM_FILE, shipped_systems
from boltzgen.molecule.states import BASINS, Regions, Rotamer, States
from boltzgen.molecule.system_file import CONSTRAINTS, Domain, SystemFile
from boltzgen.molecule.torsions import named_torsions

#: kJ/mol by which relabelling a symmetric rotor may change an energy.
ROTOR_TOLERANCE = 1.0


class System:
    """A molecule, its OpenMM System and reference positions.

    Attributes:
        topology: `openmm.app.Topology`.
        openmm_system: `openmm.System`; not to be changed afterwards.
        positions: reference positions, float64 tensor (n_atoms, 3) in nm.
        name: short name.
        description: one line on what it is.
        temperature: default temperature in K.
        domain: where the density is defined.
        basins: named regions of its torsions, first match wins.
        folder: where it was loaded from, or None.
    """

    def __init__(
        self,
        topology: app.Topology,
        openmm_system: openmm.System,
        positions: Any,
        *,
        name: str = "molecule",
        description: str = "",
        temperature: float = 300.0,
        domain: Domain | None = None,
        basins: Sequence[Basin] = (),
        folder: Path | None = None,
    ) -> None:
        values = np.asarray(units.strip_units(positions, "nanometer"), dtype=np.float64)
        n_atoms = topology.getNumAtoms()
        if values.shape != (n_atoms, 3):
            raise ValueError(
                f"expected positions of shape ({n_atoms}, 3) in nm for this topology, got {values.shape}"
            )
        if openmm_system.getNumParticles() != n_atoms:
            raise ValueError(
                f"the topology has {n_atoms} atoms but the OpenMM System {openmm_system.getNumParticles()} "
                "particles; they must match"
            )
        if not np.isfinite(values).all():
            raise ValueError(
                "positions contain NaN or infinite coordinates; give a structure in which every atom is "
                "placed"
            )
        check_constraints(openmm_system)
        self.topology = topology
        self.openmm_system = openmm_system
        self.positions = torch.from_numpy(values.copy())
        self.name = name
        self.description = description
        self.temperature = units.kelvin(temperature)
        self.domain = domain or Domain()
        self.basins = tuple(basins)
        self.folder = folder
        if self.basins:
            Regions.of(self.basins, self.torsions, {})  # for what it says of torsions that are not there

    def __repr__(self) -> str:
        return cards.line(type(self).__name__, self.name, self._facts)

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return cards.table(
            type(self).__name__, self.name, self._facts | {"torsions": ", ".join(self.torsions)}
        )

    @property
    def _facts(self) -> dict[str, object]:
        return {
            "atoms": self.n_atoms,
            "residues": self.topology.getNumResidues(),
            "temperature": f"{self.temperature:g} K",
            **({"basins": ", ".join(basin.name for basin in self.basins)} if self.basins else {}),
        }

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return int(self.topology.getNumAtoms())

    @cached_property
    def mdtraj_topology(self) -> mdtraj.Topology:
        """The same atoms and bonds as MDTraj has them."""
        return mdtraj.Topology.from_openmm(self.topology)

    @cached_property
    def graph(self) -> MolecularGraph:
        """Elements and bonds; raises ValueError unless the molecule is connected."""
        elements = [a.element.symbol if a.element is not None else "X" for a in self.topology.atoms()]
        bonds = [(b[0].index, b[1].index) for b in self.topology.bonds()]
        names = atom_names(self.topology)
        graph = MolecularGraph.from_bonds(elements, bonds, names)
        return domain_graph(graph, self.domain, names)

    @cached_property
    def constraints(self) -> dict[tuple[int, int], float]:
        """Constrained distances in nm by pairs of atoms."""
        found = (
            self.openmm_system.getConstraintParameters(k)
            for k in range(self.openmm_system.getNumConstraints())
        )
        return {
            (min(i, j), max(i, j)): float(units.strip_units(length, "nanometer")) for i, j, length in found
        }

    @cached_property
    def rotors(self) -> list[Rotor]:
        """Symmetric rotors whose branches the force field does not tell apart either.

        An outer one stands before those inside its branches. Exchanging the labels of a perturbed structure
        may change its energy by `ROTOR_TOLERANCE`: Amber force fields define improper torsions about planar
        groups by the order of atoms, so that even a phenyl ring's two sides are equivalent to a few tenths of
        a kJ/mol only.
        """
        found = self.graph.rotors()
        if not found:
            return found
        noise = np.random.default_rng(0).normal(scale=0.003, size=(self.n_atoms, 3))
        context = reference_context(self.openmm_system)

        def potential(order: list[int]) -> float:
            context.setPositions((self.positions.numpy() + noise)[order])
            return float(
                context.getState(getEnergy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
            )

        before, kept = potential(list(range(self.n_atoms))), []
        for rotor in found:
            order = list(range(self.n_atoms))
            for i, j in rotor.exchange or zip(rotor.ends, rotor.ends[1:] + rotor.ends[:1], strict=True):
                order[i] = j
                if rotor.exchange:
                    order[j] = i
            if abs(potential(order) - before) <= ROTOR_TOLERANCE:
                kept.append(rotor)
        return kept

    @cached_property
    def labels(self) -> AtomLabels:
        """What atoms are called within names of torsions and coordinates."""
        return AtomLabels(self.topology)

    @cached_property
    def torsions(self) -> dict[str, Quadruple]:
        """Named torsions as quadruples of atoms: phi, psi, omega and chi of a peptide, and other free ones.

        Those of residue 3 of several amino acids are phi3, psi3, omega3, chi1_3; see `named_torsions`.
        """
        return named_torsions(self.topology, self.graph)

    @cached_property
    def torsion_states(self) -> dict[str, Rotamer]:
        """How named torsions are divided into states, by name."""
        return torsion_states(self.torsions, self.graph, self.rotors)

    @cached_property
    def rotamers(self) -> dict[str, Rotamer]:
        """States of the torsions that are counted by themselves: chi, omega of X-PRO, other free torsions."""
        return rotamers(self.torsion_states, self.graph)

    @cached_property
    def regions(self) -> dict[str, tuple[Basin, ...]]:
        """Regions of (phi, psi) of each amino acid, by its name (``"ALA 2"``), unless `basins` has them."""
        residues = residue_names(self.topology)
        names = [residues[atom.residue.index] for atom in self.topology.atoms()]
        return residue_regions(names, self.torsions, self.graph, self.positions.numpy(), self.basins)

    @cached_property
    def states(self) -> dict[str, States]:
        """Everything whose states tell conformations apart, by name.

        These are the basins (`BASINS`), the regions of residues, and the states of the torsions without those
        phi and psi that have regions.
        """
        groups = ({BASINS: self.basins} if self.basins else {}) | self.regions
        divided = {name for pair in backbone_pairs(self.torsions) for name in pair}
        divided &= {name for basins in self.regions.values() for basin in basins for name in basin.intervals}
        return {
            **{name: Regions.of(group, self.torsions, self.torsion_states) for name, group in groups.items()},
            **{name: states for name, states in self.torsion_states.items() if name not in divided},
        }

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of elements, bonds, domain and every force-field parameter: equal for equal densities."""
        xml = openmm.XmlSerializer.serialize(self.openmm_system)
        digest = hashlib.sha256(re.sub(r'openmmVersion="[^"]*"', "", xml).encode())
        digest.update(repr((self.graph.elements, self.graph.neighbours, self.domain.model_dump())).encode())
        return digest.hexdigest()

    @classmethod
    def load(cls, name_or_folder: str | os.PathLike[str]) -> Self:
        """Load a shipped system by name, or a folder that holds a `system.toml`.

        Raises:
            FileNotFoundError: no such system or folder.
            ValueError: the folder's contents are not a valid system.
        """
        folder = Path(name_or_folder)
        if not (folder / SYSTEM_FILE).is_file():
            shipped = shipped_systems()
            if str(name_or_folder) not in shipped:
                raise FileNotFoundError(
                    f"no system called {str(name_or_folder)!r} and no folder of that name with a "
                    f"system.toml; shipped systems: {', '.join(shipped)}"
                )
            folder = shipped[str(name_or_folder)]
        file = folder / SYSTEM_FILE
        try:
            spec = SystemFile.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
        except RecursionError as error:
            raise ValueError(f"{file} is not a valid system file: it is nested too deeply") from error
        except ValueError as error:
            detail = reason(error) if isinstance(error, ValidationError) else first_line(error)
            raise ValueError(f"{file} is not a valid system file: {detail}") from error
        described: dict[str, Any] = {
            "name": spec.name,
            "description": spec.description,
            "temperature": spec.temperature,
            "domain": spec.domain,
            "basins": spec.basins,
            "folder": folder,
        }
        structure = folder / spec.structure.file
        if spec.forcefield.system is not None:
            topology, positions = read_structure(structure)
            return cls(topology, read_system(folder / spec.forcefield.system), positions, **described)
        # OpenMM's own files are named in full, so that none of that name in the working directory takes their
        # place.
        files = [
            str(OPENMM_DATA / f if (OPENMM_DATA / f).is_file() and not (folder / f).is_file() else folder / f)
            for f in spec.forcefield.files
        ]
        return cls.from_pdb(structure, files, CONSTRAINTS[spec.forcefield.constraints], **described)

    @classmethod
    def from_pdb(
        cls,
        pdb: str | os.PathLike[str],
        forcefield: Sequence[str],
        constraints: Any = None,
        *,
        trust_forcefield: bool = False,
        name: str | None = None,
        **keywords: Any,
    ) -> Self:
        """Build a system from a PDB file and OpenMM force-field files, in vacuum or implicit solvent.

        Args:
            pdb: a PDB file (or PDBx/mmCIF, .cif) with every hydrogen present.
            forcefield: names of files that OpenMM ships (``"amber96.xml"``, ``"implicit/obc1.xml"``) or paths
                of your own.
            constraints: None, or OpenMM's ``app.HBonds`` etc.; passed to `ForceField.createSystem`.
            trust_forcefield: let OpenMM run the Python code that your own force-field files may hold.
            name: defaults to the file's stem.
            **keywords: passed to `System`.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: the PDB cannot be read, the force field does not fit it, or a user's XML file holds a
                script.
        """
        topology, positions = read_structure(Path(pdb))
        fields = load_forcefield(forcefield, trust=trust_forcefield)
        try:
            system = forcefield_system(topology, fields, constraints)
        except Exception as error:
            raise ValueError(
                f"force field {list(forcefield)} does not fit {pdb}: {first_line(error)} "
                "(every residue needs a template and all its hydrogens; the command `boltzgen prepare` says "
                "what is missing and can add hydrogens)"
            ) from error
        return cls(topology, system, positions, name=name or Path(pdb).stem, **keywords)
