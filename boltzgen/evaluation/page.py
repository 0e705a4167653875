"""An evaluation in files: numbers, tables, a page of pictures, and all of it for a browser."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from boltzgen.document.page import PageTable, Part, save_page
from boltzgen.evaluation.draws import Draws
from boltzgen.evaluation.picture import evaluation_figure
from boltzgen.evaluation.reference import Reference
from boltzgen.evaluation.tables import TextTable, heading, markdown, text_tables
from boltzgen.evaluation.verdict import by_chance, verdict
from boltzgen.storage import finite_or_none, write_atomically, write_figure

#: What `save_evaluation` writes.
FILES = ("evaluation.json", "evaluation.md", "evaluation.png", "evaluation.pdf", "evaluation.html")


def save_evaluation(
    result: dict[str, Any],
    draws: Draws,
    reference: Reference,
    output: str | os.PathLike[str],
    more: Sequence[TextTable] = (),
) -> list[str]:
    """Write `FILES`, texts with `more` tables, into a folder, made if it is missing; return their names."""
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    data, text, picture, vector, page = (folder / name for name in FILES)
    write_atomically(data, (json.dumps(finite_or_none(result), indent=2, allow_nan=False) + "\n").encode())
    write_atomically(text, markdown(result, more).encode())
    figure = evaluation_figure(result, draws, reference)
    write_figure(picture, figure)
    write_figure(vector, figure)
    parts: list[Part] = [verdict(result), by_chance(result)]
    parts += [PageTable(columns, rows, title) for title, columns, rows in [*more, *text_tables(result)]]
    parts += ["Conventions:", list(result["conventions"])]
    save_page(page, heading(result), parts, warnings=result["warnings"], figure=figure)
    return list(FILES)
