"""What an object says of itself: one line in a terminal, a small table in a notebook."""

from collections.abc import Mapping
from html import escape

_CELL = 'style="text-align: left; padding: 2px 12px 2px 0"'


def line(kind: str, name: str, facts: Mapping[str, object]) -> str:
    """One line.

    >>> line("System", "ethane", {"atoms": 8, "temperature": "300 K"})
    '<System ethane: 8 atoms, temperature 300 K>'

    A number is followed by what it counts, a text comes after its name.
    """
    parts = (
        f"{value:,} {key}" if isinstance(value, int) else f"{key} {value}" for key, value in facts.items()
    )
    return f"<{kind}{f' {name}' if name else ''}: {', '.join(parts)}>"


def table(kind: str, name: str, facts: Mapping[str, object]) -> str:
    """The same as HTML, a row for each fact.

    >>> table("System", "a<b", {"atoms": 1000}).count("a&lt;b"), "1,000" in table("", "", {"atoms": 1000})
    (1, True)
    """
    rows = "".join(
        f"<tr><th {_CELL}>{escape(key)}</th><td {_CELL}>"
        f"{f'{value:,}' if isinstance(value, int) else escape(str(value))}</td></tr>"
        for key, value in facts.items()
    )
    return f"<div><strong>{escape(kind)}</strong> {escape(name)}<table>{rows}</table></div>"
