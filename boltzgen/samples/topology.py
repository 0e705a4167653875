"""Topologies as MDTraj's HDF5 files hold them: nested dictionaries, stored as JSON."""

from operator import itemgetter
from typing import Any

import mdtraj
from mdtraj.core import element as elements


def topology_to_dict(topology: mdtraj.Topology) -> dict[str, Any]:
    """A topology as MDTraj's HDF5 files hold it."""
    chains = []
    for chain in topology.chains:
        residues = [
            {
                "index": residue.index,
                "name": residue.name,
                "resSeq": int(residue.resSeq),
                "segmentID": residue.segment_id,
                "atoms": [
                    {
                        "index": a.index,
                        "name": a.name,
                        "element": a.element.symbol if a.element is not None else "",
                    }
                    for a in residue.atoms
                ],
            }
            for residue in chain.residues
        ]
        chains.append({"index": chain.index, "chain_id": chain.chain_id or None, "residues": residues})
    return {"chains": chains, "bonds": [[bond[0].index, bond[1].index] for bond in topology.bonds]}


def topology_from_dict(held: dict[str, Any]) -> mdtraj.Topology:
    """MDTraj's topology of what `topology_to_dict`, or MDTraj, made.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is anything else.
    """
    topology = mdtraj.Topology()
    for chain_fields in _in_order(held["chains"]):
        chain = topology.add_chain(chain_fields.get("chain_id"))
        for fields in _in_order(chain_fields["residues"]):
            residue = topology.add_residue(
                _text(fields["name"]),
                chain,
                resSeq=_number(fields["resSeq"]) if "resSeq" in fields else None,
                segment_id=_text(fields.get("segmentID", "")),
            )
            for atom in _in_order(fields["atoms"]):
                try:
                    element = elements.get_by_symbol(_text(atom["element"]))
                except KeyError:
                    element = elements.virtual
                topology.add_atom(_text(atom["name"]), element, residue)
    atoms = list(topology.atoms)
    for bond in held["bonds"]:
        i, j = map(_number, bond)
        if i == j or not (0 <= i < len(atoms) and 0 <= j < len(atoms)):
            raise ValueError(f"a bond between atoms {i} and {j} of {len(atoms)}")
        topology.add_bond(atoms[i], atoms[j])
    return topology


def _in_order(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(parts, key=itemgetter("index"))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r}")
    return value


def _number(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"expected a whole number, got {value!r}")
    return value
