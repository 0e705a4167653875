"""Tables of populations and means as HTML, from the report of an analysis; every text is escaped."""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from boltzgen.analysis.html.words import Report
from boltzgen.document.page import html_table
from boltzgen.figures import symbol
from boltzgen.free_energy.intervals import percent_interval
from boltzgen.molecule.states import BASINS

#: Width of a bar of 100 %, and height of bars.
_BAR, _HIGH = 120, 10


def state_tables(report: Report, unit: str, one_kt: float) -> str:
    """Basins, residues' regions and rotamers: a table each, with a button for each state that shows it."""
    counted = ("draws", "effective") if report["source"] == "samples" else ("frames", "effective")
    heads = ("population / %", "95 % interval", "", f"ΔF / {unit}", "95 % interval", *counted)
    found = []
    if report["basins"]:
        rows = _state_rows(BASINS, report["basins"], one_kt)
        found.append(html_table("Basins", ("basin", *heads), rows))
    if report["regions"]:
        groups = report["regions"].items()
        rows = [row for name, states in groups for row in _state_rows(name, states, one_kt, name)]
        found.append(html_table("Regions of each residue", ("residue", "region", *heads), rows))
    if report["rotamers"]:
        rows = [
            row
            for name, states in report["rotamers"].items()
            for row in _state_rows(name, states, one_kt, symbol(name), arcs=True)
        ]
        found.append(html_table("Rotamers", ("torsion", "state", "degrees", *heads), rows))
    return "\n".join(found)


def mean_table(report: Report) -> str:
    """Weighted means of sizes and of what profiles are along."""
    rows = []
    for name, one in {**report["sizes"], **report["along"]}.items():
        if one["mean"] is not None:
            error = one["standard_error"]
            shown = "not estimated" if error is None else f"{error:.2g}"
            rows.append(
                [
                    _head(name.replace("_", " ")),
                    _number(f"{one['mean']:.4f}", one["mean"]),
                    _number(shown, error),
                    _text(one["unit"]),
                ]
            )
    return html_table("Means", ("quantity", "mean", "standard error", "unit"), rows) if rows else ""


def _state_rows(
    group: str, states: Sequence[dict[str, Any]], one_kt: float, title: str = "", *, arcs: bool = False
) -> list[list[str]]:
    """Cells of the states of one group; the button names the group and the state's index."""
    rows = []
    for k, state in enumerate(states):
        energies = [
            None if state[key] is None else one_kt * state[key]
            for key in ("delta_f_kT", "delta_f_low", "delta_f_high")
        ]
        button = (
            f'<button type="button" class="state" data-group="{escape(group)}" data-state="{k}" '
            f'title="Show conformations of this state">{escape(state["name"])}</button>'
        )
        arc = [_text(f"{state['from_degrees']:g} .. {state['to_degrees']:g}")] if arcs else []
        rows.append(
            [
                *([_head(title)] if title else []),
                f'<th scope="row">{button}</th>',
                *arc,
                _number(f"{100 * state['population']:.3g}", state["population"]),
                _number(percent_interval(state["low"], state["high"])),
                f"<td>{_bar(state)}</td>",
                _number("" if energies[0] is None else f"{energies[0]:.2f}", energies[0]),
                _number(_interval(*energies[1:])),
                _number(f"{state['n_raw']:,}", state["n_raw"]),
                _number(f"{state['n_effective']:,.1f}", state["n_effective"]),
            ]
        )
    return rows


def _interval(low: float | None, high: float | None) -> str:
    """An interval in words, where None is an open end."""
    if low is None:
        return "not estimated" if high is None else f"< {high:.2f}"
    return f"> {low:.2f}" if high is None else f"{low:.2f} .. {high:.2f}"


def _bar(state: dict[str, Any]) -> str:
    """The population as a bar, with its interval as a line across the end."""
    low, high = state["low"], state["high"]
    whiskers = (
        ""
        if low is None or high is None
        else f'<line class="whisker" x1="{_BAR * low:.2f}" x2="{max(_BAR * high, _BAR * low + 0.5):.2f}" '
        f'y1="{_HIGH / 2:g}" y2="{_HIGH / 2:g}"/>'
    )
    return (
        f'<svg class="bar" width="{_BAR}" height="{_HIGH}" viewBox="0 0 {_BAR} {_HIGH}" aria-hidden="true">'
        f'<rect class="track" width="{_BAR}" height="{_HIGH}"/>'
        f'<rect class="filled" width="{_BAR * state["population"]:.2f}" height="{_HIGH}"/>{whiskers}</svg>'
    )


def _number(shown: str, value: float | None = None) -> str:
    """A cell with a number to the right; `data-value` has all of its digits."""
    exact = "" if value is None or not math.isfinite(value) else f' data-value="{value!r}"'
    return f'<td class="number"{exact}>{escape(shown)}</td>'


def _text(shown: str) -> str:
    return f"<td>{escape(shown)}</td>"


def _head(shown: str) -> str:
    return f'<th scope="row">{escape(shown)}</th>'
