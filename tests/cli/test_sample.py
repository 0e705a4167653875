"""`boltzgen sample` over a made-up generator (the real one has its own tests): what it prints and writes."""

import json
from pathlib import Path

import pytest
import torch

from boltzgen.cli.common import weight_fields
from boltzgen.free_energy.weight_summary import weight_summary
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.shipped import shipped_systems
from boltzgen.molecule.system import System
from boltzgen.samples.file import read_header, read_samples
from boltzgen.weights import clip_log_weights, sampling_efficiency
from tests.helpers.command_line import FakeGenerator, call, refused
from tests.helpers.posing import made_up_samples


def test_sample_prints_one_json_object_and_nothing_else(
    run_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(
        capfd, "sample", run_folder, "-n", 2_000, "--seed", 4, "--json", "-o", run_folder / "s.h5"
    )
    assert code == 0
    assert err == ""
    assert out.count("\n") == 1
    result = json.loads(out)
    assert set(result) == {
        "n_samples",
        "effective_sample_size",
        "sampling_efficiency",
        "sampling_efficiency_blocks_low",
        "sampling_efficiency_blocks_high",
        "sampling_efficiency_clipped",
        "largest_weight_share",
        "psis_k_hat",
        "log_z",
        "log_z_error",
        "n_energy_evaluations",
        "seconds",
        "fraction_outside_domain",
    }
    samples = read_samples(run_folder / "s.h5")
    expected = made_up_samples(System.load("alanine_dipeptide"), 2_000, 4)
    assert torch.equal(samples.x, expected.x)
    assert torch.equal(samples.log_w, expected.log_w)
    assert result["n_samples"] == result["n_energy_evaluations"] == 2_000
    assert result["effective_sample_size"] == pytest.approx(expected.effective_sample_size)
    assert result["sampling_efficiency"] == pytest.approx(expected.sampling_efficiency)
    assert result["sampling_efficiency_clipped"] == pytest.approx(
        sampling_efficiency(clip_log_weights(expected.log_w))
    )
    assert (result["log_z"], result["log_z_error"]) == pytest.approx(
        (expected.log_z.value, expected.log_z.error)
    )
    assert result["fraction_outside_domain"] == pytest.approx(0.01)
    assert 0 < result["seconds"] < 100
    header = read_header(run_folder / "s.h5")
    assert (header.seed, header.temperature, header.n_energy_evaluations) == (4, 300.0, 2_000)


def test_sample_weights_to_the_temperature_asked_for(
    run_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen = []
    sample_chunks = FakeGenerator.sample_chunks
    FakeGenerator.sample_chunks = lambda self, n, energy, **options: (
        seen.append(energy.temperature),
        sample_chunks(self, n, energy, **options),
    )[1]  # type: ignore[method-assign,assignment,func-returns-value]
    try:
        assert (
            call(capfd, "sample", run_folder, "-n", 10, "--temperature", 350, "-o", run_folder / "s.h5")[0]
            == 0
        )
        assert call(capfd, "sample", run_folder, "-n", 10)[0] == 0
    finally:
        FakeGenerator.sample_chunks = sample_chunks  # type: ignore[method-assign]
    assert seen == [350.0, 300.0]
    assert read_header(run_folder / "s.h5").temperature == 350.0


def test_sample_without_json_prints_a_table(run_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capfd, "sample", run_folder, "-n", 500)
    assert code == 0
    rows = {line[:19].strip(): line[19:].strip() for line in out.splitlines()}
    assert rows["draws"] == "500"
    assert rows["sampling efficiency"].endswith("% in tenths of the draws)")
    assert "good: no few draws decide the averages" in rows["PSIS k-hat"]
    assert " ± " in rows["log Z"]


def test_a_generator_on_its_way_says_so(
    run_folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeGenerator, "temperature", 481.2)
    (run_folder / "summary.json").rename(run_folder / "run.json")
    refused(call(capfd, "sample", run_folder, "-n", 50), "take its last checkpoint by --unfinished")
    code, out, err = call(capfd, "sample", run_folder, "-n", 50, "--unfinished")
    assert (code, out.splitlines()[0].split()) == (0, ["temperature", "481.2", "K"])
    assert err.startswith("warning: this generator's training has only come to 481 K on its way to 300 K")


def test_weights_that_say_little_are_warned_of_on_stderr(
    run_folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeGenerator, "spread", 3.0)
    code, out, err = call(capfd, "sample", run_folder, "-n", 2_000, "--json", "-o", run_folder / "s.h5")
    assert code == 0
    assert json.loads(out)["sampling_efficiency"] < 0.05
    low, tail, share = err.splitlines()
    assert low.startswith("warning: sampling efficiency is")
    assert tail.startswith(f"warning: PSIS k-hat is {json.loads(out)['psis_k_hat']:.2f} > 0.7")
    assert share.startswith(
        f"warning: one draw holds {100 * json.loads(out)['largest_weight_share']:.2g} % of the weight"
    )
    code, out, err = call(capfd, "analyze", run_folder / "s.h5", "-o", run_folder / "out", "--json")
    assert code == 0
    result = json.loads(out)
    first, *others = err.splitlines()
    assert others == [tail, share]
    assert "train the generator anew, for longer (`boltzgen sample` prints the command)" in first
    assert all(b["low"] is None and b["high"] is None for b in result["basins"] if b["n_raw"] > 100)
    code, out, _ = call(capfd, "analyze", run_folder / "s.h5", "-o", run_folder / "out", "--force")
    assert code == 0
    assert "not estimated: a few draws of large weight would decide the interval" in " ".join(out.split())
    assert "bad: a few large weights decide the averages" in out
    assert "nan" not in out.lower() and "±" not in out
    assert result["log_z_error"] is result["sizes"]["radius_of_gyration"]["standard_error"] is None
    assert "training's temperature" not in low
    (run_folder / "summary.json").write_text(
        json.dumps({"system": "alanine_dipeptide", "settings": {"rounds": 12}, "seconds": 400.0})
    )
    err = call(capfd, "sample", run_folder, "-n", 2_000, "--temperature", 350)[2]
    longer = f"train anew, for longer: boltzgen train alanine_dipeptide -o {run_folder}_longer --minutes 15"
    assert f"{longer}; or stay near training's temperature, 300 K" in err.splitlines()[0]


def test_a_failed_forward_test_of_the_training_is_said(
    run_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever these draws look like: what they miss is not in them."""
    summary = {"system": "alanine_dipeptide", "settings": {"rounds": 12}}
    for forward, is_said in (
        ({"flagged": True, "forward_ess": 0.053, "largest_log_w": 8.94}, True),
        ({"flagged": False, "forward_ess": 0.9, "largest_log_w": 2.0}, False),
        ("no dictionary", False),
    ):
        (run_folder / "summary.json").write_text(json.dumps(summary | {"forward": forward}))
        failed = "failed (forward ESS 5.3 %, largest log w 8.9)"
        samples, report = run_folder / "s.h5", run_folder / "report"
        err = call(capfd, "sample", run_folder, "-n", 2_000, "-o", samples, "--force")[2]
        assert (failed in err) is is_said
        # The samples keep it, for whoever reads them later.
        page = ["--html", run_folder / "report.html", "--force"]
        code, _, err = call(capfd, "analyze", samples, "-o", report, *page)
        assert code == 0
        assert (failed in err) is is_said
        assert (failed in (run_folder / "report.html").read_text()) is is_said
        assert (failed in call(capfd, "free-energy", "states", samples)[2]) is is_said


def test_tenths_of_the_draws_are_left_out_where_they_do_not_hold_the_whole() -> None:
    log_w = torch.linspace(0, 2_000, 20_000, dtype=torch.float64)
    fields = weight_fields(weight_summary(log_w))
    assert "tenths" not in fields["sampling efficiency"]
    assert fields["log Z"].endswith(" (error not estimated)")


def test_a_run_a_folder_and_a_name_are_found(
    run_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = shipped_systems()["alanine_dipeptide"]
    folder = tmp_path / "mine"
    folder.mkdir()
    for file in ("system.toml", "topology.pdb"):
        (folder / file).write_bytes((source / file).read_bytes())
    code, _, err = call(capfd, "sample", folder, "-n", 5)
    assert code == 2
    assert "no trained checkpoint; train a generator first" in err
    (folder / "checkpoint.safetensors").touch()
    assert call(capfd, "sample", folder, "-n", 5)[0] == 0
    assert FakeGenerator.loaded == folder
    (run_folder / "summary.json").write_text(json.dumps({"system": str(folder)}))
    assert call(capfd, "sample", run_folder, "-n", 5)[0] == 0
    assert FakeGenerator.loaded == run_folder
    assert FakeGenerator.system.folder == folder


def test_the_fake_has_the_real_ones_methods() -> None:
    for name in ("load", "sample_chunks", "digest"):
        assert hasattr(BoltzmannGenerator, name)


def test_refined_draws_are_told_from_others(run_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Never as the generator's efficiency; a file of one kind is not gone on with by the other."""
    file = run_folder / "s.h5"
    code, out, err = call(capfd, "sample", run_folder, "-n", 500, "-o", file, "--refine", 3)
    assert (code, err) == (0, "")
    assert "after 3 moves of each draw" in " ".join(out.split())
    assert "effective share" in out and "sampling efficiency" not in out
    header = read_header(file)
    assert (header.refined, header.generator) == (3, "made up+3")
    refused(call(capfd, "sample", run_folder, "-n", 600, "-o", file, "--resume"), "generator")
    assert call(capfd, "sample", run_folder, "-n", 600, "-o", file, "--refine", 3, "--resume")[0] == 0
    assert read_header(file).n_samples == 600
    code, out, _ = call(capfd, "analyze", file, "-o", run_folder / "out", "--html", run_folder / "r.html")
    assert code == 0
    assert "after 3 moves of each draw" in " ".join(out.split()) and "sampling efficiency" not in out
    page = (run_folder / "r.html").read_text()
    assert "Each draw made 3 moves after the generator" in page and "Sampling efficiency" not in page
    refused(call(capfd, "sample", run_folder, "-n", 5, "--refine", 1001), "expected 1 to 1000 steps")
