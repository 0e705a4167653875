"""DCD trajectories: written, and their frames counted.

A record of 84 bytes begins with ``CORD`` and twenty numbers, among them how many frames there are; then come
titles, the number of atoms, and for each frame a record of its box, if it has one, and three of x, y and z in
angstroms. Every record has its length before and after it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

_ANGSTROM_PER_NM = 10.0
_WORDS = 20
#: Positions in the record of numbers: frames, atoms that do not move, box, four dimensions, CHARMM's version.
_FRAMES, _FIXED, _BOX, _FOUR, _VERSION = 0, 8, 10, 11, 19
_TITLE = b"Created by boltzgen".ljust(80)


def write_dcd(file: BinaryIO, n_atoms: int, frames: Iterable[np.ndarray]) -> int:
    """Write positions (m, n_atoms, 3) in nm, part by part, and return the number of frames."""
    numbers = np.zeros(_WORDS, "<i4")
    numbers[[1, 2, _VERSION]] = 1, 1, 24
    file.write(_record(b"CORD" + numbers.tobytes()))
    file.write(_record(np.array([1], "<i4").tobytes() + _TITLE))
    file.write(_record(np.array([n_atoms], "<i4").tobytes()))
    n_frames = 0
    for x in frames:
        records = np.empty((len(x), 3, n_atoms + 2), "<f4")
        records[..., 1:-1] = _ANGSTROM_PER_NM * x.transpose(0, 2, 1)
        records.view("<i4")[..., [0, -1]] = 4 * n_atoms
        file.write(records.tobytes())
        n_frames += len(x)
    file.seek(4 + len(b"CORD"))
    file.write(np.array([n_frames], "<i4").tobytes())
    return n_frames


def count_frames(path: Path) -> int:
    """The number of frames in a DCD file, by its size.

    Programs that were stopped may have left a smaller number in it, which passes.

    Raises:
        ValueError: it is cut off, or not a DCD file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(4)
        order = {b"\x54\0\0\0": "<i4", b"\0\0\0\x54": ">i4"}.get(start)
        if order is None or file.read(4) != b"CORD":
            raise ValueError("it does not begin as a DCD file does")
        numbers = _numbers(file, order, _WORDS + 1)
        file.seek(int(_numbers(file, order, 1)[0]) + 4, 1)
        _, n_atoms, _ = _numbers(file, order, 3)
        begin = file.tell()
    n_said, n_fixed = int(numbers[_FRAMES]), int(numbers[_FIXED])
    if n_atoms < 1 or not 0 <= n_fixed < n_atoms or n_said < 0:
        raise ValueError(f"it says that it holds {n_said} frames of {n_atoms} atoms, {n_fixed} of them fixed")
    charmm = numbers[_VERSION] != 0
    box = 4 * 14 if charmm and numbers[_BOX] else 0
    axes = 4 if charmm and numbers[_FOUR] else 3
    first, other = (box + axes * (4 * int(n) + 8) for n in (n_atoms, n_atoms - n_fixed))
    # The first frame has all atoms, the others those that move.
    rest = size - begin - first
    if size == begin and n_said == 0:
        return 0
    if rest < 0 or rest % other or rest // other + 1 < n_said:
        raise ValueError(
            f"it is cut off: it says that it has {n_said} frames of {other} bytes, and has "
            f"{(size - begin) / other:.2f}"
        )
    return int(rest // other) + 1


def _numbers(file: BinaryIO, order: str, n: int) -> np.ndarray:
    content = file.read(4 * n)
    if len(content) < 4 * n:
        raise ValueError("it is cut off within its first records")
    return np.frombuffer(content, order)


def _record(content: bytes) -> bytes:
    length = np.array([len(content)], "<i4").tobytes()
    return length + content + length
