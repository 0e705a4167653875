"""`boltzgen analyze`: its JSON, its report and its tables."""

import json
from pathlib import Path

import pytest
import torch

from boltzgen.cli.analyze import _population
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.molecule.shipped import shipped_systems
from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from boltzgen.units import one_kt
from tests.helpers.command_line import call, refused
from tests.helpers.molecules import peptide, random_y
from tests.helpers.posing import made_up_samples


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
            assert row[2:5] == [f"{state['from_degrees']:g}", "..", f"{state['to_degrees']:g}"]
            assert row[5] == f"{100 * state['population']:.3g}"
    assert result["unpaired"] == ["phi3", "psi1"]
    said = " ".join(out.split())
    assert "not counted: phi3, psi1; the residue at an end without a cap" in said
    assert "for profiles: --along phi3 --along psi1; for populations: boltzgen free-energy states" in said
    assert '--state "NAME: phi3=-100..0"' in said
    size = result["sizes"]["end_to_end"]
    words = [
        *["end", "to", "end", "(first", "to", "last", "CA)", "/", "nm"],
        f"{size['mean']:.4f}",
        "±",
        f"{size['standard_error']:.2g}",
    ]
    assert words in rows
    assert max(map(len, out.splitlines()[:-1])) <= 80


def test_what_is_asked_for(run_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    call(capfd, "sample", run_folder, "-n", 2_000, "-o", run_folder / "s.h5")
    asked = ["--pair", "phi", "omega", "--pair", "phi", "psi", "--bins", 12, "--format", "svg"]
    asked += ["--along", "distance CA C2", "--along", "psi", "--units", "kcal/mol"]
    code, out, err = call(capfd, "analyze", run_folder / "s.h5", "-o", run_folder / "out", *asked)
    assert (code, err) == (0, "")
    report = json.loads((run_folder / "out" / "report.json").read_text())
    names = ["surface_phi_omega.svg", "ramachandran.svg", "surfaces.svg", "profile_psi.csv", "profiles.svg"]
    assert set(names) <= set(report["files"])
    assert list(report["along"]) == ["distance CA C2", "psi"]
    mean = report["along"]["distance CA C2"]
    assert f"distance CA C2 / nm      {mean['mean']:.4f} ± {mean['standard_error']:.2g}" in out
    assert "psi /" not in out
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    assert "kcal/mol" in rows["basin"]
    right = next(b for b in report["basins"] if b["name"] == "alphaR")
    kcal = one_kt("kcal/mol", 300.0)
    assert f"{kcal * right['delta_f_kT']:.2f}" in rows["alphaR"]
    low, high = (f"{kcal * right[f'delta_f_{end}']:.2f}" for end in ("low", "high"))
    assert f"{low} .. {high}" in " ".join(rows["alphaR"])


def test_a_reference_is_said_to_have_no_weights(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    reference = shipped_systems()["alanine_dipeptide"] / "reference.h5"
    code, out, err = call(capfd, "analyze", reference, "-o", tmp_path, "--system", "alanine_dipeptide")
    assert code == 0
    assert "note: the frames count as independent of each other" in err
    assert out.startswith("temperature  300 K\nframes       5,000\n")
    assert "C7ax" in out
    assert "efficiency" not in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pair", "phi"], "expected --pair of two different torsions each, got 'phi'"),
        (["--pair", "phi", "--bins", "8"], "expected --pair of two different torsions each, got 'phi'"),
        (["--pair", "phi", "nonsense"], "--pair names a torsion 'nonsense' that this molecule has not"),
        (["--along", "distance CA"], "expected distance of 2 atoms"),
        (["--along", "phi +"], "'phi +' cannot be read"),
        (["--bins", "0"], "expected 2 to 720 --bins, got 0"),
        (["--units", "J"], "Invalid value for '--units': 'J' is not one of 'kT', 'kJ/mol', 'kcal/mol'"),
        (["--system", "nonsense"], "no system called 'nonsense'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    samples_file: Path, capfd: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    refused(call(capfd, "analyze", samples_file, "-o", samples_file.parent / "out", *options), message)
    assert not (samples_file.parent / "out").exists()


@pytest.fixture(scope="module")
def samples_file(system: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("analyze") / "s.h5"
    made_up_samples(system, 50).save(path, temperature=300.0)
    return path


def test_a_population_that_is_not_known_does_not_look_so() -> None:
    state = {"population": 0.123456, "low": None, "high": None, "n_raw": 1234, "n_effective": 3.21}
    assert _population(state) == ("12", "not estimated", "1,234", "3.2")
    assert _population(state | {"population": 0.00123})[0] == "0.1"
    known = state | {"low": 0.12, "high": 0.13, "n_effective": 1000.4}
    assert _population(known) == ("12.3", "12 .. 13", "1,234", "1,000")
