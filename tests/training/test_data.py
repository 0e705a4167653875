"""Frames as training data: what is kept, relabelled, dropped and refused, against frames made for the
purpose.
"""

from pathlib import Path

import mdtraj
import pytest
import torch
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from boltzgen.training.data import Data, read_data
from boltzgen.weights import effective_sample_size

PEPTIDES = Path(__file__).parent.parent / "data" / "peptides"


@pytest.fixture(scope="module")
def drawn(system: System) -> tuple[MolecularCoordinates, Tensor, Tensor]:
    """Coordinates, and 300 draws y with their positions x."""
    generator = BoltzmannGenerator.load(system.folder, system)
    y = generator.flow.sample((300,), generator=torch.Generator().manual_seed(0)).detach()
    return generator.coordinates, y, generator.coordinates(y.double())[0]


def write(path: Path, system: System, x: Tensor) -> Path:
    mdtraj.Trajectory(x.numpy(), mdtraj.Topology.from_openmm(system.topology)).save(str(path))
    return path


def mirrored(x: Tensor) -> Tensor:
    return x * torch.tensor([1.0, 1.0, -1.0])


def cis(system: System, coordinates: MolecularCoordinates, y: Tensor) -> Tensor:
    """The first peptide bond turned by 180 degrees."""
    r = coordinates.to_internal(y.double())
    r[:, coordinates._omegas[0]] += torch.pi
    return coordinates.internal(r)[0]


def test_frames_become_flow_coordinates(
    system: System, drawn: tuple[MolecularCoordinates, Tensor, Tensor], tmp_path: Path
) -> None:
    coordinates, y, x = drawn
    data = read_data(write(tmp_path / "md.h5", system, x), system, coordinates)
    assert (data.y - y).abs().max() < 1e-3
    assert torch.allclose(data.log_det, coordinates.log_det(y.double()), atol=1e-3)
    assert torch.equal(data.weight, torch.ones(300, dtype=torch.float64))
    assert data.potential is None
    assert (data.n_read, data.dropped) == (300, {})


def test_methyl_hydrogens_are_relabelled(
    system: System, drawn: tuple[MolecularCoordinates, Tensor, Tensor], tmp_path: Path
) -> None:
    """Cyclic and mirrored labellings of every methyl lie outside the domain, and are read as the frames they
    are.
    """
    coordinates, _, x = drawn
    plain = read_data(write(tmp_path / "md.h5", system, x), system, coordinates)
    shuffled = x.clone()
    for hydrogens in (rotor.ends for rotor in system.rotors):
        for k, order in enumerate(([1, 2, 0], [2, 0, 1], [1, 0, 2], [0, 2, 1])):
            shuffled[k::5, list(hydrogens)] = shuffled[k::5][:, [hydrogens[i] for i in order]]
    assert not coordinates.in_domain(coordinates.inverse(shuffled)[0]).reshape(-1, 5)[:, :4].any()
    data = read_data(write(tmp_path / "shuffled.h5", system, shuffled), system, coordinates)
    assert (data.y - plain.y).abs().max() < 1e-4
    assert data.dropped == {}


def test_frames_outside_the_domain_are_counted_by_reason(
    system: System, drawn: tuple[MolecularCoordinates, Tensor, Tensor], tmp_path: Path
) -> None:
    coordinates, y, x = drawn
    x = x.clone()
    x[10:17] = mirrored(x[10:17])
    x[100:105] = cis(system, coordinates, y[100:105])
    kept = torch.ones(300, dtype=torch.bool)
    kept[10:17], kept[100:105] = False, False
    energy = CountedEnergy(energy_for(system))
    data = read_data(write(tmp_path / "md.h5", system, x), system, coordinates, energy=energy)
    assert data.dropped == {"other enantiomer": 7, "cis peptide bond": 5}
    assert data.n_read == 300
    assert (data.y - y[kept]).abs().max() < 1e-3
    assert energy.n_evaluations == 288
    assert data.potential is not None
    assert torch.allclose(data.potential, energy.potential(x[kept]), atol=0.05)
    assert data.summary()["n_frames_used"] == 288
    read_again = (data.save(tmp_path), Data.load(tmp_path))[1]
    assert read_again.summary() == data.summary()
    assert read_again.potential is not None
    assert torch.equal(read_again.potential, data.potential)
    assert torch.equal(read_again.y, data.y)


def test_a_peptide_with_ch2_groups_names_the_right_reason() -> None:
    """Exchanged hydrogens of a CH2 are another labelling, not another enantiomer."""
    system = System.from_pdb(PEPTIDES / "ace_ser_nme.pdb", ["amber99sbildn.xml"])
    coordinates = MolecularCoordinates(system)
    names = [a.name for a in system.topology.atoms()]
    i, j = names.index("HB2"), names.index("HB3")
    x = system.positions
    exchanged = x.clone()
    exchanged[[i, j]] = x[[j, i]]
    for positions, broken in (
        (x, set()),
        (exchanged, {"exchanged hydrogens"}),
        (mirrored(x), {"other enantiomer", "exchanged hydrogens"}),
    ):
        y = coordinates.inverse(coordinates.canonical(positions))[0]
        assert {name for name, met in coordinates.domain_conditions(y).items() if not met} == broken
        assert bool(coordinates.in_domain(y)) is not bool(broken)


def test_weights_of_a_samples_file_count(
    system: System, drawn: tuple[MolecularCoordinates, Tensor, Tensor], tmp_path: Path
) -> None:
    coordinates, _, x = drawn
    u = torch.randn(300, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    u[5:9] = torch.inf
    samples = WeightedSamples.from_energies(x, u, torch.zeros(300), system)
    with SamplesWriter(tmp_path / "s.h5", system, system.temperature) as writer:
        writer.write(samples)
    data = read_data(tmp_path / "s.h5", system, coordinates)
    assert data.dropped == {"zero weight": 4}
    kept = samples.log_w.isfinite()
    assert torch.allclose(data.weight, 296 * torch.softmax(samples.log_w[kept], 0))
    assert data.summary()["effective_frames"] == pytest.approx(effective_sample_size(samples.log_w[kept]))


def test_too_little_is_refused_with_the_reasons(
    system: System, drawn: tuple[MolecularCoordinates, Tensor, Tensor], tmp_path: Path
) -> None:
    coordinates, y, x = drawn
    with pytest.raises(ValueError, match="all 300 frames of .* are the other enantiomer"):
        read_data(write(tmp_path / "d.h5", system, mirrored(x)), system, coordinates)
    mixture = torch.cat((x[:90], mirrored(x[90:200]), cis(system, coordinates, y[200:])))
    with pytest.raises(
        ValueError,
        match=r"leaves 90 of 300 frames .* at least 100; .*: 110 other enantiomer, 100 cis peptide bond",
    ):
        read_data(write(tmp_path / "m.h5", system, mixture), system, coordinates)
    with pytest.raises(ValueError, match="leaves 50 of 50 frames .*: none"):
        read_data(write(tmp_path / "few.h5", system, x[:50]), system, coordinates)


def test_a_constrained_simulation_is_refused(
    system: System, drawn: tuple[MolecularCoordinates, Tensor, Tensor], tmp_path: Path
) -> None:
    """Its bonds with hydrogen do not vary: the likelihood would have no maximum."""
    coordinates, y, _ = drawn
    elements = system.graph.elements
    rows = coordinates.zmatrix.rows[1:]
    bonds = [k for k, row in enumerate(rows) if "H" in (elements[row.atom], elements[row.bonded])]
    rigid = y.double().clone()
    rigid[:, [coordinates.n_periodic + coordinates.stiff_index.index(k) for k in bonds]] = 0.0
    with pytest.raises(ValueError, match="12 of 21 bonds hardly vary .* constraints"):
        read_data(write(tmp_path / "md.xtc", system, coordinates(rigid)[0]), system, coordinates)


@pytest.mark.parametrize("n", [100, 150, 1000, 12345])
def test_blocks_are_held_out(n: int) -> None:
    """A tenth, in contiguous blocks over the whole length, and nothing twice."""
    index = torch.arange(n, dtype=torch.float32)
    train, held = Data(index.unsqueeze(-1), index.double(), torch.ones(n, dtype=torch.float64)).split()
    assert torch.equal(torch.cat((train.y, held.y)).sort(0).values[:, 0], index)
    assert torch.equal(held.y[:, 0], held.log_det.float())
    assert abs(len(held) - n / 10) <= max(10, n / 100)
    gaps = (held.y.diff(dim=0) != 1).sum()
    assert gaps == 9
