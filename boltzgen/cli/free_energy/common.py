"""What the commands of `boltzgen free-energy` share."""

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boltzgen.cli.common import check_replaceable, print_block, print_table, system_names, warn

if TYPE_CHECKING:
    from rich.table import Table

    from boltzgen.free_energy.result import Result
    from boltzgen.samples.pooled import Pooled

#: Warnings that are printed; `--json` has all.
_MOST = 6
#: Formats of pictures, by the suffix of a file.
_FORMATS = (".png", ".pdf", ".svg")


class Unit(StrEnum):
    """Units of energy."""

    KT = "kT"
    KJ_PER_MOL = "kJ/mol"
    KCAL_PER_MOL = "kcal/mol"


SamplesFile = Annotated[Path, typer.Argument(metavar="FILE", help="Samples file made by `boltzgen sample`.")]
SamplesFiles = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE...",
        help="Samples made by `boltzgen sample`; of several files, shards or samples of other seeds, the "
        "draws are pooled.",
    ),
]
Masses = Annotated[
    str | None,
    typer.Option(
        "--system",
        metavar="SYSTEM",
        autocompletion=system_names,
        help="The molecule, a name or a folder: --measure needs its masses where it does not ship.",
    ),
]
Units = Annotated[
    Unit,
    typer.Option("--units", metavar="kT|kJ/mol|kcal/mol", help="Unit of the energies."),
]
Picture = Annotated[
    Path | None,
    typer.Option(
        "--figure", metavar="PICTURE", help="Draw results and convergence into a .png, .pdf or .svg file."
    ),
]

Html = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Also one page for any browser: warnings, picture and tables."
    ),
]
#: What a command says: paragraphs and tables.
Said = Sequence["str | Table"]


def title_of(pool: "Pooled", measure: str, at: str = "") -> str:
    """What stands above tables and pictures: the molecule, its temperature and measure, the draws."""
    from boltzgen.analysis.notes import marked

    header, several = pool.header, len(pool.series) > 1
    measured = ", constrained dynamics" if measure == "constrained-dynamics" else ""
    samples = f" in {len(pool.series)} samples" if several else ""
    title = f"{header.system}, {at}{header.temperature:g} K{measured}: {header.n_samples:,} draws{samples}"
    return marked(title, header.doubt)


def check_outputs(figure: Path | None, html: Path | None, *, force: bool) -> None:
    """Raise unless the picture and the page that are wanted can be written; to be called before the work."""
    from boltzgen.document.page import checked_page
    from boltzgen.samples.file import check_target

    if figure is not None:
        check_target(figure, _FORMATS)
        check_replaceable(figure, force=force)
    if html is not None:
        checked_page(html)
        check_replaceable(html, force=force)


def save_figure(path: Path | None, draw: Any, title: str) -> None:
    """Write the picture that `draw` makes with a title, if one is wanted."""
    if path is not None:
        from boltzgen.storage import write_figure

        write_figure(path, draw(title))


def save_html(path: Path | None, title: str, said: Said, warnings: Sequence[str], draw: Any = None) -> None:
    """Write what is said as a page, with the picture that `draw` makes of a title, if a page is wanted."""
    if path is None:
        return
    from boltzgen.document.page import PageTable, Part, save_page

    parts: list[Part] = [
        part
        if isinstance(part, str)
        else PageTable(
            [str(column.header) for column in part.columns],
            [list(map(str, row)) for row in zip(*(column.cells for column in part.columns), strict=True)],
        )
        for part in said
    ]
    save_page(path, title, parts, warnings=warnings, figure=None if draw is None else draw(""))


def with_doubt(pool: "Pooled", warnings: Sequence[str]) -> list[str]:
    """Warnings, after which shards are missing and what is known against the generator of the samples."""
    missing = [f"missing: {gap}; the rest counts" for gap in pool.missing]
    return [*missing, *([pool.header.doubt] if pool.header.doubt else []), *warnings]


def print_said(said: Said, *files: Path | None) -> None:
    """Print paragraphs and tables, and which files were written."""
    for part in said:
        if isinstance(part, str):
            print_block(part)
        else:
            print_table(part)
    for path in files:
        if path is not None:
            print_block(f"written to {path}")


def print_json(pool: "Pooled", measure: str, found: dict[str, Any]) -> None:
    """Print everything as one JSON object."""
    from boltzgen.storage import finite_or_none

    header = pool.header
    result = {"files": [str(path) for path in pool.files], "system": header.system, "measure": measure}
    result |= {"doubt": header.doubt, "missing": list(pool.missing)} | found
    typer.echo(json.dumps(finite_or_none(result), allow_nan=False))


def print_warnings(warnings: Sequence[str]) -> None:
    """Print warnings on stderr, a few of many."""
    for warning in warnings[:_MOST]:
        warn(warning)
    if len(warnings) > _MOST:
        warn(f"{len(warnings) - _MOST} more warnings; --json has all")


def value_and_interval(result: "Result", digits: int = 3) -> tuple[str, str]:
    """A result with its standard error, and its interval, in words."""
    import math

    from boltzgen.weights import with_error

    if result.low == result.high:  # a state relative to itself
        return f"{result.value:g}", ""
    known = math.isfinite(result.value)
    value = with_error(result.value, result.error) if known and result.error > 0 else f"{result.value:g}"
    low, high = (f"{v:.{digits}g}" if math.isfinite(v) else "" for v in (result.low, result.high))
    if low and high:
        return value, f"{low} .. {high}"
    return value, f"> {low}" if low else f"< {high}" if high else "not estimated"
