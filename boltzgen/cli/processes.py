"""A command as several processes: which of them this is, and how a command starts its own."""

import logging
import os
import sys
from collections.abc import Sequence

from boltzgen.cli.common import note


def processes_started() -> int:
    """Of how many processes this is one, as torchrun and other launchers say; 1 by itself."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def first_process() -> bool:
    """Whether this process is to speak for all."""
    return processes_started() == 1 or os.environ["RANK"] == "0"


def note_idle_cores() -> None:
    """Tell of cores that several processes leave idle: torchrun gives each a single thread."""
    import torch

    n, threads = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.get_num_threads()
    cores = os.cpu_count() or 1
    if n > 1 and 2 * n * threads <= cores:
        note(
            f"{n} processes of {threads} thread{'s' * (threads > 1)} leave some of {cores} cores idle; set "
            f"OMP_NUM_THREADS={cores // n} for all of them"
        )


def run_processes(n: int, words: Sequence[str]) -> int:
    """Run a command of ours as n processes of this machine, and return its exit code.

    The cores are shared among them, unless OMP_NUM_THREADS says how many threads each is to have. Where one
    fails the others are ended.

    Args:
        n: processes.
        words: of the command line, without the program's name.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # What it says of failures is for programmers; the processes say themselves what was wrong.
    logging.disable(logging.ERROR)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // n)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=n,
        run_id=f"boltzgen-{os.getpid()}-{os.urandom(4).hex()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "boltzgen", *words)
    except SignalException as ended:
        return 128 + int(ended.sigval)
    except ChildFailedError as failed:
        _, first = failed.get_first_failure()
        # Of one that was killed by a signal it is minus the signal's number.
        return first.exitcode if first.exitcode > 0 else 128 - first.exitcode
    finally:
        logging.disable(logging.NOTSET)
    return 0
