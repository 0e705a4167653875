"""`boltzgen free-energy`: its tables, JSON and pictures."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch

from boltzgen.cli.free_energy import difference
from boltzgen.cli.free_energy.common import Unit
from boltzgen.molecule.system import System
from boltzgen.samples.shards import Shard
from boltzgen.samples.writer import SamplesWriter
from boltzgen.thermodynamics.absolute import additions
from boltzgen.thermodynamics.hamiltonians import METHODS
from boltzgen.units import ENERGY_UNITS, kt
from tests.helpers.command_line import call, refused
from tests.helpers.pages import Page
from tests.helpers.peroxide import peroxide
from tests.helpers.posing import made_up_samples
from tests.helpers.rattled import rattled_samples


@pytest.fixture(scope="module")
def file(alanine: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("free_energy") / "s.h5"
    with SamplesWriter(path, alanine, 310.0) as writer:
        writer.write(made_up_samples(alanine, 4000))
    return path


def test_units_are_those_of_the_library() -> None:
    assert tuple(unit.value for unit in Unit) == ENERGY_UNITS


def test_files_are_pooled(
    alanine: System, file: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """By every command that reads samples; a missing shard is warned of, another target refused."""
    second = tmp_path / "second.h5"
    with SamplesWriter(second, alanine, 310.0, seed=7, shard=Shard(1, 2), n=8192, generator="g") as writer:
        writer.write(made_up_samples(alanine, 4096, 7))
    options = {"states": [], "pmf": ["--along", "phi"], "temperature": ["--at", "310"]}
    options["absolute"] = ["--system", "alanine_dipeptide"]
    for name, more in options.items():
        at = ("free-energy", name, file, second, *more)
        code, out, err = call(capfd, *at, "--json")
        assert code == 0, err
        result = json.loads(out)
        assert result["files"] == [str(file), str(second)]
        assert result["missing"] == ["seed 7: shard 2/2 (draws 4096 to 8192)"]
        assert "missing: seed 7: shard 2/2 (draws 4096 to 8192); the rest counts" in " ".join(err.split())
        code, out, _ = call(capfd, *at)
        assert code == 0 and "8,096 draws in 2 samples" in " ".join(out.split())
        if name == "states":
            assert "the samples agree in" in " ".join(out.split())
    warm = tmp_path / "warm.h5"
    made_up_samples(alanine, 10).save(warm, temperature=320.0)
    refused(call(capfd, "free-energy", "states", file, warm), "is of another temperature than")
    refused(call(capfd, "free-energy", "states", file, file), "is given twice")


def test_states(file: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "states.svg"
    arguments = ("free-energy", "states", file, "--between", "C7eq:C7ax", "--figure", picture)
    code, out, err = call(capfd, *arguments, "--json")
    assert code == 0
    result = json.loads(out)
    assert (result["system"], result["temperature"], result["unit"]) == ("alanine_dipeptide", 310.0, "kT")
    states = {state["name"]: state for state in result["states"]}
    assert list(states) == ["C7ax", "alphaL", "alphaR", "C7eq", "C5"]
    assert states["C7eq"]["population"]["value"] == pytest.approx(0.66, abs=0.03)
    (difference,) = result["differences"]
    assert (difference["start"], difference["end"]) == ("C7eq", "C7ax")
    assert difference["value"] == states["C7ax"]["free_energy"]["value"]
    assert difference["low"] < difference["value"] < difference["high"]
    (curve,) = result["convergence"]
    assert curve["n_draws"][-1] == 4000
    assert curve["forward_value"][-1] == difference["value"]
    # Warnings are in the result and on stderr.
    assert any("state C7ax: only" in warning for warning in result["warnings"])
    assert all(f"warning: {warning}" in err for warning in result["warnings"][:6])
    assert picture.read_text().startswith("<?xml")

    refused(call(capfd, *arguments), "states.svg exists already; add --force")
    arguments += ("--force", "--units", "kJ/mol", "--html", tmp_path / "states.html")
    code, out, _ = call(capfd, *arguments)
    # Of the first table; energies and entropies follow.
    rows = {line.split()[0]: line for line in reversed(out.splitlines()) if line.strip()}
    page = Page((tmp_path / "states.html").read_text())
    assert code == 0
    # The page has the same tables, and the warnings.
    assert [[text for text, _ in row] for row in page.rows][1][0] == "C7ax"
    assert page.rows[1][1][0] == rows["C7ax"].split()[1]
    assert "state C7ax: only" in page.words
    assert "img" in [tag for tag, _ in page.tags]
    assert f"{states['alphaR']['free_energy']['value'] * kt(310.0):.2f}" in rows["alphaR"]
    assert f"{100 * states['alphaR']['population']['value']:.3g}" in rows["alphaR"]
    assert "> " in rows["alphaL"] and "< " in rows["alphaL"]
    assert "kJ/mol from C7eq" in " ".join(out.split())
    assert "F(C7ax) - F(C7eq)" in out


def test_states_of_ones_own_and_found(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    own = ("--state", "left: phi=0..180", "--state", "right: phi < 0")
    code, out, _ = call(capfd, "free-energy", "states", file, *own, "--json")
    assert code == 0
    assert [state["name"] for state in json.loads(out)["states"]] == ["left", "right"]
    code, out, _ = call(capfd, "free-energy", "states", file, "--find", "--most", "1")
    assert code == 0
    assert "states are wells of phi, psi" in out
    assert [line.split()[0] for line in out.splitlines() if "0." in line][-2:] != []
    code, out, _ = call(capfd, "free-energy", "states", file, "--torsion", "psi", "--json")
    assert "wells of psi, parted" in json.loads(out)["notes"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--state", "phi > 0"), "a name, a colon, and ranges"),
        (("--state", "a: phi > 0; import os"), "cannot be read"),
        (("--state", "a: chi1 > 0"), "'chi1' that this molecule has not; it has: phi, psi"),
        (("--state", "a: phi > 0", "--find"), "not both"),
        (("--torsion", "chi1"), "no torsion called 'chi1'"),
        (("--find", "--barrier", "0"), "--barrier"),
        (("--between", "C7eq"), "expected --between to be START:END"),
        (("--between", "C7eq:C8"), "no basin called 'C8'"),
        (("--units", "eV"), "kcal/mol"),
        (("--figure", "states.gif"), ".png or .pdf or .svg"),
    ],
)
def test_what_is_refused(
    arguments: tuple[str, ...], message: str, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    refused(call(capfd, "free-energy", "states", file, *arguments), message)


def test_pmf(file: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture, table = tmp_path / "phi.png", tmp_path / "phi.csv"
    arguments = ("free-energy", "pmf", file, "--along", "psi", "-o", table, "--figure", picture)
    code, out, _ = call(capfd, *arguments, "--units", "kcal/mol", "--bins", 36, "--json")
    assert code == 0
    result = json.loads(out)
    (axis,) = result["coordinates"]
    assert (axis["name"], axis["unit"], axis["period"], len(axis["centres"])) == ("psi", "degrees", 360.0, 36)
    # 70 % near 70 degrees and 30 % near -40, both as broad.
    first, second = result["minima"]
    assert (first["at"][0], second["at"][0]) == (pytest.approx(70, abs=6), pytest.approx(-40, abs=6))
    expected = math.log(0.695 / 0.3) * kt(310.0) / 4.184
    assert second["value"] == pytest.approx(expected, abs=4 * second["error"])
    assert result["convergence"]["forward_value"][-1] == pytest.approx(second["value"])
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 36
    assert [float(row["psi_degrees"]) for row in rows] == pytest.approx(axis["centres"])
    lowest = min(rows, key=lambda row: float(row["free_energy_kcal_per_mol"]))
    assert float(lowest["psi_degrees"]) == pytest.approx(first["at"][0])
    assert picture.read_bytes().startswith(b"\x89PNG")
    refused(call(capfd, *arguments), "exists already")
    code, out, _ = call(capfd, *arguments, "--force", "--along", "phi", "--method", "kernel", "--bins", "12")
    assert code == 0
    assert "psi = " in out and "phi = " in out


def test_pmf_along_an_expression(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capfd, "free-energy", "pmf", file, "--along", "cos(psi)", "--json")
    assert code == 0
    (axis,) = json.loads(out)["coordinates"]
    assert axis["period"] is None
    assert -1.01 < axis["centres"][0] < axis["centres"][-1] < 1.01


def test_temperature(file: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "t.png"
    arguments = ("free-energy", "temperature", file, "--at", "300:320:10", "--at", "900")
    code, out, _ = call(capfd, *arguments, "--units", "kJ/mol", "--figure", picture, "--json")
    assert code == 0
    result = json.loads(out)
    points = {point["temperature"]: point for point in result["points"]}
    assert list(points) == [300.0, 310.0, 320.0, 900.0]
    own = points[310.0]["results"]
    samples = made_up_samples(System.load("alanine_dipeptide"), 4000)
    log_z, used = samples.log_z, samples.u.isfinite()
    assert own["free_energy"]["value"] == pytest.approx(-log_z.value * kt(310.0))
    mean = samples.expectation(torch.where(used, samples.u, 0.0))
    assert own["energy"]["value"] == pytest.approx(mean.value * kt(310.0))
    shares = {b.name: b.population for b in samples.populations()}
    assert own["alphaR"]["value"] == pytest.approx(shares["alphaR"])
    # At 900 K a few draws decide.
    assert not points[900.0]["is_trusted"]
    assert result["trusted"][1] < 900.0
    assert any(warning.startswith("900 K: ") for warning in result["warnings"])
    last = result["convergence"]["F at 300 K"]["forward_value"][-1]
    assert last == pytest.approx(points[300.0]["results"]["free_energy"]["value"])
    assert picture.exists()
    code, out, _ = call(capfd, *arguments, "--state", "left: phi > 0")
    assert code == 0
    assert any(line.startswith("900") and "doubtful" in line for line in out.splitlines())
    assert "to be trusted from 300 to" in out or "no temperature" in out
    assert "left" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pmf", "--along", "phii"), "phii"),
        (("pmf", "--along", "phi", "--along", "psi", "--along", "phi"), "one or two quantities --along"),
        (("pmf", "--along", "phi", "-o", "out.txt"), ".csv"),
        (("temperature", "--at", "warm"), "expected --at to be T or LOW:HIGH:STEP"),
        (("temperature", "--at", "1:inf:1"), "expected --at to be T or LOW:HIGH:STEP"),
        (("temperature", "--at", "300:200:10"), "expected --at"),
        (("temperature", "--at", "0:1000:1"), "1001 temperatures"),
        (("temperature", "--at", "-5"), "positive number of kelvin"),
        (("temperature", "--at", "300", "--state", "x"), "a name, a colon"),
    ],
)
def test_what_pmf_and_temperature_refuse(
    arguments: tuple[str, ...], message: str, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name, *options = arguments
    refused(call(capfd, "free-energy", name, file, *options), message)


def test_no_file(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    refused(call(capfd, "free-energy", "states", tmp_path / "none.h5"), "none.h5")


def test_the_group_alone_is_its_help(capfd: pytest.CaptureFixture[str]) -> None:
    alone, help_text = call(capfd, "free-energy"), call(capfd, "free-energy", "-h")
    assert alone == help_text
    assert alone[0] == 0
    assert "boltzgen free-energy COMMAND -h" in alone[1]


def test_difference_of_a_generator_from_itself(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Every estimator gives nothing, within its error; two seeds are drawn with."""
    picture = tmp_path / "d.pdf"
    arguments = ("free-energy", "difference", "alanine_dipeptide", "alanine_dipeptide", "-n", 200)
    code, out, _ = call(capfd, *arguments, "--figure", picture, "--units", "kcal/mol", "--json")
    assert code == 0
    result = json.loads(out)
    assert tuple(result["estimates"]) == METHODS
    assert all(abs(e["value"]) <= 6 * e["error"] < 0.2 for e in result["estimates"].values())
    assert result["estimates"]["independent"]["value"] != 0.0
    assert result["convergence"]["n_draws"][-1] == 200
    assert result["convergence"]["forward_value"][-1] == result["estimates"]["mixture"]["value"]
    assert picture.read_bytes().startswith(b"%PDF")
    code, out, _ = call(capfd, *arguments)
    assert code == 0
    assert all(any(line.startswith(method) for line in out.splitlines()) for method in METHODS)


def test_every_estimator_is_explained() -> None:
    assert tuple(difference.METHODS) == METHODS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("alanine_dipeptide", "alanine_tetrapeptide"), "numbers of atoms, 22 and 42, differ"),
        (("alanine_dipeptide", "alanine_dipeptide", "--temperature", "-3"), "temperature"),
        (("alanine_dipeptide", "nothing"), "nothing"),
    ],
)
def test_differences_that_are_refused(
    arguments: tuple[str, ...], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    refused(call(capfd, "free-energy", "difference", *arguments), message)


@pytest.mark.parametrize(
    "arguments",
    [("states", "--state", "up: phi2 > -60"), ("pmf", "--along", "phi2"), ("temperature", "--at", "310")],
)
def test_constrained_dynamics(
    arguments: tuple[str, ...], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The option reaches the estimate; of a molecule that does not ship, masses are asked for."""
    file, option = tmp_path / "s.h5", ("--measure", "constrained-dynamics")
    rattled_samples(System.load("alanine_tripeptide"), 500).save(file)
    command = ("free-energy", arguments[0], file, *arguments[1:])
    found = {}
    for name, more in (
        ("plain", ()),
        ("measured", option),
        ("same", (*option, "--system", "alanine_tripeptide")),
    ):
        code, out, _ = call(capfd, *command, *more, "--json")
        assert code == 0
        found[name] = json.loads(out)
    assert found["plain"].pop("measure") == "flexible-limit"
    assert found["measured"]["measure"] == "constrained-dynamics"
    assert found["measured"] == found["same"]
    assert {k: v for k, v in found["measured"].items() if k != "measure"} != found["plain"]
    code, out, _ = call(capfd, *command, *option)
    assert code == 0 and "constrained dynamics: 500 draws" in " ".join(out.split())
    rattled_samples(peroxide(constraints=True), 50).save(file, force=True)
    refused(call(capfd, *command, *option), "give its folder as --system")


def test_absolute(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """F is -kT ln Z of the draws; what is added comes off F and -TS, and is said."""
    system = System.load("alanine_dipeptide")
    samples, scale = made_up_samples(system, 4000), kt(310.0)
    found = {}
    for add in ((), ("--add", "equivalent atoms")):
        code, out, _ = call(
            capfd,
            "free-energy",
            "absolute",
            file,
            *add,
            "--units",
            "kJ/mol",
            "--system",
            system.name,
            "--json",
        )
        assert code == 0
        found[add] = json.loads(out)
    plain, whole = found.values()
    assert plain["results"]["free_energy"]["value"] == pytest.approx(-samples.log_z.value * scale)
    assert plain["additions"] == whole["additions"] == pytest.approx(additions(system))
    for name, shift in (("free_energy", 3 * math.log(3)), ("energy", 0.0), ("minus_ts", 3 * math.log(3))):
        first, second = (result["results"][name] for result in (plain, whole))
        for end in ("value", "low", "high"):
            assert first[end] - second[end] == pytest.approx(shift * scale)
    code, out, _ = call(capfd, "free-energy", "absolute", file)
    assert code == 0
    rows = {line.split()[0]: line for line in out.splitlines() if line.split()}
    assert {"F", "U", "-TS"} <= rows.keys()
    assert "3.2958" in out and "'equivalent atoms'" in out and "'mirror image'" in out
    refused(call(capfd, "free-energy", "absolute", file, "--add", "cis"), "no addition called 'cis'")
