"""A page without programs: text, tables and a picture in one file, which any browser shows and prints.

It asks for nothing from elsewhere, and a Content-Security-Policy forbids it to. All texts are escaped.
"""

import base64
import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from boltzgen import __version__
from boltzgen.storage import write_atomically

SUFFIXES = (".html", ".htm")


@dataclass(frozen=True)
class PageTable:
    """A table of texts.

    Attributes:
        columns: names of the columns; the first column is a row's name.
        rows: as many cells each as there are columns.
        title: above it, if it has one.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""


#: A paragraph, a list of lines, or a table.
Part = str | list[str] | PageTable


def checked_page(path: str | os.PathLike[str]) -> Path:
    """The path of a page that can be written.

    Raises:
        ValueError: its name does not end in .html.
        FileNotFoundError: its folder does not exist.
    """
    found = Path(path)
    if found.suffix.lower() not in SUFFIXES:
        raise ValueError(f"expected `html` to be a file that ends in .html, got {str(path)!r}")
    if not found.parent.is_dir():
        raise FileNotFoundError(f"no folder {found.parent} for {found.name}; make it, or choose another")
    return found


def save_page(
    path: Path, title: str, parts: Sequence[Part], *, warnings: Sequence[str] = (), figure: Any = None
) -> None:
    """Write a page of texts, tables and one picture.

    Args:
        path: of the file, see `checked_page`.
        title: of the page.
        parts: from top to bottom.
        warnings: between the title and the rest.
        figure: a `matplotlib.figure.Figure`, shown after the warnings; none if it is None.

    Raises:
        OSError: it could not be written.
    """
    write_atomically(path, page(title, parts, warnings=warnings, figure=figure).encode())


def page(title: str, parts: Sequence[Part], *, warnings: Sequence[str] = (), figure: Any = None) -> str:
    """The page as HTML; arguments as of `save_page`."""
    style = base_style()
    body = [f'<p class="doubt">{escape(text)}</p>' for text in warnings]
    if figure is not None:
        picture = io.BytesIO()
        figure.savefig(picture, format="svg")
        data = base64.b64encode(picture.getvalue()).decode()
        body.append(f'<img class="picture" alt="{escape(title)}" src="data:image/svg+xml;base64,{data}">')
    body += map(_html, parts)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy(style=style)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="boltzgen {escape(__version__)}">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{escape(title)}</h1></header>
<main>
{chr(10).join(body)}
</main>
<footer><p>By boltzgen {escape(__version__)}.</p></footer>
</body>
</html>
"""


def base_style() -> str:
    """Styles that all pages share."""
    return files("boltzgen.document").joinpath("base.css").read_text(encoding="utf-8")


def policy(*, style: str, scripts: Sequence[str] = ()) -> str:
    """A Content-Security-Policy that allows these texts and pictures of the page's own, and nothing else."""
    allowed = f"script-src {' '.join(map(_checksum, scripts))}; " if scripts else ""
    return (
        f"default-src 'none'; {allowed}style-src {_checksum(style)}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def html_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already, which can be scrolled where it is too wide; heads are texts."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' if text else "<td></td>" for text in heads)
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    caption = f"<caption>{escape(title)}</caption>\n" if title else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title or "table")}"><table>'
        f"{caption}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _html(part: Part) -> str:
    if isinstance(part, str):
        return f"<p>{escape(part)}</p>"
    if isinstance(part, list):
        return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in part) + "</ul>"
    rows = [
        [
            f'<th scope="row">{escape(first)}</th>',
            *(f'<td class="number">{escape(cell)}</td>' for cell in rest),
        ]
        for first, *rest in part.rows
    ]
    return html_table(part.title, part.columns, rows)


def _checksum(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
