"""`boltzgen analyze`: its JSON, its report and its tables."""

import json
from pathlib import Path

import pytest
import torch

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from tests.helpers.command_line import call
from tests.helpers.molecules import peptide, random_y


def test_analyze(run_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    call(capfd, "sample", run_folder, "-n", 2_000, "-o", run_folder / "s.h5")
    code, out, err = call(capfd, "analyze", run_folder / "s.h5", "-o", run_folder / "out", "--json")
    assert code == 0
    assert err == ""
    assert out.count("\n") == 1
    result = json.loads(out)
    assert [b["name"] for b in result["basins"]] == ["C7ax", "alphaL", "alphaR", "C7eq", "C5"]
    assert all(
        set(b) >= {"population", "low", "high", "n_raw", "n_effective", "delta_f_kT"}
        for b in result["basins"]
    )
    assert sum(b["population"] for b in result["basins"]) == pytest.approx(1.0)
    assert result == json.loads((run_folder / "out" / "report.json").read_text())
    code, out, _ = call(capfd, "analyze", run_folder / "s.h5", "-o", run_folder / "out", "--force")
    rows = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert code == 0
    assert "< " in rows["alphaL"]
    assert " .. " in rows["alphaR"]
    assert "ramachandran.png" in out


def test_a_narrow_terminal_cuts_no_table(
    run_folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, output = run_folder / "s.h5", run_folder / "out"
    call(capfd, "sample", run_folder, "-n", 2_000, "-o", file)
    tables = []
    for columns in ("100", "40"):
        monkeypatch.setenv("COLUMNS", columns)
        code, out, _ = call(capfd, "analyze", file, "-o", output, "--force")
        assert code == 0
        lines = [line.rstrip() for line in out.splitlines()]
        (start,) = (k for k, line in enumerate(lines) if line.startswith("basin "))
        tables.append(lines[start : start + 6])
    assert tables[0] == tables[1]


def test_analyze_a_peptide_with_side_chains(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    system = peptide("phe_pro_trp")
    coordinates = MolecularCoordinates(system)
    x = coordinates(random_y(coordinates, 200))[0]
    with SamplesWriter(tmp_path / "s.h5", system, 300.0) as writer:
        writer.write(WeightedSamples.from_energies(x, torch.zeros(200), torch.zeros(200)))
    code, out, err = call(capfd, "analyze", tmp_path / "s.h5", "-o", tmp_path / "out", "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert list(result["rotamers"]) == ["omega1", "chi1_1", "chi1_2", "chi1_3", "chi2_1", "chi2_2", "chi2_3"]
    assert all(
        set(s) >= {"name", "population", "low", "high", "is_upper_bound"}
        for states in result["rotamers"].values()
        for s in states
    )
    assert list(result["sizes"]) == ["radius_of_gyration", "end_to_end"]
    code, out, _ = call(capfd, "analyze", tmp_path / "s.h5", "-o", tmp_path / "out", "--force")
    rows = [line.split() for line in out.splitlines()]
    for name, states in result["rotamers"].items():
        for state in states:
            (row,) = (r for r in rows if r[:2] == [name, state["name"]])
            assert row[2] == f"{100 * state['population']:.3g}"
    size = result["sizes"]["end_to_end"]
    assert [
        "end",
        "to",
        "end",
        "/",
        "nm",
        f"{size['mean']:.4f}",
        "±",
        f"{size['standard_error']:.2g}",
    ] in rows
    assert max(map(len, out.splitlines()[:-1])) <= 80
