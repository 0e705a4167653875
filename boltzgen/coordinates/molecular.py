"""Flow coordinates of a molecule: periodic torsions, and stiff coordinates of order one, on a domain."""

import math

import torch
from torch import Tensor
from typing_extensions import override

from boltzgen.coordinates.internal import InternalCoordinates
from boltzgen.coordinates.rotor import RotorTorsions
from boltzgen.coordinates.zmatrix import TorsionKind, ZMatrix
from boltzgen.flow.transform import Transform
from boltzgen.geometry import wrap
from boltzgen.molecule.labels import atom_names
from boltzgen.molecule.puckers import puckers
from boltzgen.molecule.system import System

#: Scales used before a Hessian is known: bonds [nm], angles and stiff torsions [radians].
DEFAULT_SCALES = (0.003, 0.06, 0.1)
#: Constrained bonds of given positions may differ from their lengths by this much [nm].
CONSTRAINT_TOLERANCE = 1e-4


class MolecularCoordinates(Transform):
    """The map from flow coordinates y (..., n_periodic + n_stiff) to positions x (..., n, 3) in nm.

    There are 3n - 6 of them, less one for each constrained bond, whose length is that of the constraint. y
    holds first the periodic torsions, in [-pi, pi), then the stiff coordinates, of order one:

    * full torsions (phi, psi, chi, ...), as they are, modulo 2 pi; the offsets at nitrogens that invert
      (`Domain.inverting`); and torsions of rings that change their shape, times `Pucker.fold`;
    * symmetric rotors (CH3, NH3+, COO-, phenyl): fold (tau - tau_ref) with tau the mean torsion of the 2 or 3
      equivalent ends, restricted to 1/fold of the circle: one labelling of the equivalent atoms, see
      `RotorTorsions`;
    * bonds, angles, improper offsets, torsions of rigid rings, peptide omegas, torsions of double bonds
      (`Domain.double_bonds`) and the bends of straight groups: (r - reference) / scale.

    `forward` never wraps or clamps: `in_domain(y)` says where y lies in the domain of `System.domain`;
    elsewhere the density is zero (u = +inf). `inverse` maps any positions; those outside the domain give a y
    for which `in_domain` is false. It says nothing about the lengths of constrained bonds, see
    `on_constraints`. `forward_in_domain` and `inverse_in_domain` map and test at once.

    Attributes:
        n_full, n_rotors, n_periodic, n_stiff: how many coordinates of each kind.
        graph: elements and bonds.
        rotors: the symmetric rotors, in the order of their torsions in y.
        order: the internal coordinate that each flow coordinate stands for; a rotor's mean torsion takes the
            place of its first end's torsion.
        stiff_index: the stiff coordinates' part of it.
        fixed: constrained bonds' internal coordinates.
        handed: what keeps the handedness of each centre with four neighbours that is no rotor: an offset, its
            sign in the input structure, and whether the centre is a stereocentre.
        reference, scale: buffers (3n - 6,), in the internal coordinates' own units and order.
    """

    reference: Tensor
    scale: Tensor
    _place: Tensor
    _stiff: Tensor
    _turned: Tensor
    _twists: Tensor
    _fold: Tensor

    def __init__(self, system: System, reference: Tensor | None = None, scale: Tensor | None = None) -> None:
        super().__init__()
        self.graph = graph = system.graph
        self.zmatrix = ZMatrix.from_graph(graph)
        self.internal = InternalCoordinates(self.zmatrix)
        self.n_atoms = n = system.n_atoms
        rows = self.zmatrix.torsion_rows
        position = {row.atom: 2 * n - 3 + k for k, row in enumerate(rows)}
        lengths = self._constrained(system)
        self.fixed = sorted(lengths)
        if reference is None:
            reference = self.internal.inverse(system.positions)[0]
        if scale is None:
            bond, bend, twist = DEFAULT_SCALES
            scale = torch.tensor([bond] * (n - 1) + [bend] * (n - 2) + [twist] * (n - 3), dtype=torch.float64)
            scale[[position[r.atom] - (n - 3) for r in rows if r.kind is TorsionKind.LINEAR]] = twist
        if not (reference.shape == scale.shape == (3 * n - 6,)) or not bool((scale > 0).all()):
            raise ValueError(
                f"expected a reference and positive scales of the {3 * n - 6} internal coordinates, got "
                f"{tuple(reference.shape)} and {tuple(scale.shape)}"
            )
        reference = reference.to(torch.float64).clone()
        for k, length in lengths.items():
            reference[k] = length

        self._outer = system.rotors
        found = [RotorTorsions.find(self.zmatrix, rotor) for rotor in self._outer]
        rotors = {r.leader: r for r in found if r is not None}
        full: list[int] = []
        own = self.internal.inverse(system.positions)[0]
        self._kept: list[tuple[int, float]] = []  # and the sign of cos(r) in the reference
        in_threefold = {k for r in rotors.values() if r.fold == 3 for k in r.offsets}
        inverting = set(system.domain.inverting)
        self._omegas: list[int] = []
        self._cis_signs: list[float] = []  # of cos(r) where the bond is cis
        peptide = {frozenset(b): b for b in graph.peptide_bonds()}
        rings = puckers(graph)
        folds: dict[int, int] = {}
        for row in rows:
            k = position[row.atom]
            if row.kind is TorsionKind.PROPER and k not in rotors:
                if amide := peptide.get(frozenset((row.bonded, row.second))):
                    self._omegas.append(k)
                    # Each end of the torsion that is not omega's own turns cis into trans.
                    self._cis_signs.append((-1.0) ** len({row.atom, row.third} - set(graph.omega(amide))))
                elif frozenset((row.bonded, row.second)) in graph.kept_bonds:
                    self._kept.append((k, 1.0 if torch.cos(own[k]) > 0 else -1.0))
                else:
                    full.append(k)
            elif row.kind is TorsionKind.OFFSET and row.bonded in inverting and k not in in_threefold:
                full.append(k)  # either side of the nitrogen
            elif row.kind is TorsionKind.RING:
                for ring in rings.get(frozenset((row.bonded, row.second)), ()):
                    if ring.ends(row.bonded) == (row.atom, row.third) and k not in folds:
                        full.append(k)
                        folds[k] = ring.fold
        # Where an angle is cut: pi away from this. Two equivalent ends have offsets in (0, 2 pi), other
        # stiff torsions lie about the reference.
        centre = {
            k: float(reference[k])
            for k in [position[r.atom] for r in rows if r.kind in (TorsionKind.OFFSET, TorsionKind.RING)]
            if k not in full
        }
        centre |= {k: float(reference[k]) for k in [*self._omegas, *(k for k, _ in self._kept)]}
        for rotor in rotors.values():
            if rotor.fold == 2:
                centre[rotor.offsets[0]] = math.pi
                reference[rotor.offsets[0]] = torch.remainder(reference[rotor.offsets[0]], 2 * math.pi)
        # Torsions that follow each other along the backbone, then along a side chain, are neighbours.
        walk = {atom: k for k, atom in enumerate(self.zmatrix.along_branches(main_chain_first=True))}
        full.sort(key=lambda k: walk[rows[k - (2 * n - 3)].atom])
        periodic = full + sorted(rotors)
        self.stiff_index = stiff = [
            k for k in range(3 * n - 6) if k not in set(periodic) and k not in lengths
        ]
        # Offsets of two equivalent ends are in (0, 2 pi), wherever a circle is cut.
        twofold = {k for r in rotors.values() if r.fold == 2 for k in r.offsets}
        self._hold("_turned", [i for i, k in enumerate(full) if k in twofold])
        self.n_full, self.n_rotors = len(full), len(rotors)
        self.n_periodic, self.n_stiff = len(periodic), len(stiff)
        self._full = full
        fold = torch.tensor([folds.get(k, 1) for k in full], dtype=torch.float64)
        self.register_buffer("_fold", fold, persistent=False)
        self._folded = [i for i, k in enumerate(full) if folds.get(k, 1) > 1]
        self.order = periodic + stiff
        place = {k: i for i, k in enumerate([*self.order, *self.fixed])}
        # Tensors, as indexing with lists takes several times as long.
        self._hold("_place", [place[k] for k in range(3 * n - 6)])  # (y, constrained) order -> r order
        self._hold("_stiff", stiff)
        self._hold("_twists", list(centre))
        self._centres = torch.tensor(list(centre.values()), dtype=torch.float64)
        self._place_of_stiff = {k: i for i, k in enumerate(stiff)}

        self.register_buffer("reference", reference)
        self.register_buffer("scale", scale.to(torch.float64).clone())
        names = atom_names(system.topology)
        self.rotors = [rotors[k].oriented(reference, names) for k in sorted(rotors)]
        self.handed = self._handedness(system, position)

    def _hold(self, name: str, index: list[int]) -> None:
        self.register_buffer(name, torch.tensor(index, dtype=torch.long), persistent=False)

    def _constrained(self, system: System) -> dict[int, float]:
        """Internal coordinate and length in nm of each constrained bond."""
        bond = {frozenset((row.atom, row.bonded)): k for k, row in enumerate(self.zmatrix.rows[1:])}
        lengths = {}
        for (i, j), length in system.constraints.items():
            if frozenset((i, j)) not in bond:
                names = atom_names(system.topology)
                raise ValueError(
                    f"the distance between {names[i]} and {names[j]} is constrained, but it is not a bond "
                    "outside every ring; constrain bonds to hydrogens only (HBonds), or nothing"
                )
            lengths[bond[frozenset((i, j))]] = length
        return lengths

    def _handedness(self, system: System, position: dict[int, int]) -> list[tuple[int, float, bool]]:
        """`handed`."""
        r = self.internal.inverse(system.positions)[0]
        handed, seen = [], {rotor.rotor.centre for rotor in self.rotors}
        stereocentres = set(system.graph.stereocentres())
        self._pyramids: list[tuple[int, float]] = []
        for row in self.zmatrix.torsion_rows:
            j = row.bonded
            if row.kind is TorsionKind.OFFSET and j in system.graph.kept_centres:
                k = position[row.atom]
                self._pyramids.append((k, 1.0 if r[k] > 0 else -1.0))
            if row.kind is TorsionKind.OFFSET and len(system.graph.neighbours[j]) == 4 and j not in seen:
                seen.add(j)
                k = position[row.atom]
                handed.append((k, 1.0 if r[k] > 0 else -1.0, j in stereocentres))
        return handed

    def to_internal(self, y: Tensor) -> Tensor:
        """Internal coordinates r (..., 3n - 6), in radians and nm, of flow coordinates y."""
        reference, scale = self.reference.to(y.dtype), self.scale.to(y.dtype)
        stiff = reference[self._stiff] + scale[self._stiff] * y[..., self.n_periodic :]
        full = self.full_torsions(y)
        if len(self._turned):
            full = full.index_copy(-1, self._turned, torch.remainder(full[..., self._turned], 2 * math.pi))
        place, columns = self._place_of_stiff, [full]
        for m, rotor in enumerate(self.rotors):
            mean = rotor.mean(reference) + y[..., self.n_full + m] / rotor.fold
            offsets = (
                stiff[..., place[k]] if k in place else full[..., self._full.index(k)] for k in rotor.offsets
            )
            columns.append((mean - sum(offsets) / rotor.fold).unsqueeze(-1))
        fixed = reference[self.fixed].expand(*y.shape[:-1], len(self.fixed))
        return torch.cat((*columns, stiff, fixed), dim=-1).index_select(-1, self._place)

    def full_torsions(self, y: Tensor) -> Tensor:
        """The full torsions themselves, (..., n_full) in radians, of flow coordinates y."""
        return y[..., : self.n_full] / self._fold.to(y.dtype)

    def from_internal(self, r: Tensor) -> Tensor:
        """Flow coordinates y of internal coordinates r, stiff torsions taken within pi of their centre."""
        return self._from_centred(self._centred(r))

    def _centred(self, r: Tensor) -> Tensor:
        """Internal coordinates r with stiff torsions within pi of their centre."""
        centres, centred = self._centres.to(r), r.clone()
        centred[..., self._twists] = centres + wrap(r[..., self._twists] - centres)
        return centred

    def _from_centred(self, r: Tensor) -> Tensor:
        reference, scale = self.reference.to(r.dtype), self.scale.to(r.dtype)
        # Of a rotor's torsion y has 1/fold of the circle: what lies beyond is another labelling, outside the
        # domain.
        rotors = [
            rotor.fold * wrap(rotor.mean(r) - rotor.mean(reference)).unsqueeze(-1) for rotor in self.rotors
        ]
        stiff = (r - reference)[..., self._stiff] / scale[self._stiff]
        full = self._fold.to(r.dtype) * wrap(r[..., self._full])
        return torch.cat((full, *rotors, stiff), dim=-1)

    def in_domain(self, y: Tensor) -> Tensor:
        """Whether flow coordinates y lie in the domain, bool (...). NaN is outside."""
        return _all(self.domain_conditions(y))

    @torch.no_grad()
    def domain_conditions(self, y: Tensor) -> dict[str, Tensor]:
        """Whether y meets each condition of the domain, bool (...), by the name of what breaks it."""
        return self._conditions(y, self.to_internal(y))

    def _conditions(self, y: Tensor, r: Tensor) -> dict[str, Tensor]:
        n = self.n_atoms
        bonds, bends = r[..., : n - 1], self.internal.angles(r)
        twists = r[..., self._twists] - self._centres.to(r)
        everywhere = torch.ones(y.shape[:-1], dtype=torch.bool, device=y.device)
        conditions = {
            "geometry": (bonds > 0).all(-1)
            & ((bends > 0) & (bends < math.pi)).all(-1)
            & (twists.abs() < math.pi).all(-1),
            "other enantiomer": everywhere,
            "cis peptide bond": everywhere,
            "exchanged hydrogens": everywhere,
        }
        for k, sign in zip(self._omegas, self._cis_signs, strict=True):
            trans = sign * torch.cos(r[..., k]) < 0
            conditions["cis peptide bond"] = conditions["cis peptide bond"] & trans
        for k, sign in self._kept:
            name = "turned double bond"
            conditions[name] = conditions.get(name, everywhere) & (sign * torch.cos(r[..., k]) > 0)
        for k, sign in self._pyramids:
            name = "inverted centre"
            conditions[name] = conditions.get(name, everywhere) & (sign * torch.sin(r[..., k]) > 0)
        for k, sign, stereocentre in self.handed:
            name = "other enantiomer" if stereocentre else "exchanged hydrogens"
            conditions[name] = conditions[name] & (sign * torch.sin(r[..., k]) > 0)
        # float32's nearest value to pi lies just above it.
        within = y[..., : self.n_periodic].abs() <= math.pi + 1e-6
        labelled = within[..., self.n_full :].all(-1)
        for rotor in self.rotors:
            labelled = labelled & rotor.spread(r)
        conditions["equivalent atoms"] = labelled
        if self._folded:
            conditions["turned ring"] = within[..., self._folded].all(-1)
        return conditions

    def on_constraints(self, x: Tensor, tolerance: float = CONSTRAINT_TOLERANCE) -> Tensor:
        """Whether every constrained bond of x (..., n, 3) has its length to `tolerance` nm, bool (...)."""
        return self._on_constraints(self.internal.inverse(x)[0], tolerance)

    def _on_constraints(self, r: Tensor, tolerance: float) -> Tensor:
        off = (r[..., self.fixed] - self.reference[self.fixed].to(r)).abs()
        return (off <= tolerance).all(-1)

    @torch.no_grad()
    def canonical(self, x: Tensor) -> Tensor:
        """The same conformations x (..., n_atoms, 3) in nm, equivalent atoms labelled as in the domain.

        Rotors are relabelled one by one from the outside. Only equivalent atoms exchange places; a labelling
        inside the domain is kept. Conformations outside it for another reason (a cis peptide bond, the other
        enantiomer, three hydrogens on one side) remain outside. x is unchanged, its dtype kept; torsions are
        compared in float64. Energies stay as they are, but for the improper torsions of Amber force fields
        about planar groups, which depend on the order of atoms: those of the same conformation differ by up
        to a few tenths of a kJ/mol when branches of a *twofold* rotor exchange labels.
        """
        for rotor in sorted(self.rotors, key=lambda rotor: self._outer.index(rotor.rotor)):
            x = rotor.canonical(x, rotor.mean(self.reference))
        return x

    def _log_scale(self, like: Tensor) -> Tensor:
        folds = sum(math.log(rotor.fold) for rotor in self.rotors)
        return (self.scale[self._stiff].log().sum() - self._fold.log().sum() - folds).to(like.dtype)

    @override
    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, log_det = self.internal(self.to_internal(z))
        return x, log_det + self._log_scale(z)

    def forward_in_domain(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(x, log|det dx/dy|, inside): `forward(y)` and `in_domain(y)` at once."""
        r = self.to_internal(y)
        x, log_det = self.internal(r)
        with torch.no_grad():
            inside = _all(self._conditions(y, r))
        return x, log_det + self._log_scale(y), inside

    def log_det(self, y: Tensor) -> Tensor:
        """log|det dx/dy|, shape (...), without computing positions."""
        return self.internal.log_det(self.to_internal(y)) + self._log_scale(y)

    @override
    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        r, log_det = self.internal.inverse(x)
        return self.from_internal(r), log_det - self._log_scale(x)

    def inverse_in_domain(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(y, log|det dy/dx|, inside): `inverse(x)`, and whether the conformation has a density.

        Inside are those in the domain whose constrained bonds have their lengths, see `on_constraints`.
        """
        r, log_det = self.internal.inverse(x)
        centred = self._centred(r)
        y = self._from_centred(centred)
        with torch.no_grad():
            inside = _all(self._conditions(y, centred)) & self._on_constraints(r, CONSTRAINT_TOLERANCE)
        return y, log_det - self._log_scale(x), inside


def _all(conditions: dict[str, Tensor]) -> Tensor:
    inside, *others = conditions.values()
    for condition in others:
        inside = inside & condition
    return inside
