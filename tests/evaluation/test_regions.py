"""Residues' regions beside a reference: counted, compared, missed, and found in files of earlier versions."""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.evaluation.draws import Draws
from boltzgen.evaluation.reference import Reference
from boltzgen.evaluation.shares import basin_shares, region_shares, torsion_shares
from boltzgen.evaluation.summary import missing_modes, summarize
from boltzgen.evaluation.tables import text_tables
from boltzgen.evaluation.tally import table_bins
from boltzgen.molecule.basins import Basin
from boltzgen.molecule.system import System
from tests.helpers.molecules import peptide, random_y

N = 4000


@cache
def frames(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """ACE-ALA-ALA-ALA-NME with random torsions and energies."""
    coordinates = MolecularCoordinates(peptide("capped_ala3"))
    x = coordinates(random_y(coordinates, N, seed))[0]
    return x, torch.from_numpy(np.random.default_rng(seed).normal(size=N))


@cache
def reference() -> Reference:
    x, u = frames(0)
    return Reference.from_frames(peptide("capped_ala3"), x, u, torch.zeros(N), torch.arange(N) % 16)


def draws(held: Reference, system: System, keep: np.ndarray | None = None) -> Draws:
    """Other frames of equal weight as a generator's draws; with `keep`, those alone."""
    x, u = (part if keep is None else part[torch.from_numpy(keep)] for part in frames(1))
    axes = [axis for axis, _ in held.marginals.values()]
    bins, _ = table_bins(system, MolecularCoordinates(system), axes, x)
    bins["energy"] = (held.energy[0].bins(u.numpy()), held.energy[0].n_bins)
    return Draws(np.zeros(len(x)), u.numpy(), bins, np.zeros(len(held)))


def test_regions_of_each_residue_are_compared() -> None:
    system, held = peptide("capped_ala3"), reference()
    made = draws(held, system)
    rows = region_shares(made, held)
    assert [row["residue"] for row in rows] == [name for name in system.regions for _ in range(6)]
    assert max(abs(row["z"]) for row in rows) < 4.5
    x, _ = frames(1)
    for row in rows:
        inside = system.states[row["residue"]].labels(x)
        k = system.states[row["residue"]].names.index(row["name"])
        assert row["population"] == pytest.approx((inside == k).mean())
    # Regions take the place of phi and psi; omega is always trans.
    assert torsion_shares(made, held) == []
    result = summarize(made, held)
    assert result["regions"] == rows and not result["flagged"]
    table = next(t for t in text_tables(result) if t[0].startswith("regions"))
    assert [row[0] for row in table[2][:2]] == ["ALA 2 alphaR", "ALA 2 beta"]


def test_a_region_that_is_never_drawn_is_missed() -> None:
    system, held = peptide("capped_ala3"), reference()
    names = system.states["ALA 3"].names
    keep = system.states["ALA 3"].labels(frames(1)[0]) != names.index("C7ax")
    blind = draws(held, system, keep)
    regions = [f["region"] for f in missing_modes(blind, held) if f["kind"] == "region"]
    assert regions == ["ALA 3 C7ax"]
    assert any("regions of residues differ" in w for w in summarize(blind, held)["warnings"])


def edit_header(path: Path, edit: Callable[[dict[str, Any], h5py.File], None]) -> None:
    with h5py.File(path, "a") as file:
        header = json.loads(file.attrs["header"])
        edit(header, file)
        file.attrs["header"] = json.dumps(header)
        del file.attrs["crc32"]  # which files of earlier versions have not


def as_earlier_versions_wrote(header: dict[str, Any], file: h5py.File) -> None:
    """Amino acids counted from 1, atoms by element and number, phi and psi by themselves, no regions."""
    del header["regions"]
    old = {"omega1": "omega0", "omega2": "omega1", "omega3": "omega2", "omega4": "omega3"}
    old |= {f"{kind}{k + 1}": f"{kind}{k}" for kind in ("phi", "psi") for k in (1, 2, 3)}
    header["torsions"] = {old[name]: atoms for name, atoms in header["torsions"].items()}
    for surface in header["surfaces"]:
        surface["pair"] = [old[name] for name in surface["pair"]]
    for k, axis in enumerate(header["axes"]):
        axis["name"] = f"bond C{k + 1}-C{k + 2}"
    omegas = [k for k, name in enumerate(header["states"]) if name.startswith("omega")]
    header["states"] = {old[name]: names for name, names in header["states"].items() if name in old}
    groups = [file[f"states{k}"][:] for k in omegas]
    for name in [name for name in file if re.fullmatch(r"states\d+", name)]:
        del file[name]
    for k, shares in enumerate(groups):
        file[f"states{k}"] = shares


def test_files_of_earlier_versions_get_the_systems_names(tmp_path: Path) -> None:
    system, path = peptide("capped_ala3"), tmp_path / "r.h5"
    reference().save(path)
    edit_header(path, as_earlier_versions_wrote)
    old, held = Reference.load(path), Reference.load(path, system)
    assert "phi1" in old.torsions and old.regions == {} and set(old.states) == {f"omega{k}" for k in range(4)}
    assert held.torsions == system.torsions
    assert list(held.marginals) == list(reference().marginals)
    assert [s.pair for s in held.surfaces] == [s.pair for s in reference().surfaces]
    assert list(held.states) == list(system.states)
    np.testing.assert_array_equal(held.states["omega2"][1].groups, reference().states["omega2"][1].groups)
    counted, whole = held.states["ALA 3"][1], reference().states["ALA 3"][1]
    np.testing.assert_allclose(counted.probability, whole.probability, atol=0.03)
    assert summarize(draws(held, system), held)["flagged"] is False


def test_basins_that_were_changed_since_are_counted_again(tmp_path: Path) -> None:
    plain, path = peptide("capped_ala3"), tmp_path / "r.h5"
    reference().save(path)
    basins = [Basin("folded", phi2=(-180, 0), psi3=(-100, 50), omega3=(90, -90)), Basin("rest")]
    system = System(plain.topology, plain.openmm_system, plain.positions, name=plain.name, basins=basins)
    held = Reference.load(path, system)
    assert (held.basins, list(held.regions)) == (tuple(basins), ["ALA 4"])
    rows = basin_shares(draws(held, system), held)
    assert [row["name"] for row in rows] == ["folded", "rest"]
    assert rows[0]["reference"] == pytest.approx(0.5 * 150 / 360, abs=0.05)
    assert max(abs(row["z"]) for row in rows) < 4.5
    held.save(path)
    assert Reference.load(path, system).basins == tuple(basins)
    assert Reference.load(path, plain).populations is None
