"""Energies and forces from OpenMM in several processes: started by spawn, timed, closed for certain."""

import multiprocessing
import signal
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import Empty, SimpleQueue

import numpy as np
import openmm

from boltzgen.energy.contexts import ContextEngine

#: Configurations that a worker gets at a time: few enough that all finish together.
_PIECE = 64

_ADVICE = (
    "a script that starts workers needs `if __name__ == '__main__':` around what it runs, and the machine "
    "enough memory"
)


class WorkerError(RuntimeError):
    """A worker process died, took too long, or could not make its context."""


class WorkerPool:
    """The same as a `ContextEngine`, in ``workers`` processes of their own.

    They start with the first evaluation. Every exchange with a worker is timed: one that does not answer is
    killed. Whatever goes wrong, every worker is ended, `WorkerError` raised once, and the pool stays closed.
    Workers end with `close`, with the pool, with the interpreter, and, if that is killed, when their pipe
    breaks.

    Args:
        system: sent to the workers as XML.
        platform, properties: as for `ContextEngine`.
        workers: number of processes.
        timeout: time in s a worker may take to start, or for one piece of a batch.
    """

    def __init__(
        self,
        system: openmm.System,
        platform: str,
        properties: Mapping[str, str],
        *,
        workers: int,
        timeout: float,
    ) -> None:
        self._arguments = (openmm.XmlSerializer.serialize(system), platform, dict(properties))
        self._n_workers = workers
        self._timeout = timeout
        self._workers: list[_Worker] = []
        self._lock = threading.Lock()
        self._finalizer = weakref.finalize(self, _end, self._workers)

    @property
    def processes(self) -> list[BaseProcess]:
        """The running worker processes."""
        return [worker.process for worker in self._workers]

    def evaluate(self, x: np.ndarray, *, forces: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """As `ContextEngine.evaluate`, with the batch split over the workers.

        Raises:
            WorkerError: a worker failed, or the pool is closed.
        """
        energies, all_forces = np.empty(len(x)), np.zeros(x.shape)
        todo: SimpleQueue[slice] = SimpleQueue()
        size = max(1, min(_PIECE, -(-len(x) // self._n_workers)))
        for start in range(0, len(x), size):
            todo.put(slice(start, start + size))

        def serve(worker: _Worker) -> None:
            while True:
                try:
                    piece = todo.get_nowait()
                except Empty:
                    return
                energies[piece], values = worker.exchange((x[piece], forces), self._timeout)
                if forces:
                    all_forces[piece] = values

        with self._lock:
            self._run(serve)
        return energies, all_forces

    def _run(self, task: Callable[["_Worker"], None]) -> None:
        """Run the task for every worker, in a thread each; end them all if one fails."""
        if not self._finalizer.alive:
            raise WorkerError("this OpenMMEnergy is closed; make another one")
        try:
            if not self._workers:
                self._workers.extend(_Worker(self._arguments) for _ in range(self._n_workers))
                self._map(lambda worker: worker.exchange(None, self._timeout))
            self._map(task)
        except BaseException:
            self.close()
            raise

    def _map(self, task: Callable[["_Worker"], object]) -> None:
        with ThreadPoolExecutor(self._n_workers, "openmm-worker") as threads:
            try:
                done, _ = wait(
                    [threads.submit(task, worker) for worker in self._workers], return_when=FIRST_EXCEPTION
                )
                for future in done:
                    future.result()
            except BaseException:
                # Threads that still wait for a worker go on when it ends.
                _kill(self._workers)
                raise

    def close(self) -> None:
        """End the workers and wait for them; further calls do nothing."""
        self._finalizer()


class _Worker:
    """One process and our end of its pipe."""

    def __init__(self, arguments: tuple[str, str, dict[str, str]]) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.connection, theirs = spawn.Pipe()
        self.process = spawn.Process(target=_serve, args=(theirs, *arguments), daemon=True)
        self.process.start()
        # Ours alone now: when either side ends, the other one sees it.
        theirs.close()

    def exchange(self, message: object, timeout: float) -> tuple[np.ndarray, np.ndarray]:
        """Send a message (unless None) and wait for the answer."""
        late = threading.Event()

        def kill() -> None:
            late.set()
            self.process.kill()

        # The process is killed rather than the wait ended, because sending can block too.
        timer = threading.Timer(timeout, kill)
        timer.daemon = True
        timer.start()
        try:
            if message is not None:
                self.connection.send(message)
            answer = self.connection.recv()
        except (EOFError, OSError) as error:
            if late.is_set():
                raise WorkerError(
                    f"an OpenMM worker did not answer within {timeout:g} s; give a longer timeout"
                ) from error
            self.process.join(5.0)
            raise WorkerError(
                f"an OpenMM worker died (exit code {self.process.exitcode}); {_ADVICE}"
            ) from error
        finally:
            timer.cancel()
        if isinstance(answer, str):
            raise WorkerError(f"an OpenMM worker failed: {answer}")
        values: tuple[np.ndarray, np.ndarray] = answer
        return values


def _kill(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.process.kill()


def _end(workers: list[_Worker]) -> None:
    """Kill the workers, which hold nothing worth saving, and wait for them."""
    _kill(workers)
    for worker in workers:
        worker.process.join()
        worker.connection.close()
    workers.clear()


def _serve(connection: Connection, xml: str, platform: str, properties: dict[str, str]) -> None:
    """What a worker does: say that it is ready, then answer until the pipe closes.

    An answer that is a text tells what went wrong.
    """
    # Ctrl-C reaches the whole process group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        engine = ContextEngine(openmm.XmlSerializer.deserialize(xml), platform, properties)
        try:
            _ = engine.context
            connection.send((np.empty(0), np.empty(0)))
            while True:
                x, forces = connection.recv()
                energies, values = engine.evaluate(x, forces=forces)
                connection.send((energies, values if forces else np.empty(0)))
        except openmm.OpenMMException as error:
            connection.send(str(error))
    except (EOFError, OSError):
        return
