"""SDF files of samples: bonds of the molecule's own file, coordinates and weights of the draws."""

import math
from pathlib import Path

import numpy as np
import pytest

from boltzgen.molecule.system import System
from boltzgen.preparation.folder import write_system
from boltzgen.preparation.sources import Source
from boltzgen.samples.export import export
from boltzgen.samples.sdf import MOLECULE, Connections, read_connections
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from tests.helpers.command_line import call, refused
from tests.helpers.posing import made_up_samples
from tests.helpers.sdf import entries, molecule


@pytest.fixture(scope="module")
def samples() -> WeightedSamples:
    return made_up_samples(System.load("alanine_dipeptide"), 300, spread=1.0)


@pytest.fixture
def file(samples: WeightedSamples, tmp_path: Path) -> Path:
    with SamplesWriter(tmp_path / "s.h5", System.load("alanine_dipeptide"), 300.0) as writer:
        writer.write(samples)
    (tmp_path / MOLECULE).write_text(molecule(samples.mdtraj_topology))
    return tmp_path / "s.h5"


def test_every_draw_with_its_weight(file: Path, samples: WeightedSamples, tmp_path: Path) -> None:
    assert export(file, tmp_path / "a.sdf", system=tmp_path) == 300
    found = entries(tmp_path / "a.sdf")
    own = Connections.parse((tmp_path / MOLECULE).read_text())
    np.testing.assert_allclose(np.stack([x for x, _, _ in found]), samples.x.numpy(), atol=6e-6)
    assert all(rest == [*own.bonds, *own.rest[:-1]] for _, rest, _ in found)
    assert sum(int(line[6:9]) == 2 for line in own.bonds) == 2
    assert [values["draw"] for _, _, values in found] == [str(k) for k in range(300)]
    assert sum(float(values["weight"]) for _, _, values in found) == pytest.approx(1.0)
    log_w = np.array([float(values["log_w"]) for _, _, values in found])
    np.testing.assert_allclose(log_w, samples.log_w.numpy(), rtol=1e-9)
    outside = ~np.isfinite(samples.u.numpy())
    assert outside.any()
    energy = np.array([float(values["energy_kJ_mol"]) for _, _, values in found])
    kt = 8.31446261815324e-3 * 300
    np.testing.assert_allclose(energy[~outside], kt * samples.u.numpy()[~outside], rtol=1e-8)
    assert np.isinf(energy[outside]).all()


def test_resampled_draws_say_which_they_are(file: Path, samples: WeightedSamples, tmp_path: Path) -> None:
    assert export(file, tmp_path / "a.sdf", resample=50, seed=1, system=tmp_path) == 50
    places = []
    for x, _, values in entries(tmp_path / "a.sdf"):
        assert set(values) == {"draw", "energy_kJ_mol"}
        places.append(int(values["draw"]))
        np.testing.assert_allclose(x, samples.x[places[-1]].numpy(), atol=6e-6)
    assert places == sorted(places) and samples.log_w[places].isfinite().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("V2000", "V3000"), "no V2000 table of connections"),
        (lambda text: text.replace(" N  ", " O  "), "its atoms are"),
        (lambda text: text.replace("  1  2  1  0", "  1  3  1  0"), "its bonds are others"),
        (lambda text: text[:600], "atoms and 21 bonds before its end"),
        (
            lambda text: text.replace("  1  2  1  0", " 99  2  1  0"),
            "an atom that is not among its 22",
        ),
        (
            lambda text: text.replace("  1  2  1  0", "  0  2  1  0"),
            "an atom that is not among its 22",
        ),
        (lambda text: text.replace("  1  2  1  0", "  2  2  1  0"), "or to itself"),
        (lambda text: "", "no V2000 table of connections"),
    ],
)
def test_another_molecule_is_refused(file: Path, tmp_path: Path, change: object, message: str) -> None:
    path = tmp_path / MOLECULE
    text = change(path.read_text())  # type: ignore[operator]
    assert text != path.read_text()
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        export(file, tmp_path / "a.sdf", system=path)
    assert "is not the molecule of these samples" in str(caught.value)
    assert not (tmp_path / "a.sdf").exists()


def test_without_orders_of_bonds(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="samples do not know"):
        export(file, tmp_path / "a.sdf")
    with pytest.raises(FileNotFoundError, match="no SDF file at"):
        export(file, tmp_path / "a.sdf", system=tmp_path / "b.sdf")
    with pytest.raises(ValueError, match="`system` is for a target that ends in .sdf"):
        export(file, tmp_path / "a.pdb", system=tmp_path)


def test_positions_that_do_not_fit(samples: WeightedSamples) -> None:
    own = Connections.parse(molecule(samples.mdtraj_topology))
    for value in (2000.0, math.nan):
        with pytest.raises(ValueError, match="positions do not fit"):
            own.record(np.full((22, 3), value), {})


def test_a_prepared_folder_has_the_molecule(samples: WeightedSamples, tmp_path: Path) -> None:
    system = System.load("alanine_dipeptide")
    text = molecule(samples.mdtraj_topology)
    source = Source(system.topology, system.openmm_system, system.positions.numpy(), "made up", sdf=text)
    write_system(tmp_path, source, system.positions.numpy(), name="made_up", temperature=300.0)
    found = read_connections(tmp_path / MOLECULE, samples.mdtraj_topology)
    assert found == Connections.parse(text)
    ((x, _, _),) = entries(tmp_path / MOLECULE)
    np.testing.assert_allclose(x, system.positions.numpy(), atol=6e-6)


def test_the_command(file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    at = ("export", file, tmp_path / "a.sdf", "--resample", 5)
    refused(call(capfd, *at), "give as --system the folder")
    code, out, err = call(capfd, *at, "--system", tmp_path)
    assert (code, err) == (0, "")
    assert "5 frames written" in out and "topology" not in out
    assert call(capfd, *at, "--system", tmp_path / MOLECULE, "--force")[0] == 0
    refused(call(capfd, *at, "--system", tmp_path / "none", "--force"), "no SDF file at")
