"""Flow coordinates of a molecule: torsions on circles and everything else scaled to order one, on a stated
domain.
"""

import math

import torch
from torch import Tensor

from boltzgen.coordinates.internal import InternalCoordinates
from boltzgen.coordinates.rotor import RotorTorsions
from boltzgen.coordinates.zmatrix import TorsionKind, ZMatrix
from boltzgen.flow.transform import Transform
from boltzgen.geometry import wrap
from boltzgen.molecule.system import System

#: Scales used before a Hessian is known: bonds [nm], angles and narrow torsions [radians].
DEFAULT_SCALES = (0.003, 0.06, 0.1)


class MolecularCoordinates(Transform):
    """The map from flow coordinates y (..., n_periodic + n_stiff) to positions x (..., n, 3) in nm.

    There are 3n - 6 of them, less one for each constrained bond, whose length is that of the constraint. y
    holds first the circles, in [-pi, pi), then the narrow coordinates, of order one:

    * full torsions (phi, psi, chi, ...), as they are, modulo 2 pi;
    * symmetric rotors (CH3, NH3+, COO-, phenyl): fold (tau - tau_ref) with tau the mean torsion of the 2 or 3
      equivalent ends, restricted to 1/fold of the circle: one labelling of the equivalent atoms, see
      `RotorTorsions`;
    * bonds, angles, improper offsets, torsions of small rings, peptide omegas and the bends of straight
      groups: (r - reference) / scale.

    `forward` never wraps or clamps: `in_domain(y)` says where y lies in the domain of `System.domain`;
    elsewhere the density is zero (u = +inf). `inverse` maps any positions; those outside the domain give a y
    for which `in_domain` is false. It says nothing about the lengths of constrained bonds, see
    `on_constraints`.

    Attributes:
        n_full, n_rotors, n_periodic, n_stiff: how many coordinates of each kind.
        graph: elements and bonds.
        rotors: the symmetric rotors, in the order of their circles.
        order: the internal coordinate that each flow coordinate stands for; a rotor's mean torsion takes the
            place of its first end's torsion.
        stiff_index: the narrow ones' part of it.
        fixed: constrained bonds' internal coordinates.
        reference, scale: buffers (3n - 6,), in the internal coordinates' own units and order.
    """

    reference: Tensor
    scale: Tensor

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
        reference = reference.to(torch.float64).clone()
        for k, length in lengths.items():
            reference[k] = length

        self._outer = system.rotors
        found = [RotorTorsions.find(self.zmatrix, rotor) for rotor in self._outer]
        rotors = {r.leader: r for r in found if r is not None}
        full: list[int] = []
        self._omegas: list[int] = []
        self._cis_signs: list[float] = []  # of cos(r) where the bond is cis
        peptide = {frozenset(b): b for b in graph.peptide_bonds()}
        for row in rows:
            k = position[row.atom]
            if row.kind is TorsionKind.PROPER and k not in rotors:
                if amide := peptide.get(frozenset((row.bonded, row.second))):
                    self._omegas.append(k)
                    # Each end of the torsion that is not omega's own turns cis into trans.
                    self._cis_signs.append((-1.0) ** len({row.atom, row.third} - set(graph.omega(amide))))
                else:
                    full.append(k)
        # Where an angle is cut: pi away from this. Two equivalent ends have offsets in (0, 2 pi), other
        # narrow torsions lie about the reference.
        centre = {
            k: float(reference[k])
            for k in [position[r.atom] for r in rows if r.kind in (TorsionKind.OFFSET, TorsionKind.RING)]
        }
        centre |= {k: float(reference[k]) for k in self._omegas}
        for rotor in rotors.values():
            if rotor.fold == 2:
                centre[rotor.offsets[0]] = math.pi
                reference[rotor.offsets[0]] = torch.remainder(reference[rotor.offsets[0]], 2 * math.pi)
        # Torsions that follow each other along the backbone, then along a side chain, are neighbours.
        walk = {atom: k for k, atom in enumerate(self.zmatrix.along_branches(main_chain_first=True))}
        full.sort(key=lambda k: walk[rows[k - (2 * n - 3)].atom])
        circles = full + sorted(rotors)
        self.stiff_index = narrow = [
            k for k in range(3 * n - 6) if k not in set(circles) and k not in lengths
        ]
        self.n_full, self.n_rotors = len(full), len(rotors)
        self.n_periodic, self.n_stiff = len(circles), len(narrow)
        self._full = full
        self.order = circles + narrow
        place = {k: i for i, k in enumerate([*self.order, *self.fixed])}
        self._place = [place[k] for k in range(3 * n - 6)]  # (y, constrained) order -> r order
        self._twists, self._centres = list(centre), torch.tensor(list(centre.values()), dtype=torch.float64)

        self.register_buffer("reference", reference)
        self.register_buffer("scale", scale.to(torch.float64).clone())
        self.rotors = [rotors[k].oriented(reference) for k in sorted(rotors)]
        self._handed = self._handedness(system, position)

    def _constrained(self, system: System) -> dict[int, float]:
        """Internal coordinate and length in nm of each constrained bond."""
        bond = {frozenset((row.atom, row.bonded)): k for k, row in enumerate(self.zmatrix.rows[1:])}
        lengths = {}
        for (i, j), length in system.constraints.items():
            if frozenset((i, j)) not in bond:
                raise ValueError(
                    f"the distance between atoms {i + 1} and {j + 1} is constrained, but it is not a bond "
                    "outside every ring; constrain bonds to "
                    "hydrogens only (HBonds), or nothing"
                )
            lengths[bond[frozenset((i, j))]] = length
        return lengths

    def _handedness(self, system: System, position: dict[int, int]) -> list[tuple[int, float, bool]]:
        """Offset, its sign in the input structure, and whether a stereocentre's, for each centre with four
        neighbours: what keeps its handedness.
        """
        r = self.internal.inverse(system.positions)[0]
        handed, seen = [], {rotor.rotor.centre for rotor in self.rotors}
        stereocentres = set(system.graph.stereocentres())
        for row in self.zmatrix.torsion_rows:
            j = row.bonded
            if row.kind is TorsionKind.OFFSET and len(system.graph.neighbours[j]) == 4 and j not in seen:
                seen.add(j)
                k = position[row.atom]
                handed.append((k, 1.0 if r[k] > 0 else -1.0, j in stereocentres))
        return handed

    def to_internal(self, y: Tensor) -> Tensor:
        """Internal coordinates r (..., 3n - 6), in radians and nm, of flow coordinates y."""
        reference, scale = self.reference.to(y.dtype), self.scale.to(y.dtype)
        full = y[..., : self.n_full]
        narrow = reference[self.stiff_index] + scale[self.stiff_index] * y[..., self.n_periodic :]
        lookup = {k: i for i, k in enumerate(self.stiff_index)}
        columns = [full]
        for m, rotor in enumerate(self.rotors):
            mean = rotor.mean(reference) + y[..., self.n_full + m] / rotor.fold
            columns.append(
                (mean - sum(narrow[..., lookup[k]] for k in rotor.offsets) / rotor.fold).unsqueeze(-1)
            )
        fixed = reference[self.fixed].expand(*y.shape[:-1], len(self.fixed))
        return torch.cat((*columns, narrow, fixed), dim=-1)[..., self._place]

    def from_internal(self, r: Tensor) -> Tensor:
        """Flow coordinates y of internal coordinates r; narrow torsions are taken within pi of their
        centre.
        """
        reference, scale = self.reference.to(r.dtype), self.scale.to(r.dtype)
        absolute = r.clone()
        centres = self._centres.to(r)
        absolute[..., self._twists] = centres + wrap(r[..., self._twists] - centres)
        rotors = [
            rotor.fold * wrap(rotor.mean(absolute) - rotor.mean(reference)).unsqueeze(-1)
            for rotor in self.rotors
        ]
        # A rotor's circle is 1/fold of the whole: what lies beyond is another labelling, outside the domain.
        narrow = (absolute - reference)[..., self.stiff_index] / scale[self.stiff_index]
        return torch.cat((wrap(r[..., self._full]), *rotors, narrow), dim=-1)

    def in_domain(self, y: Tensor) -> Tensor:
        """Whether flow coordinates y (..., n_periodic + n_stiff) lie in the domain, bool (...). NaN is
        outside.
        """
        inside, *others = self.domain_conditions(y).values()
        for condition in others:
            inside = inside & condition
        return inside

    def domain_conditions(self, y: Tensor) -> dict[str, Tensor]:
        """Each condition of the domain by the name of what breaks it, bool (...): whether y meets it; see
        `in_domain`.
        """
        n = self.n_atoms
        r = self.to_internal(y)
        bonds, bends = r[..., : n - 1], self.internal.angles(r)
        twists = r[..., self._twists] - self._centres.to(r)
        everywhere = torch.ones(y.shape[:-1], dtype=torch.bool, device=y.device)
        geometry = (
            (bonds > 0).all(-1) & ((bends > 0) & (bends < math.pi)).all(-1) & (twists.abs() < math.pi).all(-1)
        )
        conditions = {
            "geometry": geometry,
            "other enantiomer": everywhere,
            "cis peptide bond": everywhere,
            "exchanged hydrogens": everywhere,
        }
        for k, sign in zip(self._omegas, self._cis_signs, strict=True):
            conditions["cis peptide bond"] = conditions["cis peptide bond"] & (
                sign * torch.cos(r[..., k]) < 0
            )
        for k, sign, stereocentre in self._handed:
            name = "other enantiomer" if stereocentre else "exchanged hydrogens"
            conditions[name] = conditions[name] & (sign * torch.sin(r[..., k]) > 0)
        # float32's nearest value to pi lies just above it.
        labelled = (y[..., self.n_full : self.n_periodic].abs() <= math.pi + 1e-6).all(-1)
        for rotor in self.rotors:
            labelled = labelled & rotor.spread(r)
        return conditions | {"equivalent atoms": labelled}

    def on_constraints(self, x: Tensor, tolerance: float = 1e-4) -> Tensor:
        """Whether every constrained bond of x (..., n_atoms, 3) has its length to `tolerance` nm, bool
        (...).
        """
        if not self.fixed:
            return torch.ones(x.shape[:-2], dtype=torch.bool, device=x.device)
        bonds = self.internal.inverse(x)[0][..., self.fixed]
        return ((bonds - self.reference[self.fixed].to(x)).abs() <= tolerance).all(-1)

    @torch.no_grad()
    def canonical(self, x: Tensor) -> Tensor:
        """The same conformations x (..., n_atoms, 3) in nm with equivalent atoms labelled as the domain has
        them, rotor by rotor from the outside.

        Only equivalent atoms exchange places; a labelling inside the domain is kept. Conformations outside it
        for another reason (a cis peptide bond, the other enantiomer, three hydrogens on one side) remain
        outside. x is unchanged, its dtype kept; torsions are compared in float64. Energies stay as they are,
        but for the improper torsions of Amber force fields about planar groups, which depend on the order of
        atoms: those of the same conformation differ by up to a few tenths of a kJ/mol when branches of a
            *twofold* rotor exchange labels.
        """
        for rotor in sorted(self.rotors, key=lambda rotor: self._outer.index(rotor.rotor)):
            x = rotor.canonical(x, rotor.mean(self.reference))
        return x

    def _log_scale(self, like: Tensor) -> Tensor:
        folds = sum(math.log(rotor.fold) for rotor in self.rotors)
        return (self.scale[self.stiff_index].log().sum() - folds).to(like.dtype)

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, log_det = self.internal(self.to_internal(z))
        return x, log_det + self._log_scale(z)

    def log_det(self, y: Tensor) -> Tensor:
        """log|det dx/dy|, shape (...), without computing positions."""
        return self.internal.log_det(self.to_internal(y)) + self._log_scale(y)

    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        r, log_det = self.internal.inverse(x)
        return self.from_internal(r), log_det - self._log_scale(x)
