"""Every protein force field and implicit solvent that OpenMM ships, on every amino acid: force by force
against the Reference platform.

`pytest -m matrix` runs all of it; the default run a subset in which every force field, every solvent and
every capped molecule occurs.
"""

import openmm
import pytest
import torch
from openmm import unit
from torch import Tensor

from boltzgen.energy import ForceFieldEnergy
from boltzgen.energy.registry import IGNORED
from boltzgen.molecule.system import System
from tests.helpers.force_fields import AMBER, GBSA, make, thermal_frames
from tests.helpers.molecules import FOLDER

CAPPED = [*sorted(path.stem for path in FOLDER.glob("ace_*_nme.pdb")), "disulfide"]
ZWITTERIONS = [
    "gly_ala_val",
    "leu_ile_met",
    "phe_pro_trp",
    "ser_thr_cys",
    "tyr_asn_gln",
    "asp_glu_lys",
    "arg_his_ala",
]

SOLVENTS = ["vacuum", "hct", "obc1", "obc2", "gbn", "gbn2"]

Cell = tuple[str, str, str]
CELLS: list[Cell] = [
    *(
        (field, solvent, molecule)
        for field in AMBER
        for solvent in [*SOLVENTS, *(["gbsa"] if field in GBSA else [])]
        for molecule in CAPPED
    ),
    *(("charmm36", solvent, molecule) for solvent in ["vacuum"] for molecule in ZWITTERIONS),
]
#: Pairs of force field and solvent in the default run, which the molecules take in turn.
PAIRS = [
    ("amber96", "obc1"),
    ("amber14", "gbn2"),
    ("amber99sbildn", "gbsa"),
    ("amber19", "vacuum"),
    ("amber14", "hct"),
    ("amber96", "gbn"),
    ("amber19", "obc2"),
]
SUBSET: list[Cell] = [
    *((*PAIRS[n % len(PAIRS)], molecule) for n, molecule in enumerate(CAPPED)),
    # OpenMM takes seconds to find CHARMM36's patched residues.
    *(("charmm36", "vacuum", molecule) for molecule in ("gly_ala_val", "phe_pro_trp", "arg_his_ala")),
]


def distorted_frames(system: System, count: int = 4) -> Tensor:
    """The positions with normal noise of 0.003 to 0.1 nm."""
    generator = torch.Generator().manual_seed(3)
    scale = torch.logspace(-2.5, -1.0, count, dtype=torch.float64)[:, None, None]
    return system.positions + scale * torch.randn(
        count, system.n_atoms, 3, generator=generator, dtype=torch.float64
    )


def reference(system: System, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Energies and gradients of every force, and of all of them, from OpenMM."""
    split = openmm.XmlSerializer.clone(system.openmm_system)
    forces = [force for force in split.getForces() if type(force).__name__ not in IGNORED]
    for group, force in enumerate(forces):
        force.setForceGroup(group)
    groups = [{group} for group in range(len(forces))] + [set(range(len(forces)))]
    context = openmm.Context(
        split, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    energies, gradients = x.new_empty(len(groups), len(x)), x.new_empty(len(groups), *x.shape)
    for row, positions in enumerate(x):
        context.setPositions(positions.numpy())
        for n, chosen in enumerate(groups):
            state = context.getState(getEnergy=True, getForces=True, groups=chosen)
            energies[n, row] = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
            gradients[n, row] = -torch.from_numpy(
                state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
            )
    return list(zip(energies, gradients, strict=True))


def assert_same(name: str, ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor]) -> None:
    """Energies within 1e-9 relative or 1e-8 kJ/mol, and max|dF| / max|F| < 1e-9 in every configuration."""
    energy, gradient = theirs
    assert torch.isfinite(energy).all(), name
    difference = (ours[0] - energy).abs()
    assert ((difference < 1e-8) | (difference < 1e-9 * energy.abs())).all(), (name, difference)
    scale = gradient.abs().amax((-1, -2)).clamp_min(1e-9)
    assert ((ours[1] - gradient).abs().amax((-1, -2)) < 1e-9 * scale).all(), (
        name,
        (ours[1] - gradient).abs().amax((-1, -2)) / scale,
    )


def gradient_of(u: Tensor, x: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(u.sum(), x, retain_graph=True, materialize_grads=True)
    return gradient


def check(cell: Cell) -> None:
    system = make(*cell)
    energy = ForceFieldEnergy(system)
    thermal = thermal_frames(system)
    x = torch.cat([thermal, distorted_frames(system)]).requires_grad_()
    *theirs, total = reference(system, x.detach())
    ours = energy.potentials(x)
    for (name, u), expected in zip(ours.items(), theirs, strict=True):
        assert_same(name, (u.detach(), gradient_of(u, x)), expected)
    u = energy.potential(x)
    assert_same("total", (u.detach(), gradient_of(u, x)), total)
    rounded = thermal.float()
    assert (energy(rounded).double() - energy(rounded.double())).abs().max() < 1e-3


def test_the_subset_has_everything() -> None:
    for n, values in enumerate([{*AMBER, "charmm36"}, {*SOLVENTS, "gbsa"}, set(CAPPED)]):
        assert {cell[n] for cell in SUBSET} >= values
    assert set(SUBSET) <= set(CELLS)
    assert len(CAPPED) == 24
    assert len(set(CELLS)) == len(CELLS) == 26 * 24 + 7


@pytest.mark.parametrize("cell", sorted(SUBSET), ids="-".join)
def test_subset(cell: Cell) -> None:
    check(cell)


@pytest.mark.matrix
@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_matrix(cell: Cell) -> None:
    check(cell)
