"""Measures of constrained molecules: the limit of stiff bonds, and what constrained dynamics samples."""

from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from boltzgen import units
from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples

Measure = Literal["flexible-limit", "constrained-dynamics"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
#: Configurations computed at a time.
_CHUNK = 8192


def mass_metric_log_det(system: System, x: Tensor) -> Tensor:
    """ln |Z(x)| of a molecule's constraints, float64 (...), of positions x (..., n_atoms, 3) in nm.

    Z_ab = sum over atoms i of (1 / m_i) grad_i s_a . grad_i s_b, m in dalton, where s_a is the a-th
    constrained distance. With unit vectors e_a along the constraints this is K_ab e_a . e_b, K constant. Of a
    molecule without constraints it is zero.

    The density of positions without the factor, exp(-u) delta(s - s_0) dx, is the limit of stiff springs in
    the constrained distances, and that of generators and of `boltzgen simulate`. Constrained dynamics (SHAKE,
    CCMA, SETTLE) samples exp(-u) |Z|^(1/2) delta(s - s_0) dx (Fixman, Proc. Natl. Acad. Sci. 71, 3050, 1974;
    van Gunsteren, Mol. Phys. 40, 1015, 1980; den Otter and Briels, J. Chem. Phys. 109, 4139, 1998).
    Fixman's potential, 1/2 kT ln |Z|, added to the energy of constrained dynamics undoes the factor.

    Raises:
        ValueError: positions of another shape; or an atom has no mass.
    """
    n_atoms, pairs = system.n_atoms, sorted(system.constraints)
    if x.shape[-2:] != (n_atoms, 3):
        raise ValueError(f"expected positions of shape (..., {n_atoms}, 3) in nm, got {tuple(x.shape)}")
    if not pairs:
        return torch.zeros(x.shape[:-2], dtype=torch.float64, device=x.device)
    first, second = (torch.tensor(column, device=x.device) for column in zip(*pairs, strict=True))
    coupling = _coupling(system, pairs).to(x.device)
    found = []
    for chunk in x.reshape(-1, n_atoms, 3).split(_CHUNK):
        bonds = chunk[:, first].double() - chunk[:, second].double()
        e = bonds / bonds.norm(dim=-1, keepdim=True)
        found.append(torch.linalg.slogdet(coupling * (e @ e.transpose(-1, -2)))[1])
    return torch.cat(found).reshape(x.shape[:-2])


def _coupling(system: System, pairs: list[tuple[int, int]]) -> Tensor:
    """K (n_constraints, n_constraints) in 1/dalton: sum over shared atoms of 1 / m, with their signs."""
    signs = torch.zeros(len(pairs), system.n_atoms, dtype=torch.float64)
    inverse = torch.zeros(system.n_atoms, dtype=torch.float64)
    for i in range(system.n_atoms):
        mass = units.strip_units(system.openmm_system.getParticleMass(i), "dalton")
        if mass <= 0:
            raise ValueError(f"expected every atom to have a mass, got {mass} dalton for atom {i + 1}")
        inverse[i] = 1.0 / mass
    for row, (i, j) in enumerate(pairs):
        signs[row, i], signs[row, j] = 1.0, -1.0
    return (signs * inverse) @ signs.T


def weighted_for(samples: WeightedSamples, system: System, measure: Measure) -> WeightedSamples:
    """Samples whose weights are those of a measure; every estimate from them is that measure's.

    ``"flexible-limit"`` is the samples' own. For ``"constrained-dynamics"`` log q becomes log q - 1/2 ln |Z|,
    the density relative to the measure |Z|^(1/2) delta(s - s_0) dx, see `mass_metric_log_det`, with masses of
    the OpenMM System in dalton: weights gain the factor |Z|^(1/2), and Z is the integral of exp(-u) over that
    measure. u stays the force field's, so that means of it and other temperatures are right: the factor does
    not depend on the temperature. (The literature's "rigid" is constrained dynamics.)

    Raises:
        ValueError: no such measure, or as `mass_metric_log_det`.
    """
    check_measure(measure)
    if measure == "flexible-limit" or not system.constraints:
        return samples
    factor = 0.5 * mass_metric_log_det(system, samples.x).to(samples.log_q.device)
    # Draws without weight may be anything, such as two atoms in one place.
    factor = torch.where(samples.log_w > -torch.inf, factor, 0.0)
    return replace(samples, log_q=samples.log_q - factor, log_w=samples.log_w + factor)


def check_measure(measure: str) -> None:
    """Raise ValueError unless there is such a measure."""
    if measure not in MEASURES:
        raise ValueError(f"expected `measure` to be one of {', '.join(MEASURES)}, got {measure!r}")
