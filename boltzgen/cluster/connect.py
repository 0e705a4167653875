"""A connection to a Dask cluster: one of this machine's own processes, or one that runs already."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client

#: How often a task may be on a worker that dies before the work is given up. Dask allows three, which is few
#: for a cluster whose machines are taken away at any time.
ALLOWED_FAILURES = 100
#: Seconds after which a worker that ended is given up, and between looks for those that were.
LOST, LOOK = 120.0, 15.0
#: A thread for each worker.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
#: Seconds until a scheduler must answer.
PATIENCE = 30


@contextmanager
def connected(*, workers: int | None = None, scheduler: str | None = None) -> "Iterator[Client]":
    """A client of a cluster, which ends with the block if it is one's own.

    Args:
        workers: processes on this machine, with a thread each.
        scheduler: address of one that runs, ``"tcp://host:8786"``.

    Raises:
        ValueError: neither or both are given; or nothing answers at the address.
        ModuleNotFoundError: Dask is not installed.
    """
    if (workers is None) == (scheduler is None):
        raise ValueError("give `workers`, a number of processes, or the address of a `scheduler`")
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ModuleNotFoundError(
            "work is shared by Dask, which is not installed; pip install 'boltzgen-toolkit[cluster]'"
        ) from error
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=PATIENCE)
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(
                f"no Dask scheduler answers at {scheduler!r} within {PATIENCE} s; start one with "
                "`dask scheduler`, and give its address such as tcp://host:8786 as `scheduler`"
            ) from error
        with client:
            yield client
        return
    settings = {
        "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
        "distributed.deploy.lost-worker-timeout": f"{LOST} s",
        # Dask's own setting has the C library give memory back at once, and fetch it anew for each array.
        "distributed.nanny.pre-spawn-environ": dict.fromkeys(_THREADS, "1"),
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            memory_limit=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(_deaf_to_interrupts())
        with _kept_up(cluster, workers or 1):
            yield client


@contextmanager
def _kept_up(cluster: Any, workers: int) -> Iterator[None]:
    """Have as many workers as were wanted: one that does not come back after its end is replaced by another.

    Dask starts a worker that ended again, but gives it up where that takes long or fails.
    """
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(LOOK):
            cluster.scale(workers)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _deaf_to_interrupts() -> Any:
    """Has workers, also those that are started later, ignore Ctrl-C, which a terminal sends to them as well.

    This process ends them.
    """
    from distributed import WorkerPlugin

    class Deaf(WorkerPlugin):  # type: ignore[misc]
        name = "deaf to interrupts"

        def setup(self, worker: Any) -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    return Deaf()
