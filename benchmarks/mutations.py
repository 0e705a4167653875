"""Changed copies of a file, and what becomes of a call in a process of its own; for `robustness.py`."""

import contextlib
import hashlib
import math
import os
import random
import re
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

#: What a call may come to. "changed": it went through, with another result than that of the file as it was.
OUTCOMES = ("refused", "unchanged", "changed", "traceback", "crash", "hang")
#: What the command line says in one line.
CLEAR = (OSError, ValueError, NotImplementedError, FloatingPointError, RecursionError, MemoryError)
#: Memory that a call may take beyond what its process has.
MEMORY = 4 << 30
_WAITING = 30
_NUMBER = re.compile(rb"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?")
_NUMBERS = b"nan,inf,-inf,1e308,1e-300,-1,0,,x,1e9,999999999999,true".split(b",")


def changed(content: bytes, draws: random.Random, *, text: bool) -> bytes:
    """A copy that is damaged in one of many ways; those of texts change a number, a line or the nesting."""
    ways: list[Callable[[bytes, random.Random], bytes]] = [_flip, _flip, _flip, _cut, _blank, _insert, _swap]
    if text:
        ways += [_number, _number, _number, _number, _line, _nest]
    return draws.choice(ways)(content, draws)


def _flip(content: bytes, draws: random.Random) -> bytes:
    """One bit; of every second file, one of the first bytes."""
    found = bytearray(content)
    found[draws.randrange(draws.choice((len(found), min(4000, len(found)))))] ^= 1 << draws.randrange(8)
    return bytes(found)


def _cut(content: bytes, draws: random.Random) -> bytes:
    return content[: draws.choice((draws.randrange(len(content)), len(content) - 1, 0))]


def _blank(content: bytes, draws: random.Random) -> bytes:
    at, n = draws.randrange(len(content)), draws.randrange(1, 600)
    return content[:at] + draws.choice((b"\0", b"\xff")) * n + content[at + n :]


def _insert(content: bytes, draws: random.Random) -> bytes:
    at = draws.randrange(len(content))
    return content[:at] + draws.randbytes(draws.randrange(1, 60)) + content[at:]


def _swap(content: bytes, draws: random.Random) -> bytes:
    a, b = sorted(draws.randrange(len(content)) for _ in range(2))
    n = min(draws.randrange(1, 600), b - a)
    return content[:a] + content[b : b + n] + content[a + n : b] + content[a : a + n] + content[b + n :]


def _number(content: bytes, draws: random.Random) -> bytes:
    found = list(_NUMBER.finditer(content))
    if not found:
        return _flip(content, draws)
    match = draws.choice(found)
    return content[: match.start()] + draws.choice(_NUMBERS) + content[match.end() :]


def _line(content: bytes, draws: random.Random) -> bytes:
    lines = content.split(b"\n")
    k = draws.randrange(len(lines))
    lines[k : k + 1] = draws.choice(([], [lines[k]] * 2, [lines[k][: len(lines[k]) // 2]]))
    return b"\n".join(lines)


def _nest(content: bytes, draws: random.Random) -> bytes:
    at, n = draws.randrange(len(content)), 100_000
    opening, closing = draws.choice(((b"[", b"]"), (b"(", b")"), (b"<a>", b"</a>"), (b'{"a":', b"}")))
    return content[:at] + opening * n + closing * n + content[at:]


def outcome(call: Callable[[], str], expected: str | None, limit: float) -> tuple[str, str, str]:
    """What becomes of a call in a process of its own.

    Args:
        call: returns a text that says what it found, for instance a digest.
        expected: the text for the file as it was, or None.
        limit: seconds of computing after which it hangs; of waiting, thirty times as many.

    Returns:
        One of `OUTCOMES`, the error's text or the traceback, and the text that was returned.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _run(call, writing, limit)
    os.close(writing)
    said, end = b"", time.monotonic() + _WAITING * limit
    while select.select([reading], [], [], max(0.0, end - time.monotonic()))[0]:
        if not (part := os.read(reading, 65536)):
            break
        said += part
    else:
        os.kill(child, signal.SIGKILL)
    os.close(reading)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    kind, _, text = said.decode("utf-8", "replace").partition(":")
    if time.monotonic() >= end or status == -signal.SIGXCPU:
        return "hang", f"longer than {limit:g} s", ""
    if kind not in ("refused", "traceback", "found"):
        return "crash", f"exit code {status}", ""
    if kind != "found":
        return kind, text, ""
    return ("unchanged" if expected in (None, text) else "changed"), "", text


def _run(call: Callable[[], str], writing: int, limit: float) -> None:
    """In the child: write what was found, and end without any cleaning."""
    code = 0
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = math.ceil(used.ru_utime + used.ru_stime + limit)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 10))
        try:
            said = f"found:{call()}"
        except CLEAR as error:
            said = f"refused:{type(error).__name__}: {error}"
        except BaseException:
            said = f"traceback:{traceback.format_exc()}"
        os.write(writing, said.encode("utf-8", "replace")[:60_000])
    except BaseException:
        code = 1
    finally:
        os._exit(code)


def killed(work: Callable[[], object], seconds: float) -> bool:
    """Do some work in a process of its own, which is killed after some seconds; whether it was."""
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            work()
            code = 0
        os._exit(code)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            if os.waitstatus_to_exitcode(status):
                sys.exit(f"the work failed by itself: {status}")
            return False
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def digest(*parts: object) -> str:
    """A text for anything whose `repr`, or bytes, say all of it."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part if isinstance(part, bytes) else repr(part).encode())
    return found.hexdigest()
