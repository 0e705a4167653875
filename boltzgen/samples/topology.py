"""Topologies as MDTraj's HDF5 files hold them: nested dictionaries, stored as JSON."""

from typing import TYPE_CHECKING, Any

import mdtraj
from mdtraj.core import element as elements

if TYPE_CHECKING:
    from openmm import app


def topology_to_dict(topology: "app.Topology") -> dict[str, Any]:
    """An OpenMM topology as MDTraj's HDF5 files hold it."""
    chains = []
    for chain in topology.chains():
        residues = [
            {
                "index": residue.index,
                "name": residue.name,
                "resSeq": int(residue.id) if str(residue.id).lstrip("-").isdigit() else residue.index + 1,
                "segmentID": "",
                "atoms": [
                    {
                        "index": a.index,
                        "name": a.name,
                        "element": a.element.symbol if a.element is not None else "",
                    }
                    for a in residue.atoms()
                ],
            }
            for residue in chain.residues()
        ]
        chains.append({"index": chain.index, "chain_id": chain.id or None, "residues": residues})
    return {"chains": chains, "bonds": [[bond[0].index, bond[1].index] for bond in topology.bonds()]}


def topology_from_dict(held: dict[str, Any]) -> mdtraj.Topology:
    """MDTraj's topology of what `topology_to_dict` made.

    Raises:
        KeyError, TypeError, IndexError: it is anything else.
    """
    topology = mdtraj.Topology()
    for chain_fields in held["chains"]:
        chain = topology.add_chain(chain_fields["chain_id"])
        for fields in chain_fields["residues"]:
            residue = topology.add_residue(
                fields["name"], chain, resSeq=fields["resSeq"], segment_id=fields["segmentID"]
            )
            for atom in fields["atoms"]:
                symbol = atom["element"]
                element = elements.get_by_symbol(symbol) if symbol else elements.virtual
                topology.add_atom(atom["name"], element, residue)
    atoms = list(topology.atoms)
    for i, j in held["bonds"]:
        topology.add_bond(atoms[i], atoms[j])
    return topology
