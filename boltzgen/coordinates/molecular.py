"""Flow coordinates of a molecule: torsions on circles and everything else scaled to order one, on a stated domain."""

import math

import torch
from torch import Tensor

from boltzgen.coordinates.geometry import dihedral, wrap
from boltzgen.coordinates.internal import InternalCoordinates
from boltzgen.coordinates.zmatrix import TorsionKind, ZMatrix
from boltzgen.system import System
from boltzgen.transform import Transform

#: Scales used before a Hessian is known: bonds [nm], angles and narrow torsions [radians].
DEFAULT_SCALES = (0.003, 0.06, 0.1)


class MolecularCoordinates(Transform):
    """The map from flow coordinates y (..., 3n - 6) to positions x (..., n, 3) in nm.

    y holds first the circles, in [-pi, pi), then the narrow coordinates, of order one:

    * full torsions (phi, psi, ...), as they are, modulo 2 pi;
    * methyl rotors: 3 (tau - tau_ref), where tau = tau_1 + (delta_2 + delta_3) / 3 is the mean torsion of the three hydrogens. Restricting tau to a
      third of the circle, with the handed order of the offsets fixed, is an exact fundamental domain of the cyclic relabelling of the hydrogens;
      the change of variables (tau_1, delta_2, delta_3) -> (tau, delta_2, delta_3) has unit Jacobian;
    * bonds, angles, improper offsets and peptide omegas: (r - reference) / scale.

    `forward` never wraps or clamps: `in_domain(y)` says where y lies in the domain of `System.domain`; elsewhere the density is zero
    (u = +inf). `inverse` maps any positions; those outside the domain give a y for which `in_domain` is false.

    Attributes:
        n_full, n_methyl, n_circles, n_narrow: how many coordinates of each kind.
        order: the internal coordinate that each flow coordinate stands for; a methyl's mean torsion takes the place of one hydrogen's torsion.
        narrow_index: the narrow ones' part of it.
        methyl_index, methyl_carbons: the methyls' part of it, and their carbons.
        reference, scale: buffers (3n - 6,), in the internal coordinates' own units and order.
    """

    reference: Tensor
    scale: Tensor

    def __init__(self, system: System, reference: Tensor | None = None, scale: Tensor | None = None) -> None:
        super().__init__()
        graph = system.graph
        self.zmatrix = ZMatrix.from_graph(graph)
        self.internal = InternalCoordinates(self.zmatrix)
        self.n_atoms = n = system.n_atoms
        first_torsion = 2 * n - 3
        rows = self.zmatrix.torsion_rows
        position = {row.atom: first_torsion + k for k, row in enumerate(rows)}
        methyls = {carbon for carbon, _ in graph.methyl_rotors()}
        peptide = {frozenset(b) for b in graph.peptide_bonds()}

        full: list[int] = []
        self._methyls: list[tuple[int, int, int]] = []  # positions of (tau_1, positive offset, negative offset)
        self._omegas: list[int] = []
        for row in rows:
            if row.kind is not TorsionKind.PROPER:
                continue
            if row.bonded in methyls:
                followers = [position[r.atom] for r in rows if r.bonded == row.bonded and r.kind is TorsionKind.OFFSET]
                self._methyls.append((position[row.atom], followers[0], followers[1]))
            elif frozenset((row.bonded, row.second)) in peptide:
                self._omegas.append(position[row.atom])
            else:
                full.append(position[row.atom])
        offsets = [position[r.atom] for r in rows if r.kind is TorsionKind.OFFSET]
        circles = full + [m[0] for m in self._methyls]
        narrow = [k for k in range(3 * n - 6) if k not in set(circles)]
        self.n_full, self.n_methyl = len(full), len(self._methyls)
        self.n_circles, self.n_narrow = len(circles), len(narrow)
        self._full, self.narrow_index = full, narrow
        self.order = order = circles + narrow
        self.methyl_index = [m[0] for m in self._methyls]
        self.methyl_carbons = [rows[tau - first_torsion].bonded for tau in self.methyl_index]
        self._place = sorted(range(len(order)), key=order.__getitem__)  # y order -> r order
        self._narrow_torsions = offsets + self._omegas

        if reference is None:
            reference = self.internal.inverse(system.positions)[0]
        if scale is None:
            bond, bend, twist = DEFAULT_SCALES
            scale = torch.tensor([bond] * (n - 1) + [bend] * (n - 2) + [twist] * (n - 3), dtype=torch.float64)
        self.register_buffer("reference", reference.to(torch.float64).clone())
        self.register_buffer("scale", scale.to(torch.float64).clone())
        self._handed = self._handedness(system, methyls, position)
        self._methyls = [(tau, *((a, b) if self.reference[a] > 0 else (b, a))) for tau, a, b in self._methyls]
        if any(not self.reference[a] > 0 > self.reference[b] for _, a, b in self._methyls):
            raise ValueError("expected the hydrogens of each methyl to be spread around its carbon, got some on one side; check the input structure")

    def _handedness(self, system: System, methyls: set[int], position: dict[int, int]) -> list[tuple[int, float, bool]]:
        """Offset, its sign in the input structure, and whether a stereocentre's, for each centre with four neighbours: what keeps its handedness."""
        r = self.internal.inverse(system.positions)[0]
        handed, seen = [], set()
        stereocentres = set(system.graph.stereocentres())
        for row in self.zmatrix.torsion_rows:
            j = row.bonded
            if row.kind is TorsionKind.OFFSET and len(system.graph.neighbours[j]) == 4 and j not in methyls and j not in seen:
                seen.add(j)
                k = position[row.atom]
                handed.append((k, 1.0 if r[k] > 0 else -1.0, j in stereocentres))
        return handed

    def to_internal(self, y: Tensor) -> Tensor:
        """Internal coordinates r (..., 3n - 6), in radians and nm, of flow coordinates y."""
        reference, scale = self.reference.to(y.dtype), self.scale.to(y.dtype)
        full = y[..., : self.n_full]
        narrow = reference[self.narrow_index] + scale[self.narrow_index] * y[..., self.n_circles :]
        lookup = {k: i for i, k in enumerate(self.narrow_index)}
        columns = [full]
        for m, (tau, a, b) in enumerate(self._methyls):
            mean = self._mean_torsion(reference, tau, a, b) + y[..., self.n_full + m] / 3
            columns.append((mean - (narrow[..., lookup[a]] + narrow[..., lookup[b]]) / 3).unsqueeze(-1))
        return torch.cat((*columns, narrow), dim=-1)[..., self._place]

    def from_internal(self, r: Tensor) -> Tensor:
        """Flow coordinates y of internal coordinates r; narrow torsions are taken within pi of the reference."""
        reference, scale = self.reference.to(r.dtype), self.scale.to(r.dtype)
        deviation = r - reference
        twisted = torch.zeros_like(reference, dtype=torch.bool)
        twisted[self._narrow_torsions] = True
        deviation = torch.where(twisted, wrap(deviation), deviation)
        absolute = reference + deviation
        methyl = [
            3 * wrap(self._mean_torsion(absolute, tau, a, b) - self._mean_torsion(reference, tau, a, b)).unsqueeze(-1) for tau, a, b in self._methyls
        ]
        narrow = deviation[..., self.narrow_index] / scale[self.narrow_index]
        return torch.cat((wrap(r[..., self._full]), *methyl, narrow), dim=-1)

    @staticmethod
    def _mean_torsion(r: Tensor, tau: int, a: int, b: int) -> Tensor:
        return r[..., tau] + (r[..., a] + r[..., b]) / 3

    def in_domain(self, y: Tensor) -> Tensor:
        """Whether flow coordinates y (..., 3n - 6) lie in the domain, bool (...). NaN is outside."""
        inside, *others = self.domain_conditions(y).values()
        for condition in others:
            inside = inside & condition
        return inside

    def domain_conditions(self, y: Tensor) -> dict[str, Tensor]:
        """Each condition of the domain by the name of what breaks it, bool (...): whether y (..., 3n - 6) meets it; see `in_domain`."""
        n = self.n_atoms
        r = self.to_internal(y)
        bonds, bends = r[..., : n - 1], r[..., n - 1 : 2 * n - 3]
        twists = r[..., self._narrow_torsions] - self.reference.to(r.dtype)[self._narrow_torsions]
        everywhere = torch.ones(y.shape[:-1], dtype=torch.bool, device=y.device)
        geometry = (bonds > 0).all(-1) & ((bends > 0) & (bends < math.pi)).all(-1) & (twists.abs() < math.pi).all(-1)
        conditions = {"geometry": geometry, "other enantiomer": everywhere, "cis peptide bond": everywhere, "exchanged hydrogens": everywhere}
        for k in self._omegas:
            conditions["cis peptide bond"] = conditions["cis peptide bond"] & (torch.cos(r[..., k]) < 0)
        for k, sign, stereocentre in self._handed:
            name = "other enantiomer" if stereocentre else "exchanged hydrogens"
            conditions[name] = conditions[name] & (sign * torch.sin(r[..., k]) > 0)
        # float32's nearest value to pi lies just above it.
        labelled = (y[..., self.n_full : self.n_circles].abs() <= math.pi + 1e-6).all(-1)
        for _, a, b in self._methyls:
            # The gaps between neighbouring hydrogens, going round: each in (0, pi), a condition that relabelling leaves alone.
            first, last = r[..., a], -r[..., b]
            labelled = labelled & (first > 0) & (first < math.pi) & (last > 0) & (last < math.pi) & (first + last > math.pi)
        return conditions | {"methyl hydrogens": labelled}

    @torch.no_grad()
    def canonical(self, x: Tensor) -> Tensor:
        """The same conformations x (..., n_atoms, 3) in nm with each methyl's hydrogens labelled as the domain has them.

        The hydrogens' torsions about the methyl's bond, sorted, fix the handed order of the labels up to a cyclic shift, and each shift moves the
        mean torsion tau by 120 degrees: the one with 3 (tau - tau_ref) in [-pi, pi) is chosen. Only equivalent hydrogens exchange places, so that
        energies stay as they are; a labelling inside the domain is kept. Conformations outside it for another reason (a cis peptide bond, the
        other enantiomer, three hydrogens on one side) remain outside. x is not changed; its dtype is kept, torsions are compared in float64.
        """
        y = x.clone()
        for m, atoms in enumerate(self._methyl_atoms()):
            hydrogens = list(atoms[:3])
            twists = torch.stack([dihedral(*(x[..., i, :].double() for i in (h, *atoms[3:]))) for h in hydrogens], dim=-1)
            labels = self._labelling(self._methyls[m], twists)
            y[..., hydrogens, :] = torch.take_along_dim(x[..., hydrogens, :], labels.unsqueeze(-1), dim=-2)
        return y

    def _methyl_atoms(self) -> list[tuple[int, ...]]:
        """Atoms of each methyl: its hydrogens in the order of `_methyls`, then the carbon, its neighbour and the one that defines torsion zero."""
        rows, first = self.zmatrix.torsion_rows, 2 * self.n_atoms - 3
        leaders = [rows[tau - first] for tau, _, _ in self._methyls]
        return [
            (row.atom, rows[a - first].atom, rows[b - first].atom, row.bonded, row.second, row.third)
            for row, (_, a, b) in zip(leaders, self._methyls, strict=True)
        ]

    def _labelling(self, methyl: tuple[int, int, int], twists: Tensor) -> Tensor:
        """Which hydrogen (0, 1, 2) takes each label, int64 (..., 3), from their torsions (..., 3); as they are if no labelling is inside."""
        third = 2 * math.pi / 3
        tau_ref = self._mean_torsion(self.reference, *methyl)
        twists = torch.nan_to_num(twists)
        ordered, order = twists.sort(dim=-1)
        # With the labels in ascending order the offsets are s2 - s1 and s3 - s1 - 2 pi, and tau = (s1 + s2 + s3 - 2 pi) / 3.
        tau = (ordered.sum(-1) - 2 * math.pi) / 3
        shift = -torch.floor((wrap(tau - tau_ref) + third / 2) / third)
        places = torch.remainder(shift.unsqueeze(-1) + torch.arange(3, device=twists.device), 3).long()
        labels = order.gather(-1, places)
        going_round = torch.cat((ordered.diff(dim=-1), 2 * math.pi - ordered[..., 2:] + ordered[..., :1]), dim=-1)
        spread = ((going_round > 0) & (going_round < math.pi)).all(-1)
        # A labelling on the domain's edge is kept, so that rounding cannot turn it to and fro.
        gaps = torch.remainder(twists.roll(-1, -1) - twists, 2 * math.pi)
        offset = wrap(twists[..., 0] + (gaps[..., 0] - gaps[..., 2]) / 3 - tau_ref)
        kept = (gaps < math.pi).all(-1) & (3 * offset.abs() <= math.pi + 1e-9)
        return torch.where((spread & ~kept).unsqueeze(-1), labels, torch.arange(3, device=twists.device))

    def _log_scale(self, like: Tensor) -> Tensor:
        return (self.scale[self.narrow_index].log().sum() - self.n_methyl * math.log(3.0)).to(like.dtype)

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, log_det = self.internal(self.to_internal(z))
        return x, log_det + self._log_scale(z)

    def log_det(self, y: Tensor) -> Tensor:
        """log|det dx/dy|, shape (...), without computing positions."""
        return self.internal.log_det(self.to_internal(y)) + self._log_scale(y)

    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        r, log_det = self.internal.inverse(x)
        return self.from_internal(r), log_det - self._log_scale(x)
