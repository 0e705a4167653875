"""Simulations of alanine dipeptide: their folders, resuming, errors, and agreement with OpenMM's own
dynamics.
"""

import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import pytest
import torch
from openmm import app

from boltzgen import units
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.locks import locked
from boltzgen.molecule.system import System
from boltzgen.simulation.checkpoint import checkpoint_files
from boltzgen.simulation.ensemble import Ensemble
from boltzgen.simulation.estimates import correlation_time
from boltzgen.simulation.integrator import integrator_for
from boltzgen.simulation.plan import Plan
from boltzgen.simulation.run import Progress, record, simulate
from boltzgen.simulation.start import inside_domain, random_starts
from tests.helpers.simulations import SMALL


def test_frames_and_energies_belong_together(alanine: System, small: Path) -> None:
    ensemble = Ensemble.load(small, alanine)
    assert ensemble.x.shape == (6, 8, len(ensemble.temperatures), 22, 3)
    u = ForceFieldEnergy(alanine).potential(ensemble.x)
    assert torch.allclose(u.double(), ensemble.potential, atol=2e-2)
    assert ensemble.temperatures[0] == 300.0 and ensemble.temperatures[-1] == pytest.approx(1200.0)
    assert inside_domain(MolecularCoordinates(alanine), ensemble.x.flatten(0, 2)).all()
    assert (
        ensemble.replica.sort(-1).values == torch.arange(len(ensemble.temperatures), dtype=torch.int16)
    ).all()
    # Hotter replicas have higher energies.
    assert (ensemble.potential.mean((0, 1)).diff() > 0).all()


def test_interrupted_and_resumed_it_gives_the_same(alanine: System, small: Path, tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(alanine, tmp_path / "run", 6, plan=SMALL, progress=interrupt)
    assert len(checkpoint_files(tmp_path / "run")) == 1
    record(alanine, tmp_path / "run", 6, resume=True)
    resumed, whole = Ensemble.load(tmp_path / "run", alanine), Ensemble.load(small, alanine)
    assert torch.equal(resumed.x, whole.x)
    assert torch.equal(resumed.potential, whole.potential)
    assert torch.equal(resumed.starts, whole.starts)


def test_a_finished_one_can_be_made_longer(alanine: System, small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "run")
    record(alanine, tmp_path / "run", 8, resume=True)
    longer, whole = Ensemble.load(tmp_path / "run", alanine), Ensemble.load(small, alanine)
    assert longer.n_frames == 9
    assert torch.equal(longer.x[:6], whole.x)


def test_progress(alanine: System, tmp_path: Path) -> None:
    seen: list[Progress] = []
    record(alanine, tmp_path / "run", 3, plan=SMALL, progress=seen.append)
    assert [p.done for p in seen] == list(range(7))
    assert [p.wanted for p in seen] == [0, *[6] * 6]
    stages = ["finding conformations to start from", *["tuning time steps"] * 3, *["simulating"] * 3]
    assert [p.stage for p in seen] == stages
    assert seen[1].statistics == {} and seen[-1].statistics["n_energy_evaluations"] > 0


def test_errors(alanine: System, small: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="`resume=True`"):
        record(alanine, small, 6)
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        record(alanine, tmp_path / "none", 6, resume=True)
    with pytest.raises(FileNotFoundError, match="no frames"):
        Ensemble.load(tmp_path / "none", alanine)
    other = System(
        alanine.topology, alanine.openmm_system, alanine.positions, name="other", domain=alanine.domain
    )
    other.__dict__["fingerprint"] = "different"
    for call in (lambda: Ensemble.load(small, other), lambda: record(other, small, 6, resume=True)):
        with pytest.raises(ValueError, match="another system"):
            call()
    shutil.copytree(small, tmp_path / "broken")
    last = checkpoint_files(tmp_path / "broken")[-1]
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(ValueError, match="not a whole"):
        Ensemble.load(tmp_path / "broken", alanine)


def test_a_simulation_is_replaced_by_the_first_checkpoint_of_the_next(
    alanine: System, small: Path, tmp_path: Path
) -> None:
    """Until then it is as it was, whatever happens; then nothing of it is left."""
    folder = tmp_path / "run"
    shutil.copytree(small, folder)
    for name in ("simulation.json", "reference.h5"):
        (folder / name).write_text("of the earlier one")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def interrupt(done: int) -> Callable[[Progress], None]:
        def stop(progress: Progress) -> None:
            if progress.done == done:
                raise KeyboardInterrupt

        return stop

    other = replace(SMALL, seed=6)
    for done in (2, 4):
        assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
        with pytest.raises(KeyboardInterrupt):
            record(alanine, folder, 6, plan=other, force=True, progress=interrupt(done))
    (file,) = folder.iterdir()
    assert file.name in before and file.read_bytes() != before[file.name]
    with pytest.raises(ValueError, match="give one of them"):
        simulate(alanine, folder, resume=True, force=True)


@pytest.mark.parametrize("name", ["simulation.json", "reference.h5", "system.toml"])
def test_what_is_not_a_simulations_is_not_replaced(alanine: System, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=name if name != "system.toml" else "the folder of a system"):
        record(alanine, tmp_path, 6, plan=SMALL)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {name: "mine"}


def test_two_do_not_write_into_one_folder(alanine: System, small: Path) -> None:
    before = {p.name for p in small.iterdir()}
    for call in (
        lambda: record(alanine, small, 9, resume=True),
        lambda: simulate(alanine, small, frames=9, resume=True),
    ):
        with locked(small), pytest.raises(BlockingIOError, match=f"written by process {os.getpid()}; wait"):
            call()
    assert {p.name for p in small.iterdir()} == before


def test_a_turned_methyl_is_inside_and_a_cis_peptide_bond_is_not(alanine: System) -> None:
    coordinates = MolecularCoordinates(alanine)
    y = coordinates.from_internal(coordinates.reference)
    turned, cis = y.clone(), y.clone()
    turned[coordinates.n_full] += 2 * math.pi  # 3 tau
    omega = coordinates.n_periodic + coordinates.stiff_index.index(coordinates._omegas[0])
    cis[omega] += math.pi / coordinates.scale[coordinates._omegas[0]]
    x = coordinates(torch.stack([y, turned, cis]))[0]
    assert inside_domain(coordinates, x).tolist() == [True, True, False]
    # A third of a turn only renames the hydrogens, so the domain itself holds one of the two.
    assert coordinates.in_domain(coordinates.inverse(x)[0]).tolist() == [True, False, False]


def test_random_starts_are_spread_and_relaxed(alanine: System) -> None:
    coordinates, energy = MolecularCoordinates(alanine), ForceFieldEnergy(alanine)
    x = random_starts(coordinates, energy, integrator_for(alanine), 64, seed=1)
    assert inside_domain(coordinates, x).all()
    assert energy.potential(x).max() < energy.potential(alanine.positions.float()) + 100.0
    y = coordinates.inverse(x)[0]
    assert ((y[:, 0] > 0).sum() > 10) and ((y[:, 0] < 0).sum() > 10)


@pytest.fixture(scope="module")
def hot(alanine: System, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ensemble, Ensemble]:
    """Alanine dipeptide at 1200 K, where 12 ps visit every basin, by Hamiltonian Monte Carlo and by OpenMM,
    on the platform that repeats itself.
    """
    system = System(
        alanine.topology, alanine.openmm_system, alanine.positions, temperature=1200.0, domain=alanine.domain
    )
    folder = tmp_path_factory.mktemp("hot")
    record(system, folder / "hmc", 60, plan=Plan(n_walkers=64, interval=4, checkpoint_frames=30, burn_in=2))
    record(
        system,
        folder / "md",
        450,
        plan=Plan.for_method("md", n_walkers=2, interval=20, checkpoint_frames=150, platform="Reference"),
    )
    return Ensemble.load(folder / "hmc", system), Ensemble.load(folder / "md", system)


def mean_and_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of (n_frames, n_walkers, m) and its standard error, correlation in time included."""
    g = np.array([correlation_time(values[:, :, k]) for k in range(values.shape[2])])
    n = values.shape[0] * values.shape[1]
    return values.mean((0, 1)), values.std((0, 1)) * np.sqrt(g / n)


@pytest.mark.slow
def test_agrees_with_the_dynamics_of_openmm(alanine: System, hot: tuple[Ensemble, Ensemble]) -> None:
    """Mean and spread of the energy and of every bond and angle, and the distribution of phi and psi, within
    4.5 combined standard errors.
    """
    coordinates = MolecularCoordinates(alanine)

    def observables(ensemble: Ensemble) -> np.ndarray:
        x = coordinates.canonical(ensemble.x[:, :, 0].double())
        r = coordinates.internal.inverse(x)[0].numpy()
        inside = coordinates.in_domain(coordinates.inverse(x)[0]).numpy()
        assert inside.mean() > 0.5
        stiff = r[..., : 2 * alanine.n_atoms - 3]
        centred = stiff - coordinates.reference.numpy()[: 2 * alanine.n_atoms - 3]
        torsions = coordinates.inverse(x)[0].numpy()[..., : coordinates.n_full]
        columns = [
            ensemble.potential[..., :1].numpy(),
            stiff,
            centred**2,
            np.cos(torsions),
            np.sin(torsions),
            np.cos(2 * torsions),
        ]
        # Frames outside the domain (cis peptide bonds) are not part of the ensemble; one method cuts them,
        # the other has none.
        return np.where(inside[..., None], np.concatenate(columns, -1), np.nan)

    results = []
    for ensemble in hot:
        values = observables(ensemble)
        filled = np.where(np.isnan(values), np.nanmean(values, axis=(0, 1)), values)
        mean, error = mean_and_error(filled)
        results.append((mean, error / (1.0 - np.isnan(values[..., 0]).mean())))
    (a, da), (b, db) = results
    z = (a - b) / np.hypot(da, db)
    assert np.abs(z).max() < 4.5
    assert np.sqrt(np.mean(z**2)) < 1.5
    # The comparison can tell a wrong temperature: equipartition alone would move the mean energy by its own
    # spread over sqrt(30).
    assert db[0] < 0.1 * units.kt(1200.0) * 30


def test_dynamics_resumes(alanine: System, tmp_path: Path) -> None:
    plan = Plan.for_method("md", interval=5, checkpoint_frames=4)
    record(alanine, tmp_path / "md", 4, plan=plan)
    record(alanine, tmp_path / "md", 8, resume=True)
    ensemble = Ensemble.load(tmp_path / "md", alanine)
    assert ensemble.n_frames == 8
    u = ForceFieldEnergy(alanine).potential(ensemble.x)
    assert torch.allclose(u.double(), ensemble.potential, atol=2e-2)


def test_simulate_in_one_call(tmp_path: Path) -> None:
    """What is written and returned, and that a finished simulation is made longer with its own settings."""
    folder = tmp_path / "run"
    trajectory = folder / "frames.h5"
    settings = {"walkers": 2, "highest": 400.0, "interval": 1}
    summary = simulate(
        "alanine_dipeptide", str(folder), frames=10, seed=3, trajectory=str(trajectory), **settings
    )
    assert summary == json.loads((folder / "simulation.json").read_text())
    assert (summary["n_frames"], summary["n_walkers"]) == (10, 2)
    assert {key: summary["plan"][key] for key in ("interval", "highest", "seed")} == {
        "interval": 1,
        "highest": 400.0,
        "seed": 3,
    }
    assert (folder / "reference.h5").is_file()
    assert mdtraj.load(trajectory).n_frames == 20
    longer = simulate("alanine_dipeptide", folder, frames=20, resume=True)
    left_out = longer["stationarity"]["burn_in_frames"]
    assert (longer["n_frames"], longer["plan"]) == (20 - left_out, summary["plan"])
    assert longer["burn_in_frames"] == 40 + left_out


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "magic"}, "`method` to be remd or md, got 'magic'"),
        ({"frames": 0}, "at least one frame"),
        ({"walkers": 0}, "`walkers` to be at least 1"),
        ({"highest": 200.0}, "lowest <= highest"),
        ({"method": "md", "platform": "Abacus"}, "no platform 'Abacus' here; give `platform` as one of"),
        ({"platform": "CPU"}, "`platform` is for dynamics, not for `method='remd'`"),
        ({"method": "md", "highest": 400.0}, "`highest` is for replica exchange"),
        ({"highest": math.inf}, "positive number of kelvin"),
        ({"resume": True, "walkers": 3, "interval": 2}, "leave out `walkers` and `interval`"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        simulate("alanine_dipeptide", tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_replica_exchange_keeps_constraints(alanine: System, tmp_path: Path) -> None:
    rigid = System.from_pdb(
        Path(str(alanine.folder)) / "topology.pdb", ["amber96.xml", "implicit/obc1.xml"], app.HBonds
    )
    record(rigid, tmp_path / "run", 3, plan=SMALL)
    ensemble = Ensemble.load(tmp_path / "run", rigid)
    x = ensemble.x.double().flatten(0, -3)
    coordinates = MolecularCoordinates(rigid)
    assert len(rigid.constraints) == 12
    assert coordinates.on_constraints(x, tolerance=1e-6).all()
    assert coordinates.in_domain(coordinates.inverse(coordinates.canonical(x))[0]).all()
    assert x.std(0).max() > 0.01
