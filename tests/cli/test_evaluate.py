"""`boltzgen evaluate` against references of the system and of others."""

import json
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import pytest

from boltzgen.cli.advice import forward_doubt, kept_forward
from boltzgen.cli.evaluate import forward_tables
from boltzgen.evaluation import evaluate as evaluation
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.shipped import shipped_systems
from boltzgen.simulation import forward
from tests.helpers.command_line import call, refused
from tests.helpers.standin import stand_in


@pytest.mark.slow
def test_evaluate(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stand_in().save(tmp_path / "r.h5")
    arguments = ("evaluate", "alanine_dipeptide", "--reference", tmp_path / "r.h5", "-n", 1024, "--seed", 4)
    code, out, err = call(capfd, *arguments, "--json", "-o", tmp_path / "out")
    assert code == 0
    assert out.count("\n") == 1
    result = json.loads(out)
    assert all(f"warning: {warning}\n" in err for warning in result["warnings"])
    assert not result["flagged"]
    assert (result["n_samples"], result["seed"]) == (1024, 4)
    assert result == json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "evaluation.json",
        "evaluation.md",
        "evaluation.html",
        "evaluation.png",
        "evaluation.pdf",
    }
    code, out, _ = call(capfd, *arguments)
    assert code == 0
    said = " ".join(out.split())
    assert all(" ".join(line.split()) in said for line in result["conventions"])
    assert max(map(len, out.splitlines())) <= 80
    refused(call(capfd, *arguments, "-o", tmp_path / "out"), "evaluation.json exists already; add --force")
    assert f"{result['log_z']:.4f} ± {result['log_z_error']:.4f}" in out
    assert (
        len(
            [line for line in out.splitlines() if line.startswith(("C7ax", "alphaL", "alphaR", "C7eq", "C5"))]
        )
        == 5
    )


def test_evaluate_needs_the_systems_own_reference(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is compared with, in tables or in one object; results that are there are not replaced."""
    source = shipped_systems()["alanine_dipeptide"]
    for file in ("topology.pdb", "checkpoint.safetensors"):
        (tmp_path / file).write_bytes((source / file).read_bytes())
    text = (source / "system.toml").read_text()
    (tmp_path / "system.toml").write_text(text)
    code, out, err = call(capfd, "evaluate", tmp_path, "-n", 500)
    assert (code, out) == (2, "")
    assert "has no reference.h5 of its own" in err
    stand_in().save(tmp_path / "reference.h5")
    (tmp_path / "evaluation.json").touch()
    written = call(capfd, "evaluate", tmp_path, "-n", 500, "-o", tmp_path)
    refused(written, "evaluation.json exists already; add --force")
    once = lru_cache(lambda: evaluation.evaluate(BoltzmannGenerator.load(tmp_path), n=500))
    result = once()
    monkeypatch.setattr(evaluation, "evaluate", lambda *_, **options: once() if options["n"] == 500 else None)
    code, out, err = call(capfd, "evaluate", tmp_path, "-n", 500)
    assert (code, err.count("warning: ")) == (0, len(result["warnings"]))
    basins = ("C7ax", "alphaL", "alphaR", "C7eq", "C5")
    assert len([line for line in out.splitlines() if line.startswith(basins)]) == len(basins)
    said = " ".join(out.split())
    assert all(" ".join(line.split()) in said for line in result["conventions"])
    code, out, _ = call(capfd, "evaluate", tmp_path, "-n", 500, "--json")
    assert (code, out.count("\n")) == (0, 1)
    assert json.loads(out)["log_z"] == result["log_z"]
    monkeypatch.undo()
    replace(stand_in(), fingerprint="another").save(tmp_path / "reference.h5")
    code, out, err = call(capfd, "evaluate", tmp_path, "-n", 500)
    assert (code, out) == (2, "")
    assert "is a reference of another system" in err
    assert err.count("\n") == 1
    # Before the forward test's work.
    monkeypatch.setattr("boltzgen.simulation.forward.forward_test", None)
    wrong = call(capfd, "evaluate", tmp_path, "--forward", "--reference", tmp_path / "reference.h5")
    refused(wrong, "is a reference of another system")


@pytest.mark.slow
def test_the_forward_test_needs_no_reference(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone where the system has none, beside the rest where it has; a table, or one object, and a file."""
    source = shipped_systems()["alanine_dipeptide"]
    for file in ("topology.pdb", "checkpoint.safetensors", "system.toml"):
        (tmp_path / file).write_bytes((source / file).read_bytes())
    small = partial(forward.forward_test, n_walkers=16, n_starts=8, n_steps=2, interval=30)
    monkeypatch.setattr("boltzgen.simulation.forward.forward_test", small)
    code, out, err = call(capfd, "evaluate", tmp_path, "--forward", "--json", "-o", tmp_path / "out")
    assert (code, out.count("\n"), "warning" in err) == (0, 1, False)
    result = json.loads(out)
    assert list(result) == ["forward"]
    assert (result["forward"]["n_walkers"], result["forward"]["n_snapshots"]) == (16, 2)
    assert json.loads((tmp_path / "out" / "forward.json").read_text()) == result["forward"]
    code, out, _ = call(capfd, "evaluate", tmp_path, "--forward")
    assert code == 0
    assert f"{100 * result['forward']['forward_ess']:.2f} %" in out
    worst = result["forward"]["worst"][0]
    assert f"{worst['log_w']:.2f}" in out and f"{worst['torsions']['phi']:.0f}" in out
    stand_in().save(tmp_path / "reference.h5")
    code, out, _ = call(capfd, "evaluate", tmp_path, "--forward", "-n", 500, "--json")
    assert code == 0
    assert {"forward", "basins", "log_z"} <= json.loads(out).keys()
    monkeypatch.setattr(forward.ForwardTest, "flagged", True)
    _, _, err = call(capfd, "evaluate", tmp_path, "--forward", "-n", 500)
    assert "warning: simulations from weighted draws met conformations" in err


def test_the_forward_tests_verdict_and_states_are_in_its_tables() -> None:
    shares = {f"share_above_e{k}": 1.6e-4 for k in (2, 4, 7)}
    found = {
        "forward_ess": 0.5,
        "largest_log_w": 6.5,
        "verdict": "failed",
        "reason": "a log w above 8",
        "states": [],
        "unseen": 0.0123,
        "basins": [],
    }
    worst = [{"log_w": 6.5, "torsions": {"phi": 60.0}}]
    more = shares | {"worst": worst, "n_walkers": 1, "n_snapshots": 1}
    (_, _, rows), _ = forward_tables(found | more)
    assert ["verdict", "failed: a log w above 8"] in rows and ["largest log w", "6.50"] in rows
    assert ["of the target, drawn 55 times too rarely or more", "0.016 %"] in rows
    assert ["in basins that draws hardly reach", "1.2 %"] in rows
    state = {"of": "ALA 2", "state": "alphaL", "n_snapshots": 1200, "n_at_stake": 30}
    _, (_, _, held), _ = forward_tables(found | more | {"states": [state]})
    assert held == [["ALA 2", "alphaL", "1,200", "30", "2.5"]]
    basin = {"share": 0.0123, "error": 0.001, "log_w": 12.34, "torsions": {"phi": 55.4, "psi": -40.0}}
    _, (_, head, missed), _ = forward_tables(found | more | {"basins": [basin]})
    assert head == ["", "1.2"]
    assert missed == [["log w", "12.3"], ["phi", "55"], ["psi", "-40"]]


def test_a_run_keeps_what_the_forward_test_found_of_its_generator(tmp_path: Path) -> None:
    assert forward_doubt(tmp_path, "a") == ""
    found = {"flagged": True, "forward_ess": 0.1, "largest_log_w": 9.6, "generator": "a"}
    (tmp_path / "forward.json").write_text(json.dumps(found))
    (tmp_path / "summary.json").write_text(json.dumps({"forward": found | {"largest_log_w": 6.2}}))
    assert "(forward ESS 10 %, largest log w 9.6)" in forward_doubt(tmp_path, "a")
    (tmp_path / "forward.json").write_text(json.dumps(found | {"reason": "basins"}))
    assert "(basins; forward ESS 10 %, largest log w 9.6)" in forward_doubt(tmp_path, "a")
    assert "(forward ESS 10 %, largest log w 6.2)" in forward_doubt(tmp_path, "b")  # trained anew meanwhile
    (tmp_path / "summary.json").write_text(json.dumps({"forward": found | {"flagged": False}}))
    assert "largest log w 9.6" in forward_doubt(tmp_path, "a")
    assert forward_doubt(tmp_path, "b") == ""


def run_of_the_dipeptide(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run with the shipped generator, and a forward test of seconds."""
    source = shipped_systems()["alanine_dipeptide"]
    (folder / "checkpoint.safetensors").write_bytes((source / "checkpoint.safetensors").read_bytes())
    (folder / "summary.json").write_text(json.dumps({"system": "alanine_dipeptide"}))
    small = partial(forward.forward_test, n_walkers=16, n_starts=8, n_steps=2, interval=30)
    monkeypatch.setattr("boltzgen.simulation.forward.forward_test", small)


def test_a_run_keeps_the_worst_forward_test_of_its_generator(tmp_path: Path) -> None:
    """Another seed that passes does not take back one that failed; a training anew does."""
    assert kept_forward(tmp_path, "a", "passed") == ""
    (tmp_path / "forward.json").write_text(
        json.dumps({"verdict": "thin places", "generator": "a", "seed": 7})
    )
    assert "keeps the test of seed 7 (thin places)" in kept_forward(tmp_path, "a", "passed")
    assert kept_forward(tmp_path, "a", "thin places") == kept_forward(tmp_path, "a", "failed") == ""
    assert kept_forward(tmp_path, "b", "passed") == ""
    (tmp_path / "forward.json").write_text('{"verdict": "unknown", "generator": "a", "seed": 7}')
    assert kept_forward(tmp_path, "a", "passed") == ""


def test_the_command_does_not_replace_a_forward_test_that_failed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of_the_dipeptide(tmp_path, monkeypatch)
    assert call(capfd, "evaluate", tmp_path, "--forward", "-n", 500)[0] == 0
    kept = json.loads((tmp_path / "forward.json").read_text())
    text = json.dumps(kept | {"verdict": "failed", "flagged": True, "seed": 3})
    (tmp_path / "forward.json").write_text(text)
    code, _, err = call(capfd, "evaluate", tmp_path, "--forward", "-n", 500, "-o", tmp_path / "out")
    assert code == 0 and "keeps the test of seed 3 (failed)" in " ".join(err.split())
    assert (tmp_path / "forward.json").read_text() == text
    assert json.loads((tmp_path / "out" / "forward.json").read_text())["verdict"] == kept["verdict"]
    for name in ("evaluation.html", "evaluation.md"):
        assert "forward test: 16 simulations" in (tmp_path / "out" / name).read_text()


def test_a_run_that_cannot_keep_the_forward_test_loses_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of_the_dipeptide(tmp_path, monkeypatch)
    (tmp_path / "forward.json").mkdir()  # no file can take its place
    code, out, err = call(capfd, "evaluate", tmp_path, "--forward", "-n", 500, "-o", tmp_path / "out")
    assert code == 0 and "verdict" in out and "does not keep this result" in err
    assert (tmp_path / "out" / "forward.json").is_file()
