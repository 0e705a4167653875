"""The page of an analysis: template, styles, programs and data put together in one file.

The file asks for nothing from elsewhere, and its own policy forbids it to: a Content-Security-Policy allows
the two programs and the styles by their checksums, and no connections. Names from users' files are escaped in
HTML, and the data are JSON without any ``<``, so that no name can become a part of the page.
"""

import json
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from boltzgen import __version__
from boltzgen.analysis.html import words
from boltzgen.analysis.html.content import Content
from boltzgen.analysis.html.tables import mean_table, state_tables
from boltzgen.document.page import base_style, policy
from boltzgen.molecule.names import file_stem
from boltzgen.storage import write_atomically

_FOLDER = files("boltzgen.analysis.html")
_VIEWER, _LICENCE = "vendor/3Dmol-min.js", "vendor/3Dmol-LICENSE.txt"
#: Parts of our own program, in the order in which they need each other.
_PROGRAM = (
    "state.js",
    "names.js",
    "surface.js",
    "scale.js",
    "curve.js",
    "viewer.js",
    "downloads.js",
    "main.js",
)


def save_page(path: Path, content: Content) -> None:
    """Write the page: one file that any browser shows, without a network.

    Raises:
        OSError: it could not be written.
    """
    write_atomically(path, page(content).encode())


def page(content: Content) -> str:
    """The page as HTML."""
    report = content.report
    style, viewer = base_style() + _part("style.css"), _part(_VIEWER)
    program = '"use strict";\n' + "\n".join(_part(name) for name in _PROGRAM)
    data = {**content.data(), "stem": file_stem(report["system"])}
    return Template(_part("page.html")).substitute(
        policy=policy(scripts=(viewer, program), style=style),
        title=escape(f"{report['system']}, {report['temperature']:g} K"),
        system=escape(report["system"]),
        temperature=f"{report['temperature']:g} K",
        lead=escape(words.lead(report)),
        doubts="".join(f'<p class="doubt">{escape(text)}</p>' for text in words.doubts(report)),
        states=state_tables(report, content.output.unit, content.output.one_kt) or "<p>None are counted.</p>",
        means=mean_table(report),
        weights=_weights(report),
        domain="".join(f"<li>{escape(text)}</li>" for text in words.domain(report)),
        meanings=_listed(words.meanings(report)),
        file=escape(report["file"]),
        seed="" if report["seed"] is None else f", seed {report['seed']}",
        version=escape(__version__),
        licence=escape(_part(_LICENCE)),
        style=style,
        data=_embedded(data),
        viewer=viewer,
        program=program,
    )


def _embedded(data: Any) -> str:
    """JSON that ends no script element and begins none, whatever its texts are."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _weights(report: words.Report) -> str:
    said = words.weights(report)
    if not said:
        return "<p>Frames of a simulation have equal weights, which say nothing of themselves.</p>"
    return _listed(said)


def _listed(pairs: list[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(a)}</dt><dd>{escape(b)}</dd>" for a, b in pairs) + "</dl>"


def _part(name: str) -> str:
    return _FOLDER.joinpath(name).read_text(encoding="utf-8")
