"""What `boltzgen analyze` says of several samples: whether their populations agree."""

from typing import Any

from boltzgen.cli.common import new_table, print_block, print_table

#: Chance of a false alarm, over all states together.
_ALARM = 0.05


def print_agreement(found: dict[str, list[dict[str, Any]]], series: list[str]) -> None:
    """Print a table of populations by sample, with chi-squared tests, and what they come to.

    Args:
        found: of each group of states, `free_energy.agreement.Agreement` as dictionaries.
        series: what the samples are called.
    """
    several = len(found) > 1
    columns = [f"{k}: %" for k in range(1, len(series) + 1)]
    table = new_table("state", *columns, "chi2", "probability")
    tested = [(group, row) for group, rows in found.items() for row in rows if row["probability"] is not None]
    for group, rows in found.items():
        for row in rows:
            shares = [_share(*pair) for pair in zip(row["populations"], row["standard_errors"], strict=True)]
            tests = [row["chi_squared"], row["probability"]]
            shown = ["not tested", ""] if tests[0] is None else [f"{tests[0]:.2f}", f"{tests[1]:.2g}"]
            table.add_row(_named(group, row, several=several), *shares, *shown)
    print_block("the samples compared: " + "; ".join(f"{k}: {name}" for k, name in enumerate(series, 1)))
    print_table(table)
    worst = [(g, row) for g, row in tested if row["probability"] < _ALARM / len(tested)]
    freedom = len(series) - 1
    if not tested:
        said = "no state has enough effective draws in every sample for a test"
    elif worst:
        names = ", ".join(_named(g, row, several=several) for g, row in worst)
        said = (
            f"the samples do not agree in {names}: a difference as large is less likely than {_ALARM:g} over "
            f"all {len(tested)} states if all are of one distribution. Weights too heavy for their errors "
            "are a cause: draw more, or train longer"
        )
    else:
        said = (
            f"the samples agree in {len(tested)} states that could be tested: no probability is below "
            f"{_ALARM:g} / {len(tested)}"
        )
    degrees = "1 degree" if freedom == 1 else f"{freedom} degrees"
    print_block(f"{said} (chi-squared with {degrees} of freedom)")


def _named(group: str, row: dict[str, Any], *, several: bool) -> str:
    return f"{group} {row['name']}" if several else str(row["name"])


def _share(population: float, error: float | None) -> str:
    """A population and its standard error in percent."""
    return f"{100 * population:.3g}" + ("" if error is None else f" ± {100 * error:.2g}")
