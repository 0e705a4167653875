"""XTC trajectories: their frames counted.

A frame is a record of XDR, big-endian: a magic number, the number of atoms, step, time and box (52 bytes),
the number of atoms again, and either the positions as they are (nine atoms or fewer), or 32 bytes that
describe the compression, the number of compressed bytes, and these, filled up to whole words.
"""

import struct
from pathlib import Path

_START = struct.Struct(">ii8x36xi")
#: By the magic number: how the number of compressed bytes is held (molecules of more than 3e8 atoms need 64
#: bits).
_LENGTH = {1995: struct.Struct(">32xi"), 2023: struct.Struct(">32xq")}
_UNCOMPRESSED = 9


def count_frames(path: Path) -> int:
    """The number of frames in an XTC file.

    Raises:
        ValueError: it is cut off within one, or not an XTC file.
    """
    size = path.stat().st_size
    n_frames = position = 0
    with path.open("rb") as file:
        while position < size:
            start = file.read(_START.size)
            if len(start) < _START.size:
                raise ValueError(f"it is cut off within frame {n_frames}")
            magic, n_atoms, again = _START.unpack(start)
            if magic not in _LENGTH or n_atoms != again or n_atoms < 1:
                raise ValueError(f"it does not have an XTC frame where frame {n_frames} should begin")
            position += _START.size
            if n_atoms <= _UNCOMPRESSED:
                position += 12 * n_atoms
            else:
                length = _LENGTH[magic]
                held = file.read(length.size)
                n_bytes = length.unpack(held)[0] if len(held) == length.size else size
                position += length.size + max(0, n_bytes + 3) // 4 * 4
            if position > size:
                raise ValueError(f"it is cut off within frame {n_frames}")
            file.seek(position)
            n_frames += 1
    return n_frames
