"""Modules with one piece of their source changed, to see that somebody notices."""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType


@contextlib.contextmanager
def mutant(name: str, old: str, new: str) -> Iterator[ModuleType]:
    """A copy of the module called `name` in which `old`, which stands there once, is `new`."""
    original = importlib.import_module(name)
    assert original.__file__ is not None
    source = Path(original.__file__).read_text()
    assert source.count(old) == 1, f"expected {old!r} once in {name}, got {source.count(old)}"
    found = ModuleType(f"{name}_mutant")
    sys.modules[found.__name__] = found  # dataclasses look their module up
    try:
        exec(compile(source.replace(old, new), found.__name__, "exec"), found.__dict__)
        yield found
    finally:
        del sys.modules[found.__name__]
