"""Which states a torsion has by the atoms on its bond, and regions of torsions whose ends are equivalent."""

import numpy as np
import pytest
import torch

from boltzgen.molecule.basins import Basin
from boltzgen.molecule.graph import MolecularGraph, Quadruple
from boltzgen.molecule.rotamers import rotamers, torsion_states
from boltzgen.molecule.states import DIVISIONS, Regions, Rotamer

PHENYL = [(i, (i + 1) % 6) for i in range(6)]
PLANAR = [1] * 6


def molecule(heavy: str, bonds: list[tuple[int, int]], hydrogens: list[int]) -> MolecularGraph:
    """Heavy atoms, with so many hydrogens on each, which follow in their order."""
    elements, joined = [*heavy], list(bonds)
    for i, n in enumerate(hydrogens):
        for _ in range(n):
            joined.append((i, len(elements)))
            elements.append("H")
    return MolecularGraph.from_bonds(elements, joined)


def chain(n: int) -> list[tuple[int, int]]:
    return [(i, i + 1) for i in range(n - 1)]


def on_phenyl(heavy: str, bonds: list[tuple[int, int]], hydrogens: list[int]) -> MolecularGraph:
    """Heavy atoms after the six of a benzene ring, of which those with such bonds have no hydrogen."""
    substituted = {i for bond in bonds for i in bond if i < 6}
    return molecule(
        "C" * 6 + heavy, PHENYL + bonds, [int(i not in substituted) for i in range(6)] + hydrogens
    )


BIPHENYL = [(6 + i, 6 + (i + 1) % 6) for i in range(6)] + [(0, 6)]
#: Molecules, a torsion in them, and its division.
TORSIONS: dict[str, tuple[MolecularGraph, Quadruple, str]] = {
    "butane": (molecule("CCCC", chain(4), [3, 2, 2, 3]), (0, 1, 2, 3), "threefold"),
    "ethanol": (molecule("CCO", chain(3), [3, 2, 1]), (0, 1, 2, 8), "threefold"),
    "diethyl ether": (molecule("CCOCC", chain(5), [3, 2, 0, 2, 3]), (1, 2, 3, 4), "threefold"),
    "ethylamine": (molecule("CCN", chain(3), [3, 2, 2]), (0, 1, 2, 8), "amine"),
    "N-methylethylamine": (molecule("CCNC", chain(4), [3, 2, 1, 3]), (0, 1, 2, 3), "threefold"),
    "hydrogen peroxide": (molecule("OO", [(0, 1)], [1, 1]), (2, 0, 1, 3), "sides"),
    "diethyl disulfide": (molecule("CCSSCC", chain(6), [3, 2, 0, 0, 2, 3]), (1, 2, 3, 4), "sides"),
    "its end": (molecule("CCSSCC", chain(6), [3, 2, 0, 0, 2, 3]), (0, 1, 2, 3), "threefold"),
    "butadiene": (molecule("CCCC", chain(4), [2, 1, 1, 2]), (0, 1, 2, 3), "planar"),
    "1-butene": (molecule("CCCC", chain(4), [2, 1, 2, 3]), (0, 1, 2, 3), "eclipsed"),
    "propanal": (molecule("CCCO", chain(4), [3, 2, 1, 0]), (0, 1, 2, 3), "eclipsed"),
    "propanal to H": (molecule("CCCO", chain(4), [3, 2, 1, 0]), (0, 1, 2, 9), "threefold"),
    "propanoic acid": (molecule("CCCOO", [*chain(4), (2, 4)], [3, 2, 0, 0, 1]), (1, 2, 4, 10), "planar"),
    "propanoate": (molecule("CCCOO", [*chain(4), (2, 4)], [3, 2, 0, 0, 0]), (0, 1, 2, 3), "twofold"),
    "ethyl acetate": (
        molecule("CCOOCC", [(0, 1), (1, 2), (1, 3), (3, 4), (4, 5)], [3, 0, 0, 0, 2, 3]),
        (0, 1, 3, 4),
        "planar",
    ),
    "its alkyl end": (
        molecule("CCOOCC", [(0, 1), (1, 2), (1, 3), (3, 4), (4, 5)], [3, 0, 0, 0, 2, 3]),
        (1, 3, 4, 5),
        "threefold",
    ),
    "N-methylpropanamide": (
        molecule("CCCONC", [*chain(4), (2, 4), (4, 5)], [3, 2, 0, 0, 1, 3]),
        (0, 1, 2, 3),
        "eclipsed",
    ),
    "its amide": (molecule("CCCONC", [*chain(4), (2, 4), (4, 5)], [3, 2, 0, 0, 1, 3]), (1, 2, 4, 5), "amide"),
    "acetaldoxime": (molecule("CCNO", chain(4), [3, 1, 0, 1]), (1, 2, 3, 8), "planar"),
    "phenol": (on_phenyl("O", [(0, 6)], [1]), (1, 0, 6, 12), "twofold"),
    "o-cresol": (on_phenyl("OC", [(0, 6), (1, 7)], [1, 3]), (1, 0, 6, 12), "planar"),
    "benzaldehyde": (on_phenyl("CO", [(0, 6), (6, 7)], [1, 0]), (1, 0, 6, 7), "twofold"),
    "ethylbenzene": (on_phenyl("CC", [(0, 6), (6, 7)], [2, 3]), (1, 0, 6, 7), "twofold"),
    "o-ethyltoluene": (on_phenyl("CCC", [(0, 6), (6, 7), (1, 8)], [2, 3, 3]), (1, 0, 6, 7), "sides"),
    "cresol's far end": (
        on_phenyl("CCO", [(0, 6), (6, 7), (3, 8)], [2, 3, 1]),
        (2, 3, 8, 18),
        "twofold",
    ),
    "N-ethylimidazole": (
        molecule("NCNCCCC", [*chain(5), (4, 0), (0, 5), (5, 6)], [0, 1, 0, 1, 1, 2, 3]),
        (1, 0, 5, 6),
        "sides",
    ),
    "biphenyl": (on_phenyl("C" * 6, BIPHENYL, [0, 1, 1, 1, 1, 1]), (1, 0, 6, 7), "twist"),
    "2-methylbiphenyl": (
        on_phenyl("C" * 7, [*BIPHENYL, (1, 12)], [0, 1, 1, 1, 1, 1, 3]),
        (1, 0, 6, 7),
        "twist",
    ),
    "2,2'-dimethylbiphenyl": (
        on_phenyl("C" * 8, [*BIPHENYL, (1, 12), (7, 13)], [0, 0, 1, 1, 1, 1, 3, 3]),
        (1, 0, 6, 7),
        "quarters",
    ),
    "cyclobutane": (molecule("CCCC", [*chain(4), (3, 0)], [2] * 4), (0, 1, 2, 3), "ring"),
}


@pytest.mark.parametrize("name", TORSIONS)
def test_states_follow_from_the_atoms_on_the_bond(name: str) -> None:
    graph, atoms, division = TORSIONS[name]
    for torsion in (atoms, atoms[::-1]):
        found = torsion_states({"torsion": torsion}, graph, graph.rotors())
        assert found["torsion"].division == division
        # Backwards it is the same angle to the same ends.
        ends = {min(t, t[::-1]) for t in found["torsion"].torsions}
        assert len(ends) == len(found["torsion"].torsions)
        assert (len(ends) > 1) == (DIVISIONS[division].period == 180.0)
        assert rotamers(found, graph).keys() == (set() if name == "its amide" else {"torsion"})


def test_a_torsion_with_an_equivalent_elsewhere_has_no_states() -> None:
    """1,3-dimethoxybenzene with its methyls' carbons alone: the two C-O bonds exchange their labels."""
    graph = on_phenyl("OCOCCC", [(0, 6), (6, 7), (2, 8), (8, 9), (1, 10), (10, 11)], [0, 3, 0, 3, 2, 3])
    torsions = {"first": (1, 0, 6, 7), "second": (1, 2, 8, 9), "between": (0, 1, 10, 11)}
    found = torsion_states(torsions, graph, graph.rotors())
    assert {name: states.division for name, states in found.items()} == {"between": "twofold"}


def chain_at(torsion: np.ndarray) -> torch.Tensor:
    """Five atoms: a torsion 0-1-2-3 in radians, and an end 4 opposite to 3."""
    one, zero = np.ones_like(torsion), np.zeros_like(torsion)
    ends = [(np.cos(t), np.sin(t), one) for t in (torsion, torsion + np.pi)]
    atoms = [(one, zero, zero), (zero, zero, zero), (zero, zero, one), *ends]
    return torch.from_numpy(np.stack([np.stack(a, -1) for a in atoms], 1))


def test_intervals_of_a_twofold_torsion_do_not_depend_on_labels() -> None:
    degrees = np.array([10.0, 89.0, 91.0, 170.0, -10.0, -91.0, -170.0])
    torsions, both = {"chi2": (0, 1, 2, 3)}, Rotamer("twofold", ((0, 1, 2, 3), (0, 1, 2, 4)))
    basins = [Basin("flat", chi2=(-45, 45)), Basin("up", chi2=(90, 135))]
    x = chain_at(np.radians(degrees))
    one_end = Regions.of(basins, torsions, {})
    assert one_end.labels(x).tolist() == [0, -1, 1, -1, 0, -1, -1]
    two_ends = Regions.of(basins, torsions, {"chi2": both})
    assert two_ends.labels(x).tolist() == [0, -1, 1, 0, 0, -1, 0]
    exchanged = x[:, [0, 1, 2, 4, 3]]
    assert two_ends.labels(exchanged).tolist() == two_ends.labels(x).tolist()


def test_lone_pairs_of_amines_are_opposite_their_hydrogens() -> None:
    """An NH2 with hydrogens 120 degrees apart, turned to where its lone pair is g+, t, g-."""
    amine = Rotamer("amine", ((0, 1, 2, 3), (0, 1, 2, 4)))
    for degrees, state in ((60.0, "g+"), (180.0, "t"), (-60.0, "g-")):
        pair = np.radians(np.array([degrees - 25, degrees, degrees + 25]))
        x = chain_at(pair + np.radians(120))
        x[:, 4] = chain_at(pair - np.radians(120))[:, 3]
        assert [amine.names[k] for k in amine.labels(x)] == [state] * 3
        assert [amine.names[k] for k in amine.labels(x[:, [0, 1, 2, 4, 3]])] == [state] * 3


def test_one_region_may_be_everything() -> None:
    regions = Regions.of([Basin("all")], {}, {})
    assert (regions.names, regions.labels(chain_at(np.zeros(3))).tolist()) == (("all",), [0, 0, 0])


def test_unknown_divisions_and_torsions_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a division of a torsion .*threefold.*, got 'fivefold'"):
        Rotamer("fivefold", ((0, 1, 2, 3),))
    with pytest.raises(ValueError, match="basin 'b' names a torsion 'chi9' that .*has not; it has: phi, psi"):
        Regions.of([Basin("b", chi9=(0, 90))], {"phi": (0, 1, 2, 3), "psi": (1, 2, 3, 4)}, {})
