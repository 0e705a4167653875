"""What becomes of a training by several processes when one of them is killed or stopped.

    python benchmarks/parallel_faults.py [--quick] [--kills 15] [--stops 4] [--processes 2] [--timeout 20]
                                         [--seed 0]

A small training is started by torchrun again and again; at a random moment a random process gets SIGKILL or
SIGSTOP. Half of the runs have restarts (``--max-restarts 3``) and must end as the one that nothing happened
to, bit for bit. The others must end with an error within the time-out and torchrun's own 30 seconds for
processes that do not obey, and then go on by `resume` with one process. Counted are

    same      ended, or went on and ended, with the metrics of the undisturbed run (in runs without restarts:
              with all their rounds)
    hung      not ended in time
    broken    a file that cannot be read, or another result
    failed    restarts or `resume` did not bring it to its end
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from boltzgen.generator.checkpoint import CHECKPOINT
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.storage import read_tensors
from boltzgen.training import run as training
from boltzgen.training import run_summary
from boltzgen.training.checkpoint import METRICS, STATE
from boltzgen.training.settings import Settings

NAME = "alanine_dipeptide"
SETTINGS = Settings(rounds=5, steps=4, batch=64, walkers=16, learning_rate=1e-3)
#: Seconds that torchrun gives processes which do not obey, and what a busy machine may need besides.
GRACE, SLACK = 30.0, 60.0


def work(folder: Path, timeout: float, *, resume: bool) -> None:
    """Train, having said which process this is."""
    rank = os.environ.get("RANK", "0")
    (folder.parent / f"{folder.name}.{rank}.pid").write_text(str(os.getpid()))
    run_summary.MOST_DRAWS = 3000
    settings = None if resume else SETTINGS
    try:
        training.train(System.load(NAME), folder, seed=5, settings=settings, resume=resume, timeout=timeout)
    except ConnectionError:
        sys.exit(2)


def start(folder: Path, processes: int, timeout: float, restarts: int) -> subprocess.Popen[bytes]:
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    torchrun += ["--max-restarts", str(restarts)]
    own = [str(Path(__file__).resolve()), "--worker", str(folder), "--timeout", str(timeout)]
    command = [sys.executable, "-m", *torchrun, *own]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def metrics(folder: Path) -> list[dict[str, Any]]:
    """Of all rounds, without what differs between two equal runs."""
    lines = (folder / METRICS).read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def is_whole(folder: Path) -> bool:
    """Whether all files of a run that are there can be read."""
    try:
        if (folder / STATE).exists():
            read_tensors(folder / STATE)
            metrics(folder)
        if (folder / CHECKPOINT).exists():
            BoltzmannGenerator.load(folder / CHECKPOINT, System.load(NAME))
    except (ValueError, OSError):
        return False
    return True


def pids(folder: Path, processes: int) -> list[int]:
    """Of the processes, once all of them have said so."""
    files = [folder.parent / f"{folder.name}.{rank}.pid" for rank in range(processes)]
    while not all(file.exists() and file.read_text() for file in files):
        time.sleep(0.05)
    return [int(file.read_text()) for file in files]


def ended(process: subprocess.Popen[bytes], within: float, found: list[int]) -> int | None:
    """The exit code; None, and everything killed, where a run hangs."""
    try:
        return process.wait(within)
    except subprocess.TimeoutExpired:
        for pid in (process.pid, *found):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        return None


def trial(
    folder: Path,
    draw: random.Random,
    expected: list[dict[str, Any]],
    *,
    how: signal.Signals,
    restarts: int,
    processes: int,
    timeout: float,
    takes: float,
) -> str:
    """What became of one run."""
    process = start(folder, processes, timeout, restarts)
    found = pids(folder, processes)
    time.sleep(draw.uniform(0.0, 0.8 * takes))
    with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
        os.kill(draw.choice(found), how)
    within = timeout + GRACE + SLACK + (1 + restarts) * takes
    code = ended(process, within, found)
    if code is None:
        return "hung"
    if not is_whole(folder):
        return "broken"
    if restarts == 0 and code != 0:
        resume = ["--resume"] if (folder / STATE).exists() else []
        command = [sys.executable, str(Path(__file__).resolve()), "--worker", str(folder), *resume]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            return "failed"
        return "same" if len(metrics(folder)) == len(expected) else "broken"
    if code != 0:
        return "failed"
    return "same" if metrics(folder) == expected else "broken"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one run of each kind")
    parser.add_argument("--kills", type=int, default=15, help="runs with and without restarts, each")
    parser.add_argument("--stops", type=int, default=4, help="likewise")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--resume", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker is not None:
        work(args.worker, args.timeout, resume=args.resume)
        return
    draw = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as scratch:
        undisturbed = Path(scratch) / "undisturbed"
        process = start(undisturbed, args.processes, 300.0, 0)
        pids(undisturbed, args.processes)
        began = time.perf_counter()
        if process.wait() != 0:
            sys.exit("the run that nothing happens to has failed")
        takes = time.perf_counter() - began
        print(f"{args.processes} processes, time-out {args.timeout:g} s; undisturbed: {takes:.1f} s")
        bad = 0
        for how, number in ((signal.SIGKILL, args.kills), (signal.SIGSTOP, args.stops)):
            for restarts in (3, 0):
                counts: Counter[str] = Counter()
                longest = 0.0
                for k in range(1 if args.quick else number):
                    began = time.perf_counter()
                    outcome = trial(
                        Path(scratch) / f"{how.name} {restarts} {k}",
                        draw,
                        metrics(undisturbed),
                        how=how,
                        restarts=restarts,
                        processes=args.processes,
                        timeout=args.timeout,
                        takes=takes,
                    )
                    counts[outcome] += 1
                    longest = max(longest, time.perf_counter() - began)
                bad += sum(n for outcome, n in counts.items() if outcome != "same")
                words = ", ".join(f"{n} {outcome}" for outcome, n in counts.items())
                print(f"{how.name}, {restarts} restarts: {words}; longest {longest:.0f} s", flush=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
