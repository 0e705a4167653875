"""Paths for libraries that can open only names of ASCII letters."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def ascii_folder(folder: Path) -> Iterator[Path]:
    """The folder, or a link to it where its path has other letters than ASCII ones."""
    if str(folder).isascii():
        yield folder
        return
    with TemporaryDirectory(prefix="boltzgen-") as temporary:
        link = Path(temporary) / "folder"
        os.symlink(folder.resolve(), link, target_is_directory=True)
        yield link


@contextmanager
def ascii_file(path: Path) -> Iterator[Path]:
    """The file, or a link to it with the same ending where its path has other letters than ASCII ones."""
    if str(path).isascii():
        yield path
        return
    with TemporaryDirectory(prefix="boltzgen-") as temporary:
        link = Path(temporary) / f"file{''.join(path.suffixes[-2:])}"
        os.symlink(path.resolve(), link)
        yield link
