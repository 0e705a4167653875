"""The command line as a process: signals that end it, and terminals that cannot show every sign."""

import codecs
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: Signals that end a command as Ctrl-C does, and what is said of each.
_ENDINGS = {"SIGTERM": "terminated", "SIGHUP": "the terminal was closed"}
#: What stands for signs that a terminal cannot show.
_PLAIN = {
    "Δ": "d",
    "±": "+-",
    "…": "...",
    "×": "x",
    "·": "*",
    "–": "-",
    "—": "-",
    "→": "->",
    "≤": "<=",
    "≥": ">=",
    "°": " deg",
    "Å": "A",
    "²": "^2",
    "³": "^3",
    "φ": "phi",
    "ψ": "psi",
    "χ": "chi",
    "ω": "omega",
    "α": "alpha",
    "β": "beta",
}


@contextmanager
def signals_as_interrupts() -> Iterator[list[signal.Signals]]:
    """Have SIGTERM and SIGHUP raise KeyboardInterrupt as Ctrl-C does, so that what it cleans up is clean.

    A second one ends the process at once. Signals that are ignored stay so (nohup), and only the main thread
    can take any.

    Yields:
        A list in which the signal that came is put.
    """
    received: list[signal.Signals] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    taken = []
    if threading.current_thread() is threading.main_thread():
        known = [signal.Signals[name] for name in _ENDINGS if hasattr(signal, name)]
        taken = [number for number in known if signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in taken:
            signal.signal(number, interrupt)
        yield received
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def ending(received: list[signal.Signals]) -> tuple[str, int]:
    """What to say of a command that was interrupted, and its exit code: 128 and the signal's number."""
    number = received[0] if received else signal.SIGINT
    return _ENDINGS.get(number.name, "interrupted"), 128 + number


def allow_any_terminal() -> None:
    """Write plain signs on terminals that cannot show others, instead of failing."""
    codecs.register_error("boltzgen", _plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="boltzgen")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(_PLAIN.get(sign, "?") for sign in lost), error.end
