"""The command line over a made-up generator: what it prints, writes and refuses. (The real one has its own
tests.)
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mdtraj
import pytest
import torch

from boltzgen import __version__, cli
from boltzgen.cli.train import _describe
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System, shipped_systems
from boltzgen.samples.file import read_header, read_samples
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from boltzgen.weights import clip_log_weights, sampling_efficiency
from tests.helpers.molecules import peptide, random_y
from tests.helpers.posing import made_up_samples
from tests.helpers.standin import stand_in


class FakeGenerator:
    """Stands for a trained generator of any system; `spread` and `stop` make it bad or interrupted."""

    temperature = 300.0
    spread = 0.3
    stop: type[BaseException] | None = None
    loaded: Path | None = None

    @classmethod
    def load(cls, path: Path, system: System, *, device: str = "cpu") -> "FakeGenerator":
        cls.loaded, cls.system = Path(path), system
        return cls()

    def sample_chunks(self, n: int, energy: torch.nn.Module, *, seed: int = 0) -> Iterator[WeightedSamples]:
        whole = made_up_samples(self.system, n, seed, spread=self.spread)
        for start in range(0, n, 700):
            part = whole[start : start + 700]
            energy(part.x[:1].expand(len(part), -1, -1))
            yield part
            if self.stop is not None:
                raise self.stop


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like a finished run, and a generator to load from it."""
    monkeypatch.setattr("boltzgen.generator.generator.BoltzmannGenerator", FakeGenerator)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "checkpoint.safetensors").touch()
    (folder / "summary.json").write_text(json.dumps({"system": "alanine_dipeptide"}))
    return folder


Output = tuple[int, str, str]


def call(capfd: pytest.CaptureFixture[str], *arguments: object) -> Output:
    capfd.readouterr()
    code = cli.main([str(a) for a in arguments])
    return code, *capfd.readouterr()


def test_help_version_and_systems(capfd: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"]):
        code, out, err = call(capfd, *arguments)
        assert code == 0
        assert err == ""
        assert all(
            c in out for c in ("systems", "prepare", "train", "sample", "analyze", "evaluate", "export")
        )
    assert call(capfd, "--version") == (0, f"boltzgen {__version__}\n", "")
    code, out, _ = call(capfd, "systems")
    assert code == 0
    assert all(name in out for name in shipped_systems())


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
        "sampling_efficiency_clipped",
        "largest_weight_share",
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
    assert (result["log_z"], result["log_z_error"]) == pytest.approx(expected.log_z)
    assert result["fraction_outside_domain"] == pytest.approx(0.01)
    assert 0 < result["seconds"] < 100
    header = read_header(run_folder / "s.h5")
    assert (header.seed, header.temperature, header.n_energy_evaluations) == (4, 300.0, 2_000)


def test_sample_weights_to_the_temperature_asked_for(
    run_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen = []
    sample_chunks = FakeGenerator.sample_chunks
    FakeGenerator.sample_chunks = lambda self, n, energy, *, seed=0: (
        seen.append(energy.temperature),
        sample_chunks(self, n, energy, seed=seed),
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
    assert "sampling efficiency" in out
    assert "log z error" in out
    assert "500" in out


def test_a_low_efficiency_is_warned_of_on_stderr(
    run_folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeGenerator, "spread", 3.0)
    code, out, err = call(capfd, "sample", run_folder, "-n", 2_000, "--json", "-o", run_folder / "s.h5")
    assert code == 0
    assert json.loads(out)["sampling_efficiency"] < 0.05
    assert err.startswith("warning: sampling efficiency is")
    assert err.count("\n") == 1
    code, out, err = call(capfd, "analyze", run_folder / "s.h5", "-o", run_folder / "out", "--json")
    assert code == 0
    assert json.loads(out)["basins"]
    assert err.startswith("warning: sampling efficiency is")


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
    code, out, _ = call(capfd, "analyze", run_folder / "s.h5", "-o", run_folder / "out")
    rows = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert code == 0
    assert "< " in rows["alphaL"]
    assert " .. " in rows["alphaR"]
    assert "ramachandran.png" in out


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
    code, out, _ = call(capfd, "analyze", tmp_path / "s.h5", "-o", tmp_path / "out")
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
        "evaluation.png",
        "evaluation.pdf",
    }
    code, out, _ = call(capfd, *arguments)
    assert code == 0
    assert all(line in out for line in result["conventions"])
    assert f"{result['log_z']:.4f} ± {result['log_z_error']:.4f}" in out
    assert (
        len(
            [line for line in out.splitlines() if line.startswith(("C7ax", "alphaL", "alphaR", "C7eq", "C5"))]
        )
        == 5
    )


def test_evaluate_needs_the_systems_own_reference(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = shipped_systems()["alanine_dipeptide"]
    for file in ("topology.pdb", "checkpoint.safetensors"):
        (tmp_path / file).write_bytes((source / file).read_bytes())
    text = (source / "system.toml").read_text()
    (tmp_path / "system.toml").write_text(text)
    code, out, err = call(capfd, "evaluate", tmp_path, "-n", 500)
    assert (code, out) == (2, "")
    assert "has no reference.h5 of its own" in err
    stand_in().save(tmp_path / "reference.h5")
    assert call(capfd, "evaluate", tmp_path, "-n", 500)[0] == 0
    replace(stand_in(), fingerprint="another").save(tmp_path / "reference.h5")
    code, out, err = call(capfd, "evaluate", tmp_path, "-n", 500)
    assert (code, out) == (2, "")
    assert "is a reference of another system" in err
    assert err.count("\n") == 1


def test_export(run_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = run_folder / "s.h5"
    call(capfd, "sample", run_folder, "-n", 200, "-o", file)
    code, out, err = call(capfd, "export", file, run_folder / "a.xtc")
    assert code == 0
    assert "200 frames" in out
    assert "do not have equal weight" in err
    code, out, err = call(capfd, "export", file, run_folder / "b.dcd", "--resample", 30, "--seed", 1)
    assert code == 0
    assert "30 frames" in out
    assert err == ""
    call(capfd, "export", file, run_folder / "c.dcd", "--resample", 30, "--seed", 2)
    assert (run_folder / "b.dcd").read_bytes() != (run_folder / "c.dcd").read_bytes()
    assert [mdtraj.load(str(run_folder / name), top=str(file)).n_frames for name in ("a.xtc", "b.dcd")] == [
        200,
        30,
    ]


def test_train_hands_everything_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def train(
        system: System, folder: Path, *, seed: int, resume: bool, device: str, progress, **data
    ) -> dict[str, object]:  # type: ignore[no-untyped-def]
        seen.update(system=system.name, folder=folder, seed=seed, resume=resume, device=device, **data)
        progress(
            SimpleNamespace(
                stage="energies",
                fraction=0.2,
                loss=1.5,
                efficiency=0.4,
                temperature=700.0,
                n_energy_evaluations=10**6,
                seconds=9.0,
                seconds_left=61.0,
            )
        )
        return {
            "sampling_efficiency": 0.9,
            "system": system.name,
            "n_frames": 50,
            "frames_dropped": {"cis peptide bond": 2} if data["data"] else {},
        }

    import boltzgen.training

    fake = SimpleNamespace(train=train)
    monkeypatch.setitem(sys.modules, "boltzgen.training.run", fake)
    monkeypatch.setattr(boltzgen.training, "run", fake, raising=False)
    code, out, _ = call(capfd, "train", "alanine_dipeptide", "-o", tmp_path / "r", "--seed", 3, "--resume")
    assert code == 0
    assert "0.9" in out
    assert str(tmp_path / "r") in out
    nothing = {
        "data": None,
        "topology": None,
        "mixed": False,
        "objective": None,
        "rounds": None,
        "minutes": None,
        "checkpoint": None,
    }
    assert seen == {
        "system": "alanine_dipeptide",
        "folder": tmp_path / "r",
        "seed": 3,
        "resume": True,
        "device": "cpu",
        **nothing,
    }
    _, _, err = call(
        capfd, "train", "alanine_dipeptide", "--data", "md.xtc", "--topology", "md.pdb", "--mixed"
    )
    assert (seen["data"], seen["topology"], seen["mixed"]) == (Path("md.xtc"), Path("md.pdb"), True)
    assert "2 of 50 frames were dropped as outside the domain: 2 cis peptide bond" in err
    call(capfd, "train", "alanine_dipeptide", "--rounds", "12")
    assert (seen["rounds"], seen["minutes"], seen["objective"]) == (12, None, None)
    call(capfd, "train", "alanine_dipeptide", "--minutes", "2.5")
    assert (seen["rounds"], seen["minutes"]) == (None, 2.5)
    call(capfd, "train", "alanine_dipeptide", "--objective", "reverse_kl")
    assert seen["objective"] == "reverse_kl"
    call(capfd, "train", "alanine_dipeptide", "--from", "run")
    assert seen["checkpoint"] == Path("run")
    call(capfd, "train", "alanine_dipeptide")
    assert (seen["objective"], seen["rounds"], seen["minutes"]) == (None, None, None)
    assert seen["folder"] == Path("runs/alanine_dipeptide")
    assert seen["seed"] == 0
    assert seen["resume"] is False


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "nonsense", "-n", "5"], "no system called 'nonsense'"),
        (["sample", "{run}"], "Missing option '-n'"),
        (["sample", "{run}", "-n", "0"], "Invalid value for '-n'"),
        (["sample", "{run}", "-n", "many"], "Invalid value for '-n'"),
        (["sample", "{run}", "-n", "5", "--seed", "-1"], "Invalid value for '--seed'"),
        (["sample", "{run}", "-n", "5", "--temperature", "-5"], "positive number of kelvin"),
        (["sample", "{run}", "-n", "5", "--device", "abacus"], "use --device cpu"),
        (["sample", "{run}", "-n", "5", "--device", "cuda:99"], "use --device cpu"),
        (["sample", "{run}", "-n", "5", "-o", "{tmp}/no/s.h5"], "does not exist"),
        (["sample", "{run}", "-n", "5", "-o", "{tmp}/s.dcd"], "ends in .h5"),
        (["sample", "{tmp}", "-n", "5"], "neither a run folder"),
        (["sample", "{halfway}", "-n", "5"], "--resume"),
        (["sample", "{broken}", "-n", "5"], "does not say which system"),
        (["train", "nonsense"], "no system called 'nonsense'"),
        (
            ["train", "alanine_dipeptide", "-o", "{tmp}/r", "--data", "{tmp}/none.xtc"],
            "no trajectory or topology at",
        ),
        (
            ["train", "alanine_dipeptide", "-o", "{tmp}/r", "--data", "{run}/summary.json"],
            "cannot be read as a trajectory of the 22 atoms",
        ),
        (
            [
                "train",
                "alanine_dipeptide",
                "-o",
                "{tmp}/r",
                "--data",
                "{good}",
                "--topology",
                "{tmp}/none.pdb",
            ],
            "no trajectory or topology at",
        ),
        (["train", "alanine_dipeptide", "-o", "{tmp}/r", "--mixed"], "--mixed, needs --data"),
        (["train", "alanine_dipeptide", "-o", "{tmp}/r", "--topology", "top.pdb"], "a --topology"),
        (
            ["train", "alanine_dipeptide", "-o", "{tmp}/r", "--resume", "--data", "{good}"],
            "goes on as it was started; leave out --data",
        ),
        (
            ["train", "alanine_dipeptide", "-o", "{tmp}/r", "--rounds", "2", "--minutes", "1"],
            "give one of them",
        ),
        (["train", "alanine_dipeptide", "-o", "{tmp}/r", "--from", "{tmp}/none"], "no checkpoint at"),
        (
            ["train", "alanine_dipeptide", "-o", "{tmp}/r", "--from", "{run}/summary.json"],
            "is not a whole boltzgen checkpoint",
        ),
        (
            ["train", "alanine_dipeptide", "-o", "{tmp}/r", "--from", "{run}", "--resume"],
            "leave out --from",
        ),
        (["train", "alanine_dipeptide", "-o", "{tmp}/r", "--rounds", "0"], "Invalid value for '--rounds'"),
        (["train", "alanine_dipeptide", "-o", "{tmp}/r", "--minutes", "-3"], "positive number of --minutes"),
        (
            ["train", "alanine_dipeptide", "-o", "{tmp}/r", "--resume", "--minutes", "3"],
            "leave out --minutes",
        ),
        (
            ["train", "alanine_dipeptide", "-o", "{tmp}/r", "--data", "{good}", "--minutes", "3"],
            "or add --mixed",
        ),
        (["analyze", "{tmp}/none.h5", "-o", "{tmp}/out"], "no samples file at"),
        (["analyze", "{run}/summary.json", "-o", "{tmp}/out"], "not an HDF5 file"),
        (["analyze", "{good}", "-o", "{good}"], "File exists: "),
        (["evaluate", "{run}", "--reference", "{tmp}/none.h5"], "no reference file at"),
        (["evaluate", "{run}", "--reference", "{good}"], "not a whole reference file"),
        (["evaluate", "{run}", "-n", "5"], "Invalid value for '-n'"),
        (["export", "{good}", "{tmp}/out.txt"], ".dcd or .xtc or .pdb"),
        (["export", "{tmp}/none.h5", "{tmp}/out.dcd"], "no samples file at"),
        (["export", "{good}", "{tmp}/out.dcd", "--resample", "0"], "Invalid value for '--resample'"),
        (["dance"], "No such command 'dance'"),
        (["sample", "{run}", "-n", "5", "--fast"], "No such option"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    run_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    for name in ("halfway", "broken"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "checkpoint.safetensors").touch()
    (tmp_path / "broken" / "summary.json").write_text("{}")
    names = {
        "run": run_folder,
        "tmp": tmp_path,
        "halfway": tmp_path / "halfway",
        "broken": tmp_path / "broken",
        "good": tmp_path / "good.h5",
    }
    call(capfd, "sample", run_folder, "-n", 5, "-o", tmp_path / "good.h5")
    code, out, err = call(capfd, *(a.format(**names) for a in arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("boltzgen: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("stop", "code", "message"),
    [(KeyboardInterrupt, 130, "interrupted"), (ValueError, 2, ""), (MemoryError, None, "")],
)
def test_an_interrupted_command_leaves_no_file(
    run_folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    stop: type[BaseException],
    code: int | None,
    message: str,
) -> None:
    monkeypatch.setattr(FakeGenerator, "stop", stop)
    arguments = ("sample", run_folder, "-n", 2_000, "-o", run_folder / "s.h5")
    if code is None:  # a fault of ours keeps its traceback
        with pytest.raises(stop):
            call(capfd, *arguments)
    else:
        got, out, err = call(capfd, *arguments)
        assert (got, out) == (code, "")
        assert message in err
        assert err.count("\n") == 1
    assert sorted(p.name for p in run_folder.iterdir()) == ["checkpoint.safetensors", "summary.json"]


def test_the_fake_has_the_real_ones_methods() -> None:
    for name in ("load", "sample_chunks"):
        assert hasattr(BoltzmannGenerator, name)


def test_progress_names_no_efficiency_where_nothing_is_drawn() -> None:
    state = {
        "stage": "data",
        "loss": 81.5,
        "temperature": 300.0,
        "n_energy_evaluations": 1000,
        "seconds_left": 61.0,
    }
    line = _describe(SimpleNamespace(efficiency=float("nan"), **state))  # type: ignore[arg-type]
    assert line == "data  300 K  loss 81.500  1.00e+03 energies  1:01 left"
    assert "efficiency 40.0 %" in _describe(SimpleNamespace(efficiency=0.4, **state))  # type: ignore[arg-type]
