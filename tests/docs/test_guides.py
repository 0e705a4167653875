"""The code blocks of the tutorial and of the guides run, from the first to the last, with small budgets."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from boltzgen import BoltzmannGenerator, Reference, cli, energy_for, prepare
from boltzgen.evaluation.reference import reference_path
from boltzgen.interop.bgflow_package import bgflow
from boltzgen.molecule.system import System
from tests.helpers.documents import DOCS, ROOT, blocks, commands
from tests.helpers.runs import TINY

DATA = ROOT / "tests" / "data"
#: Settled by whoever has this repository at hand, or measured elsewhere.
INSTALLATION = ("pip install",)


def bare_and_whole_structures() -> None:
    """What structures.md takes: a PDB file without hydrogens, a whole one, and Amber files."""
    serine = DATA / "peptides" / "ace_ser_nme.pdb"
    shutil.copy(serine, "whole_peptide.pdb")
    lines = serine.read_text().splitlines()
    Path("my_peptide.pdb").write_text("\n".join(line for line in lines if line[76:78].strip() != "H"))
    for suffix in (".prmtop", ".inpcrd"):
        shutil.copy(DATA / "amber" / f"ace_ala_nme{suffix}", f"ligand{suffix}")


def trajectories() -> None:
    """Frames of alanine dipeptide in three formats."""
    system = System.load("alanine_dipeptide")
    samples = BoltzmannGenerator.load("alanine_dipeptide").sample(500, energy_for(system), seed=0)
    samples.save("samples.h5")
    frames = samples.resample(len(samples)).to_mdtraj()
    frames.xyz = Reference.load(reference_path(system), system).x[: len(frames)].numpy()
    frames[0].save_pdb("md.pdb")
    frames.save_xtc("md.xtc")
    frames.save_hdf5("md.h5")


def glycine() -> None:
    prepare(DATA / "peptides" / "ace_gly_nme.pdb", "my_peptide", forcefield="amber99sbildn.xml")


@dataclass(frozen=True)
class Guide:
    """A page, what is run instead of what takes long, what must be there before, and files that it leaves."""

    page: str
    shorter: Mapping[str, str] = field(default_factory=dict)
    begin: Callable[[], None] = lambda: None
    leaves: tuple[str, ...] = ()


GUIDES = [
    Guide(
        "tutorial",
        {
            "-n 20000": "-n 500",
            "--rounds 12": "--rounds 6",
            "run -o eval": "run -n 500 -o eval",
            "20_000": "500",
        },
        leaves=("report.html", "phi.png", "mine.h5", "evaluation/evaluation.json"),
    ),
    Guide(
        "your_own_molecule",
        {
            "--minutes 4": "--rounds 6",
            "-n 20000": "-n 500",
            "-n 400": "-n 10 --walkers 4 --interval 1",
            "reference.h5 -o": "reference.h5 -n 500 -o",
        },
        leaves=(
            "run/summary.json",
            "report/ramachandran.png",
            "remd/reference.h5",
            "evaluation/evaluation.json",
        ),
    ),
    Guide(
        "structures",
        begin=bare_and_whole_structures,
        leaves=("my_peptide/topology.pdb", "ligand/system.toml", "from_openmm/system.toml"),
    ),
    Guide(
        "compute_free_energies",
        {
            "-n 100000": "-n 2000",
            "--rounds 12": "--rounds 6",
            "run_vacuum run_water": "run_vacuum run_water -n 500",
            "20_000": "500",
        },
        leaves=("states.png", "phi.png", "surface.csv", "hydrogen_bond.csv", "temperature.png"),
    ),
    Guide("md_data", {}, trajectories, ("mixed/summary.json", "alone/summary.json", "again/summary.json")),
    Guide(
        "gpu",
        {"--device cuda": "--device cpu", '"cuda"': '"cpu"', "100000": "500", "10_000": "500"},
        glycine,
        ("samples.h5", "from_python/summary.json"),
    ),
    Guide(
        "cluster",
        {"-n 100000": "-n 5000"},
        leaves=("all.h5", "report/report.json", "summed/report.json", "all_statistics.h5", "samples.h5"),
    ),
    Guide("page", {"-n 20000": "-n 500", '"report.html"': '"page.html"'}, leaves=("report.html",)),
    Guide("bgflow", {"range(1000)": "range(2)", "100_000": "500", "n_iter=1000": "n_iter=2"}),
]


def shortened(text: str, shorter: Mapping[str, str]) -> str:
    for old, new in shorter.items():
        text = text.replace(old, new)
    return text


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in which training is a matter of seconds."""
    monkeypatch.setattr("boltzgen.training.run.Settings", lambda: TINY)
    monkeypatch.setattr("boltzgen.training.run_summary.MOST_DRAWS", 2048)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.page)
def test_every_block_runs(guide: Guide, small: Path) -> None:
    if guide.page == "cluster":
        pytest.importorskip("distributed", reason="the extra [cluster] is not installed")
    if guide.page == "bgflow":
        pytest.importorskip("einops")
        try:
            bgflow()
        except ImportError:
            pytest.skip("the real bgflow cannot be imported; docs/interop.md says how to get it")
    found = blocks(DOCS / f"{guide.page}.md")
    assert [old for old in guide.shorter if not any(old in text for _, text in found)] == []
    guide.begin()
    names: dict[str, Any] = {}
    for language, text in found:
        text = shortened(text, guide.shorter)
        if language == "python":
            exec(text, names)
        elif language == "bash":
            for line in commands(text):
                program, *arguments = shlex.split(line, comments=True)
                if not line.startswith(INSTALLATION):
                    assert program == "boltzgen"
                    assert cli.main(arguments) == 0, line
        else:
            assert language == "text"
    assert [file for file in guide.leaves if not Path(file).is_file()] == []


@pytest.mark.slow
def test_every_script_for_several_processes_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As written, but for the numbers of processes and rounds."""
    monkeypatch.chdir(tmp_path)
    glycine()
    texts = [text for language, text in blocks(DOCS / "several_processes.md") if language == "bash"]
    assert len(texts) == 3
    for text in texts:
        text = re.sub(r"(-processes|-per-node) 4\b", r"\1 2", text).replace("-o run", "-o run --rounds 1")
        shell(text.replace("examples/", f"{ROOT}/examples/"), tmp_path)
        assert json.loads(Path("run/summary.json").read_text())["hardware"]["processes"] == 2
        shutil.rmtree("run")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        return int(listening.getsockname()[1])


def shell(script: str, folder: Path) -> None:
    """Run a script as bash does, with this package's programs, and Slurm's in miniature."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name, text in {
        "boltzgen": f'exec "{sys.executable}" -m boltzgen "$@"',
        "torchrun": f'exec "{sys.executable}" -m torch.distributed.run "$@"',
        "srun": 'exec "$@"',
        "scontrol": "echo localhost",
        "sbatch": 'shift 2; exec bash "$@"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    ours = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "localhost",
        "PROCESSES": "2",
        "PORT": str(free_port()),
        "ARGUMENTS": "--rounds 1",
    }
    done = subprocess.run(
        ["bash", "-e", "-c", script], env=os.environ | ours, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_guide_is_run() -> None:
    """The site's guides, but for those that other tests run: ligands.md needs an extra."""
    index = (DOCS / "index.md").read_text()
    (guides,) = re.findall(r":caption: How to\n(.*?)```", index, re.DOTALL)
    run = {guide.page for guide in GUIDES} | {"ligands", "several_processes"}
    assert {*guides.split(), "tutorial"} == run
