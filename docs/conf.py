"""Sphinx: `make docs` builds the site of these Markdown files, the notebooks and the docstrings."""

import contextlib
import io
import os
import re
import sys
from pathlib import Path
from typing import Any

import typer
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import boltzgen  # noqa: E402
from boltzgen import cli  # noqa: E402

project = "boltzgen"
author = "boltzgen developers"
copyright = author
version = release = boltzgen.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
# Lists of pages for who reads the files themselves: an `index.md` beside each includes it.
exclude_patterns = ["jupyter_execute", "README.md", "results/README.md", "_build"]
templates_path = ["_templates"]

# Notebooks are shown as they are stored: `docs/notebooks/execute.py` runs them.
nb_execution_mode = "off"
nb_merge_streams = True
myst_heading_anchors = 4
myst_links_external_new_tab = False
# Names in lists of attributes, `log_w`, that several classes have.
suppress_warnings = ["ref.python"]

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
default_role = "code"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"boltzgen {version}"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["site.css"]

#: Files outside this folder that are pages of the site.
_INCLUDED = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}


def page_links(text: str) -> str:
    """Markdown whose links to the lists of pages, and to files that pages include, lead to these pages.

    >>> page_links("[a](results/README.md#x), [b](../CONTRIBUTING.md), [c](../../CHANGELOG.md)")
    '[a](results/index.md#x), [b](contributing.md), [c](../changelog.md)'
    """
    text = re.sub(r"\]\(((?:\.\./|results/)?)README\.md", r"](\1index.md", text)
    for outside, page in _INCLUDED.items():
        text = re.sub(rf"\]\((?:\.\./)?((?:\.\./)*){re.escape(outside)}", rf"](\1{page}", text)
    return text


def escaped(lines: list[str]) -> list[str]:
    r"""Lines of a docstring in which the signs of log|det J| and (n, *shape) are no markup.

    Code stays as it is: in double backquotes, in examples, and in blocks after "::".

    >>> escaped(["log|x|, ``a | b``", "", ">>> 1 | 2", "3"])
    ['log\\|x\\|, ``a | b``', '', '>>> 1 | 2', '3']
    """
    found, example, block = [], False, None
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if line.strip():
            example = example or line.lstrip().startswith(">>>")
            block = None if block is not None and indent <= block else block
        else:
            example = False
        if not example and block is None:
            parts = line.split("``")
            parts[::2] = [re.sub(r"\||(?<=[ (,])\*(?=\w+[,)])", r"\\\g<0>", part) for part in parts[::2]]
            line = "``".join(parts)
            block = indent if line.rstrip().endswith("::") else None
        found.append(line)
    return found


def helps() -> str:
    """The help of every command, as a section of a page."""
    os.environ["COLUMNS"] = "80"
    groups = cli.GROUPS
    inner = {name: typer.main.get_command(cli.app).commands[name].commands for name in groups}  # type: ignore[attr-defined]
    words = [(name,) for name in cli.COMMANDS] + [(name, one) for name in groups for one in inner[name]]
    text = "\n\n## Every command\n"
    for command in words:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            cli.main([*command, "-h"])
        text += f"\n### {' '.join(command)}\n\n```text\n{printed.getvalue()}```\n"
    return text


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""

    def in_page(app: Sphinx, name: str, content: list[str]) -> None:
        content[0] = page_links(content[0]) + (helps() if name == "command_line" else "")

    def in_included(app: Sphinx, path: Path, parent: str, content: list[str]) -> None:
        content[0] = page_links(content[0])

    def in_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        # Of a property napoleon would take what stands before a colon, on the first line, for its type.
        lines[:] = ["", *escaped(lines)] if what in ("property", "attribute") else escaped(lines)

    app.connect("autodoc-process-docstring", in_docstring, priority=400)  # before napoleon
    app.connect("source-read", in_page)
    app.connect("include-read", in_included)
