"""What an HTML page is made of."""

import json
from html.parser import HTMLParser
from typing import Any

#: Elements without an end.
_VOID = {"meta", "img", "input", "link", "br"}


class Page(HTMLParser):
    """A page in parts.

    Attributes:
        tags: each element's name with its attributes, in order.
        texts: contents of its scripts and styles, by the name of the element.
        rows: cells of its tables, as ``(text, attributes)``.
        words: all other text.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self.rows: list[list[tuple[str, dict[str, str | None]]]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()

    @property
    def data(self) -> Any:
        """The page's data: the first script."""
        return json.loads(self.texts["script"][0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)
        if tag in self.texts:
            self.texts[tag].append("")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append(("", dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        if inside in self.texts:
            self.texts[inside][-1] += data
        else:
            self.words += data
        if {"td", "th"} & set(self._open) and self.rows:
            text, attributes = self.rows[-1][-1]
            self.rows[-1][-1] = (text + data, attributes)
