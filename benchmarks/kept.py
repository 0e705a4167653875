"""Results of many molecules, which a folder has one by one and a file besides has together."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from boltzgen.storage import write_atomically


def results(folder: Path, names: Iterable[str], kept: Path | None) -> dict[str, dict[str, Any]]:
    """What the folder has of each molecule, and the file besides, which then has all of it."""
    found = {} if kept is None or not kept.exists() else json.loads(kept.read_text())
    for name in names:
        file = folder / name / "result.json"
        if file.exists():
            found[name] = json.loads(file.read_text())
    if kept is not None:
        write_atomically(kept, json.dumps(found, indent=1).encode())
    return {name: found[name] for name in names if name in found}
