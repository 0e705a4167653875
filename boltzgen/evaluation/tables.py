"""An evaluation as tables of text."""

from collections.abc import Sequence
from typing import Any

from boltzgen.evaluation.verdict import verdict
from boltzgen.free_energy.intervals import percent_interval

#: Title, names of the columns, rows.
TextTable = tuple[str, list[str], list[list[str]]]
_N_WORST = 8


def text_tables(result: dict[str, Any]) -> list[TextTable]:
    """The numbers of an evaluation, rounded, as tables of text."""
    tables = [_quantities(result)]
    if result["ramachandran"]:
        tables.append(_surfaces(result["ramachandran"]))
    if result["basins"]:
        tables.append(_shares("basins / %", "basin", [(b["name"], b) for b in result["basins"]]))
    if result["regions"]:
        rows = [(f"{r['residue']} {r['name']}", r) for r in result["regions"]]
        tables.append(_shares("regions of (phi, psi) / %", "residue, region", rows))
    if result["torsions"]:
        tables.append(_torsions(result["torsions"]))
    return [*tables, _marginals(result["marginals"]), _energy(result["energy"])]


def heading(result: dict[str, Any]) -> str:
    """What was compared, in one line."""
    where = f"{result['system']}, {result['temperature']:g} K"
    return f"{where}: {result['n_samples']:,} draws against the reference"


def markdown(result: dict[str, Any], more: Sequence[TextTable] = ()) -> str:
    """The verdict, `more` tables and those of the result, conventions and warnings in Markdown."""
    lines = [f"# {heading(result)}", "", f"**{verdict(result)}**", ""]
    for title, columns, rows in [*more, *text_tables(result)]:
        lines += [f"## {title}", "", _line(columns), _line(["---"] * len(columns)), *map(_line, rows), ""]
    lines += ["Conventions:", "", *(f"- {convention}" for convention in result["conventions"]), ""]
    return "\n".join([*lines, *(f"**Warning:** {warning}\n" for warning in result["warnings"])])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _quantities(r: dict[str, Any]) -> TextTable:
    rows = [
        ["ESS", f"{100 * r['sampling_efficiency']:.2f} %"],
        ["ESS, clipped", f"{100 * r['sampling_efficiency_clipped']:.2f} %"],
        ["forward ESS", f"{100 * r['forward_ess']:.2f} %"],
        ["largest weight's share", f"{100 * r['largest_weight_share']:.3g} %"],
        ["PSIS k-hat", f"{r['psis_k_hat']:.2f}"],
        ["outside the domain", f"{100 * r['fraction_outside_domain']:.3g} %"],
        ["log Z", _log_z(r["log_z"], r["log_z_error"])],
        ["EUBO", f"{r['eubo']:.4f} ± {r['eubo_error']:.4f}"],
        ["KL(p ‖ q) = EUBO - log Z", f"{r['forward_kl']:.4f}"],
        ["KL(q ‖ p) = log Z - ELBO", f"{r['reverse_kl']:.4f}"],
        ["NLL", f"{r['nll']:.3f} ± {r['nll_error']:.3f}"],
        ["reference: effective size", f"{r['reference']['n_effective']:.3g}"],
        ["reference: stationary", _stationary(r["reference"])],
    ]
    return "weights and densities", ["quantity", "value"], rows


def _log_z(value: float, error: float | None) -> str:
    return f"{value:.2f} (error not estimated)" if error is None else f"{value:.4f} ± {error:.4f}"


def _stationary(reference: dict[str, Any]) -> str:
    """What the reference's own test says."""
    test = reference["metadata"].get("stationarity")
    found = test.get("stationary") if isinstance(test, dict) else None
    return "not tested" if found is None else "yes" if found else "no"


def _surfaces(surfaces: list[dict[str, Any]]) -> TextTable:
    rows = []
    for s in surfaces:
        for key, title in (("kl", "KL"), ("tv", "TV")):
            cells = [f"{s[side][name]:.4f}" for side in ("before", "after") for name in (key, f"{key}_floor")]
            rows.append(
                [f"{title} ({', '.join(s['pair'])}), {s['n_bins']} bins", *cells, f"{s['halves'][key]:.4f}"]
            )
    return "Ramachandran", ["distance", "before", "floor", "after", "floor", "halves"], rows


def _torsions(torsions: list[dict[str, Any]]) -> TextTable:
    worst = sorted(torsions, key=lambda t: -abs(t["z"]))[:_N_WORST]
    title = f"worst {len(worst)} of {len(torsions)} states of torsions / %"
    return _shares(title, "torsion, state", [(f"{t['torsion']} {t['name']}", t) for t in worst])


def _shares(title: str, column: str, shares: list[tuple[str, dict[str, Any]]]) -> TextTable:
    rows = []
    for name, b in shares:
        reference = f"{100 * b['reference']:.4g} ± {100 * b['reference_error']:.2g}"
        rows.append(
            [
                name,
                reference,
                f"{100 * b['drawn']:.4g}",
                f"{100 * b['population']:.4g}",
                percent_interval(b["low"], b["high"]),
                f"{b['z']:+.1f}",
            ]
        )
    return title, [column, "reference", "before", "after", "95 % interval", "z"], rows


def _marginals(marginals: list[dict[str, Any]]) -> TextTable:
    rows = [
        [
            m["name"],
            f"{m['z_before']:+.1f}",
            f"{m['z']:+.1f}",
            f"{m['tv_before']:.4f}",
            f"{m['tv']:.4f}",
            f"{m['tv_floor']:.4f}",
            f"{m['tv_halves']:.4f}",
        ]
        for m in marginals[:_N_WORST]
    ]
    title = f"worst {len(rows)} of {len(marginals)} marginals"
    return (
        title,
        ["coordinate", "z before", "z after", "TV before", "TV after", "floor", "halves"],
        rows,
    )


def _energy(e: dict[str, Any]) -> TextTable:
    rows = [
        ["overlap", f"{e['overlap_before']:.4f}", f"{e['overlap']:.4f}", f"{e['overlap_floor']:.4f}", ""],
        [
            "W1 / kT",
            *(
                f"{e[k]:.4f}"
                for k in ("wasserstein_before", "wasserstein", "wasserstein_floor", "wasserstein_halves")
            ),
        ],
        ["z", "", f"{e['z']:+.1f}", "", ""],
    ]
    return "energy histogram", ["measure", "before", "after", "floor", "halves"], rows


def aligned(table: TextTable) -> str:
    """A table as lines of text with aligned columns."""
    title, columns, rows = table
    lines = [columns, *rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(columns))]
    padded = [
        [
            cell.rjust(width) if k else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    ]
    return "\n".join([title.upper(), *("  ".join(line).rstrip() for line in padded)])
