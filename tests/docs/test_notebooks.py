"""The notebooks run with small budgets; as they are stored they were executed in full, from top to bottom."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.documents import DOCS, load_script

NOTEBOOKS = sorted(DOCS.glob("notebooks/*.ipynb"))
LARGEST = 300_000


def code(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nbclient", reason="the extra [docs] is not installed")
    pytest.importorskip("ipykernel", reason="the extra [docs] is not installed")
    monkeypatch.setenv("BOLTZGEN_QUICK", "1")
    monkeypatch.setenv("PYTHONPATH", str(DOCS.parent))
    copy = tmp_path / path.name
    shutil.copy(path, copy)
    book = load_script(DOCS / "notebooks" / "execute.py").executed(copy)
    shown = [out for cell in book.cells if cell.cell_type == "code" for out in cell.outputs]
    assert {out.output_type for out in shown} <= {"stream", "display_data", "execute_result"}
    assert any("image/png" in out.get("data", {}) for out in shown)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_of_a_full_run(path: Path) -> None:
    cells = code(path)
    assert "BOLTZGEN_QUICK" in "".join(cells[0]["source"])
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [out for cell in cells for out in cell["outputs"]]
    assert not any(out["output_type"] == "error" or out.get("name") == "stderr" for out in outputs)
    assert any("image/png" in out.get("data", {}) for out in outputs)
    assert path.stat().st_size <= LARGEST
    assert not any("/tmp/" in "".join(out.get("text", "")) for out in outputs)
