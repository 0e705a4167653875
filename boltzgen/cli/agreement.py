"""What `boltzgen analyze` says of several samples: whether their populations agree."""

from typing import Any

from boltzgen.cli.common import new_table, print_block, print_table


def print_agreement(found: dict[str, list[dict[str, Any]]], series: list[str]) -> None:
    """Print a table of populations by sample, with chi-squared tests, and what they come to.

    Args:
        found: of each group of states, `free_energy.agreement.Agreement` as dictionaries.
        series: what the samples are called.
    """
    from boltzgen.free_energy.agreement import LEAST_EXPECTED, agreement_in_words, state_in_words

    several = len(found) > 1
    columns = [f"{k}: %" for k in range(1, len(series) + 1)]
    table = new_table("state", *columns, "chi2", "probability")
    for group, rows in found.items():
        for row in rows:
            shares = [_share(*pair) for pair in zip(row["populations"], row["standard_errors"], strict=True)]
            tests = [row["chi_squared"], row["probability"]]
            shown = ["not tested", ""] if tests[0] is None else [f"{tests[0]:.2f}", f"{tests[1]:.2g}"]
            table.add_row(state_in_words(group, row, several=several), *shares, *shown)
    print_block("the samples compared: " + "; ".join(f"{k}: {name}" for k, name in enumerate(series, 1)))
    print_table(table)
    print_block(agreement_in_words(found)[0])
    if any(row["probability"] is None for rows in found.values() for row in rows):
        print_block(
            f"not tested: a sample has fewer than {LEAST_EXPECTED:g} effective draws in the state or outside "
            "of it, or weights that are not to be trusted"
        )


def _share(population: float, error: float | None) -> str:
    """A population and its standard error in percent."""
    return f"{100 * population:.3g}" + ("" if error is None else f" ± {100 * error:.2g}")
