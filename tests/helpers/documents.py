"""The documents: their code blocks, headings and links."""

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each code block of a page, indented ones too."""
    return [
        (language, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE))
        for indent, language, text in _BLOCK.findall(page.read_text())
    ]


def commands(text: str) -> list[str]:
    """The lines of a shell's block, those that go on put together, without comments."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def prose(path: Path) -> str:
    """What a Markdown file or a notebook says, without its code."""
    text = path.read_text()
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    return re.sub(r"`[^`\n]+`", lambda found: "`" + " " * (len(found[0]) - 2) + "`", _BLOCK.sub("", text))


def links(path: Path) -> Iterator[str]:
    """Targets of a document's links and pictures, but for addresses of other sites."""
    for target in re.findall(r"\]\(([^()\s]+)\)", prose(path)):
        if not re.match(r"\w+:", target):
            yield target


def anchors(path: Path) -> set[str]:
    """The names by which links find a document's headings, made as GitHub and MyST make them."""
    text = _BLOCK.sub("", path.read_text())
    titles = re.findall(r"^#{1,6} +(.*?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", title).lower()).replace(" ", "-") for title in titles}


def load_script(path: Path) -> ModuleType:
    """A script of the documents as a module, which it is not."""
    spec = importlib.util.spec_from_file_location(f"document_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
