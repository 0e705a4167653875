"""What a domain says of atoms by their numbers, on a molecule's bond graph."""

from collections.abc import Sequence
from dataclasses import replace

from boltzgen.molecule.graph import MolecularGraph
from boltzgen.molecule.puckers import may_invert
from boltzgen.molecule.system_file import Domain


def domain_graph(graph: MolecularGraph, domain: Domain, names: Sequence[str]) -> MolecularGraph:
    """The graph with the bonds and centres that keep their sides.

    Raises:
        ValueError: the domain names an atom that is not there, two that are not bonded, or a centre without
            three neighbours; for `inverting`, one that is no nitrogen, or that a ring holds on one side.
    """
    n, near = len(graph.elements), graph.neighbours
    for k in [i for bond in domain.double_bonds for i in bond] + domain.pyramids + domain.inverting:
        if k >= n:
            raise ValueError(f"the domain names atom {k}, expected one of 0 to {n - 1}; check `system.toml`")
    for i, j in domain.double_bonds:
        if j not in near[i]:
            raise ValueError(
                f"`domain.double_bonds` has {names[i]} and {names[j]}, which are not bonded; check "
                "`system.toml`"
            )
    for k in domain.pyramids + domain.inverting:
        if len(near[k]) != 3:
            raise ValueError(
                f"the domain's {names[k]} has {len(near[k])} neighbours, expected three; check `system.toml`"
            )
    for k in domain.inverting:
        if graph.elements[k] != "N" or not may_invert(graph, k):
            raise ValueError(
                f"`domain.inverting` has {names[k]}, expected a nitrogen outside rings, or in one of five to "
                "seven atoms alone; check `system.toml`"
            )
    return replace(
        graph,
        kept_bonds=frozenset(map(frozenset, domain.double_bonds)),
        kept_centres=frozenset(domain.pyramids),
        amides_turn=domain.peptide_bonds == "either",
    )
