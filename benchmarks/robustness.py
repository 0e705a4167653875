"""What becomes of damaged files, and of processes that are killed.

    python benchmarks/robustness.py [--quick] [--number 300] [--only NAME ...] [--seed 0] [--show]

**Files.** Of each kind of file that is read, so many changed copies are made: a bit flipped, cut off, parts
blanked, exchanged or inserted; in texts also a number replaced (by nan, 1e308, -1, ...), a line doubled or
left out, and brackets inside each other. Each is read in a process of its own, and counted as

    refused    one of the errors that the command line says in one line
    unchanged  read, with the result of the file as it was
    changed    read, with another result
    traceback  another exception
    crash      the process died, or ran out of 4 GB
    hang       it took longer than a minute of computing (half of one with --quick)

Files with a checksum (checkpoints, states, references, samples) must have nothing under *changed*; texts that
people write (structures, force fields, `system.toml`, Systems) have what the change says. The last three must
be empty everywhere.

**Kills.** A small training, simulation and sampling is killed (SIGKILL) after a random time, and then goes on
(or, sampling, is done again over an older file); the results must be those of one that was not killed, bit
for bit, and files that were there before must be whole.
"""

import argparse
import json
import logging
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import openmm
import torch
from mutations import OUTCOMES, changed, digest, killed, outcome

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.evaluation.reference import Reference, reference_path
from boltzgen.generator.checkpoint import CHECKPOINT
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.locate import SUMMARY, locate
from boltzgen.molecule.openmm_files import OPENMM_DATA
from boltzgen.molecule.system import SYSTEM_FILE, System
from boltzgen.preparation.relax import minimise
from boltzgen.preparation.sources import from_amber
from boltzgen.samples.file import read_header, read_samples
from boltzgen.samples.writer import SamplesWriter
from boltzgen.simulation.checkpoint import Checkpoint, checkpoint_files
from boltzgen.simulation.plan import Plan
from boltzgen.simulation.run import record
from boltzgen.training import run as training
from boltzgen.training import run_summary
from boltzgen.training.checkpoint import METRICS, STATE, load_run
from boltzgen.training.settings import Settings

NAME = "alanine_dipeptide"
SETTINGS = Settings(rounds=4, steps=3, batch=64, walkers=16)
PLAN = Plan(n_walkers=8, interval=2, n_steps=5, checkpoint_frames=3, burn_in=1, seed=5)
N_FRAMES, N_SAMPLES = 6, 20_000


@dataclass
class Target:
    """A kind of file, one of which is whole.

    Attributes:
        file: the whole one.
        read: reads the file at its place, and says what was found.
        text: whether people write such files.
    """

    file: Path
    read: Callable[[], str]
    text: bool = False


def tensors(found: dict[str, torch.Tensor]) -> str:
    """Names and bytes of tensors as one text."""
    return digest(*((name, found[name].cpu().contiguous().numpy().tobytes()) for name in sorted(found)))


def targets(place: Path) -> dict[str, Target]:
    """One whole file of each kind."""
    system = System.load(NAME)
    generator = BoltzmannGenerator.load(NAME)
    found: dict[str, Target] = {}

    file = place / "generator" / CHECKPOINT
    file.parent.mkdir()
    generator.save(file)

    def checkpoint(file: Path = file) -> str:
        read = BoltzmannGenerator.load(file, system)
        return digest(tensors(read.state_dict()), read.temperature, read.seed, read.options)

    found["checkpoint"] = Target(file, checkpoint)

    file = place / "samples.h5"
    with SamplesWriter(file, system, 300.0) as writer:
        writer.write(generator.sample(500, energy_for(system)))

    def samples(file: Path = file) -> str:
        read, header = read_samples(file), read_header(file)
        numbers = tensors({"x": read.x, "u": read.u, "q": read.log_q, "w": read.log_w})
        return digest(numbers, header.system, header.temperature, header.basins, header.torsions, header.seed)

    found["samples"] = Target(file, samples)

    file = place / "reference.h5"
    Reference.load(reference_path(system)).save(file)

    def reference(file: Path = file) -> str:
        read = Reference.load(file, system)
        histograms = [h.groups.tobytes() for _, h in [*read.marginals.values(), *read.states.values()]]
        numbers = tensors({"x": read.x, "u": read.u, "walker": read.walker})
        return digest(numbers, *histograms, read.basins, read.torsions, read.temperature, read.metadata)

    found["reference"] = Target(file, reference)

    def of_system(folder: Path) -> Callable[[], str]:
        def read() -> str:
            loaded = System.load(folder)
            x, basins = loaded.positions.numpy().tobytes(), loaded.basins
            return digest(loaded.fingerprint, x, loaded.temperature, loaded.name, basins, loaded.rotors)

        return read

    source = system.folder
    assert source is not None
    for kind, name in (("structure", "topology.pdb"), ("system.toml", SYSTEM_FILE)):
        folder = shutil.copytree(source, place / kind, ignore=shutil.ignore_patterns("*.h5", "*.safetensors"))
        found[kind] = Target(folder / name, of_system(folder), text=True)

    folder = shutil.copytree(place / "structure", place / "field")
    shutil.copyfile(OPENMM_DATA / "amber96.xml", folder / "amber96.xml")
    found["force field"] = Target(folder / "amber96.xml", of_system(folder), text=True)

    folder = shutil.copytree(place / "structure", place / "xml")
    (folder / "system.xml").write_text(openmm.XmlSerializer.serialize(system.openmm_system))
    toml = (folder / SYSTEM_FILE).read_text()
    before = 'files = ["amber96.xml", "implicit/obc1.xml"]\nconstraints = "none"'
    assert before in toml
    (folder / SYSTEM_FILE).write_text(toml.replace(before, 'system = "system.xml"'))
    found["System"] = Target(folder / "system.xml", of_system(folder), text=True)

    folder = place / "amber"
    folder.mkdir()
    amber = Path(__file__).parents[1] / "tests" / "data" / "amber"
    for kind in ("prmtop", "inpcrd"):
        file = folder / f"molecule.{kind}"
        shutil.copyfile(amber / f"ace_ala_nme.{kind}", file)

        def molecule(folder: Path = folder) -> str:
            read = from_amber(folder / "molecule.prmtop", folder / "molecule.inpcrd", solvent="OBC2")
            positions = minimise(read.openmm_system, read.positions)
            return digest(openmm.XmlSerializer.serialize(read.openmm_system), positions.tobytes())

        found[kind] = Target(file, molecule, text=True)

    folder = place / "run"
    training.train(system, folder, settings=SETTINGS)

    def state(folder: Path = folder) -> str:
        run = load_run(folder, system, CountedEnergy(energy_for(system)))
        held = {f"o.{k}": v for k, v in run.optimizer.state_dict().items()}
        return digest(tensors(held | run.generator.flow.state_dict()), run.metrics, run.seed, run.stage)

    found["run state"] = Target(folder / STATE, state)

    def summary(folder: Path = folder) -> str:
        return digest(locate(folder)[0].fingerprint)

    found["run summary"] = Target(folder / SUMMARY, summary, text=True)

    folder = place / "simulation"
    record(system, folder, N_FRAMES, plan=PLAN)
    file = checkpoint_files(folder)[-1]

    def frames(file: Path = file) -> str:
        read = Checkpoint.load(file)
        held = read.state.tensors() | {"f": read.frames.x, "p": read.frames.potential}
        return digest(tensors(held), read.plan, read.fingerprint, read.burn_in)

    found["simulation state"] = Target(file, frames)
    return found


def damage(target: Target, number: int, seed: int, limit: float) -> list[tuple[str, str]]:
    """Outcome and message of so many changed copies of a file."""
    whole, draws = target.file.read_bytes(), random.Random(seed)
    kind, said, expected = outcome(target.read, None, limit)
    if kind != "unchanged":
        raise SystemExit(f"{target.file} is not read as it is: {kind} {said}")
    found = []
    for _ in range(number):
        target.file.write_bytes(changed(whole, draws, text=target.text))
        found.append(outcome(target.read, expected, limit)[:2])
    target.file.write_bytes(whole)
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def trained(folder: Path) -> str:
    """Checkpoint and metrics of a run, without what differs between two equal ones."""
    rounds = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    generator = BoltzmannGenerator.load(folder, System.load(NAME))
    return digest(tensors(generator.state_dict()), [r | {"seconds": 0} for r in rounds])


def simulated(folder: Path) -> str:
    read = [Checkpoint.load(file) for file in checkpoint_files(folder)]
    return digest(*(tensors(c.state.tensors() | {"f": c.frames.x}) for c in read))


def kills(place: Path, number: int, seed: int) -> dict[str, Counter[str]]:
    """Counts of what became of work that was killed and then went on."""
    system, draws = System.load(NAME), random.Random(seed)
    generator, energy = BoltzmannGenerator.load(NAME), energy_for(system)

    def train(folder: Path) -> None:
        resume = (folder / STATE).exists()
        training.train(system, folder, settings=None if resume else SETTINGS, resume=resume)

    def simulate(folder: Path) -> None:
        record(system, folder, N_FRAMES, plan=PLAN, resume=bool(checkpoint_files(folder)))

    def sample(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        file, resume = folder / "samples.h5", (folder / "samples.h5.journal").exists()
        with SamplesWriter(file, system, 300.0, resume=resume) as writer:
            for chunk in generator.sample_chunks(N_SAMPLES, energy, start=writer.n_samples, chunk_size=2048):
                writer.write(chunk)

    def drawn(folder: Path) -> str:
        read = read_samples(folder / "samples.h5")
        return tensors({"x": read.x, "w": read.log_w})

    found: dict[str, Counter[str]] = {}
    for name, work, result in (
        ("train", train, trained),
        ("simulate", simulate, simulated),
        ("sample", sample, drawn),
    ):
        whole = place / f"{name}-whole"
        began = time.monotonic()
        killed(lambda work=work, whole=whole: work(whole), 1e9)
        took, expected = time.monotonic() - began, result(whole)
        found[name] = Counter()
        for k in range(number):
            folder = place / f"{name}-{k}"
            if name == "sample":  # over an older file, which stays until the new one is whole
                shutil.copytree(whole, folder)
            for _ in range(2):
                if not killed(lambda work=work, folder=folder: work(folder), draws.uniform(0, took)):
                    break
                found[name]["killed"] += 1
                if name == "sample" and drawn(folder) != expected:
                    found[name]["older file lost"] += 1
            killed(lambda work=work, folder=folder: work(folder), 1e9)
            left = [p for p in folder.iterdir() if p.suffix in (".part", ".journal", ".lock")]
            same = result(folder) == expected
            found[name]["the same" if same else "other results"] += 1
            found[name]["files left behind"] += len(left)
            shutil.rmtree(folder)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few of each kind")
    parser.add_argument("--number", type=int, default=300, help="changed copies of each kind of file")
    parser.add_argument("--only", nargs="+", help="these kinds alone, or kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print the messages, and the tracebacks whole")
    options = parser.parse_args()
    number, limit, n_kills = (8, 30.0, 1) if options.quick else (options.number, 60.0, options.number // 10)
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    run_summary.MOST_DRAWS = 3000
    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        everything = targets(Path(place))
        chosen = options.only or [*everything, "kills"]
        print(f"{'file':<18}" + "".join(f"{kind:>11}" for kind in OUTCOMES))
        for name in [n for n in chosen if n != "kills"]:
            results = damage(everything[name], number, options.seed, limit)
            counts = Counter(kind for kind, _ in results)
            print(f"{name:<18}" + "".join(f"{counts[kind]:>11}" for kind in OUTCOMES), flush=True)
            bad = {"traceback", "crash", "hang"} | (set() if everything[name].text else {"changed"})
            wrong += sum(counts[kind] for kind in bad)
            for kind, said in results:
                if (options.show and kind != "unchanged") or kind in bad:
                    print(f"    {kind}: {said if options.show else said[-300:].strip()}")
        if "kills" in chosen:
            for name, counts in kills(Path(place), n_kills, options.seed).items():
                print(f"{name:<18}" + ", ".join(f"{n} {what}" for what, n in counts.items()), flush=True)
                wrong += counts["other results"] + counts["older file lost"] + counts["files left behind"]
    print("nothing that should not be" if not wrong else f"{wrong} that should not be")
    raise SystemExit(int(wrong > 0))


if __name__ == "__main__":
    if not hasattr(os, "fork"):
        raise SystemExit("this needs a system with fork")
    main()
