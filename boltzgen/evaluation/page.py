"""An evaluation as tables of text, and as one page of pictures."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from boltzgen.evaluation.draws import Draws
from boltzgen.evaluation.reference import Reference
from boltzgen.evaluation.tally import Surface, surface_name
from boltzgen.free_energy.histograms import Axis
from boltzgen.free_energy.intervals import percent_interval
from boltzgen.storage import finite_or_none, write_atomically, write_figure

#: What `save_evaluation` writes.
FILES = ("evaluation.json", "evaluation.md", "evaluation.png", "evaluation.pdf")
#: Title, names of the columns, rows.
TextTable = tuple[str, list[str], list[list[str]]]
_REFERENCE, _GENERATOR, _INK = "#31688e", "#d1495b", "#333333"
_TICKS = np.arange(-180, 181, 90)
_N_WORST = 8
_MIN_COUNT = 10.0
_TOP = 12.0


def save_evaluation(
    result: dict[str, Any], draws: Draws, reference: Reference, output: str | os.PathLike[str]
) -> list[str]:
    """Write evaluation.json, .md, .png and .pdf into a folder, made if it is missing; return their names."""
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    data, text, picture, vector = (folder / name for name in FILES)
    write_atomically(data, (json.dumps(finite_or_none(result), indent=2, allow_nan=False) + "\n").encode())
    write_atomically(text, markdown(result).encode())
    figure = evaluation_figure(result, draws, reference)
    write_figure(picture, figure, dpi=150)
    write_figure(vector, figure)
    return list(FILES)


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


def markdown(result: dict[str, Any]) -> str:
    """The tables, conventions and warnings in Markdown."""
    lines = [
        f"# {result['system']}, {result['temperature']:g} K: {result['n_samples']:,} draws against the "
        "reference",
        "",
    ]
    for title, columns, rows in text_tables(result):
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
        ["log Z", f"{r['log_z']:.4f} ± {r['log_z_error']:.4f}"],
        ["EUBO", f"{r['eubo']:.4f} ± {r['eubo_error']:.4f}"],
        ["KL(p ‖ q) = EUBO - log Z", f"{r['forward_kl']:.4f}"],
        ["KL(q ‖ p) = log Z - ELBO", f"{r['reverse_kl']:.4f}"],
        ["NLL", f"{r['nll']:.3f} ± {r['nll_error']:.3f}"],
        ["reference: effective size", f"{r['reference']['n_effective']:.3g}"],
        ["reference: stationary", _stationary(r["reference"])],
    ]
    return "weights and densities", ["quantity", "value"], rows


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


def evaluation_figure(result: dict[str, Any], draws: Draws, reference: Reference) -> Figure:
    """One page: Ramachandran surfaces and their difference, weights, energies, marginals, and the numbers."""
    figure = Figure(figsize=(13.0, 11.5), layout="constrained")
    FigureCanvasAgg(figure)
    parts: Any = figure.subfigures(3, 1, height_ratios=(4.2, 3.2, 4.0))
    upper, middle, lower = parts
    if reference.surfaces:
        _draw_surfaces(upper, reference.surfaces[0], draws)
    panels = middle.subplots(1, 4)
    _draw_weights(panels[0], draws)
    _draw_histogram(panels[1], *(reference.energy[0], reference.energy[1].probability), draws)
    for axes, marginal in zip(panels[2:], result["marginals"], strict=False):
        axis, histogram = reference.marginals[marginal["name"]]
        _draw_histogram(axes, axis, histogram.probability, draws)
    _draw_tables(lower, result)
    figure.suptitle(
        f"{result['system']}, {result['temperature']:g} K: {result['n_samples']:,} draws against the "
        "reference",
        color=_INK,
        fontsize=12,
    )
    return figure


def _draw_surfaces(figure: Any, surface: Surface, draws: Draws) -> None:
    drawn = draws.table(surface_name(surface.pair, len(surface.probability)))
    p, q = surface.probability, drawn.weight.reshape(surface.probability.shape)
    axes = figure.subplots(1, 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        free = [-np.log(np.where(v > 0, v, np.nan)) + math.log(v.max()) for v in (p, q)]
        enough = np.minimum(p * surface.n_effective, q * draws.n_effective) >= _MIN_COUNT
        difference = np.where(enough, np.log(p) - np.log(q), np.nan)
    top = float(np.clip(np.nanquantile(free[0], 0.995), 2.0, _TOP))
    titles = ("reference", "generator, reweighted", "difference (cells with 10 or more)")
    for panel, values, title in zip(axes, (*free, difference), titles, strict=True):
        map_name, low, high = ("RdBu_r", -1.0, 1.0) if values is difference else ("viridis", 0.0, top)
        edges = np.linspace(-180.0, 180.0, len(values) + 1)
        mesh = panel.pcolormesh(
            edges, edges, np.ma.masked_invalid(values).T, rasterized=True, cmap=map_name, vmin=low, vmax=high
        )
        panel.set(xlim=(-180, 180), ylim=(-180, 180), xticks=_TICKS, yticks=_TICKS, aspect="equal")
        panel.set_xlabel(f"{surface.pair[0]} / degrees", color=_INK)
        panel.set_ylabel(f"{surface.pair[1]} / degrees", color=_INK)
        panel.set_title(title, fontsize=10, color=_INK)
        figure.colorbar(
            mesh,
            ax=panel,
            label="free energy / kT",
            shrink=0.85,
            extend="max" if values is not difference else "both",
        )


def _draw_weights(axes: Axes, draws: Draws) -> None:
    """Log-weights relative to log Z under the target: the draws reweighted, and the reference."""
    finite = np.isfinite(draws.log_w)
    log_z = float(np.log(np.exp(draws.log_w - draws.log_w.max()).mean()) + draws.log_w.max())
    ours = draws.log_w[finite] - log_z
    theirs = draws.log_w_reference[np.isfinite(draws.log_w_reference)] - log_z
    low, high = -6.0, max(ours.max(), theirs.max() if len(theirs) else 0.0)
    edges = np.linspace(low, high + 1e-6, 80).tolist()
    axes.hist(
        np.clip(ours, low, None),
        edges,
        weights=draws.weights[finite],
        density=True,
        histtype="step",
        color=_GENERATOR,
        label="generator, reweighted",
    )
    if len(theirs):
        axes.hist(
            np.clip(theirs, low, None), edges, density=True, color=_REFERENCE, alpha=0.45, label="reference"
        )
    axes.set_yscale("log")
    axes.set_xlabel("log w - log Z", color=_INK)
    axes.set_title("log-weights under the target", fontsize=10, color=_INK)
    axes.legend(frameon=False, fontsize=8, labelcolor=_INK)


def _draw_histogram(axes: Axes, axis: Axis, p: np.ndarray, draws: Draws) -> None:
    """One coordinate's density: the reference filled, the draws reweighted and as made; without open bins."""
    drawn = draws.table(axis.name)
    inner = slice(None) if axis.is_periodic else slice(1, -1)
    edges = axis.edges if axis.is_periodic else axis.edges[1:-1]
    scale = 180.0 / np.pi if axis.unit == "radians" else 1.0
    axes.stairs(p[inner], edges * scale, fill=True, color=_REFERENCE, alpha=0.45, label="reference")
    axes.stairs(drawn.weight[inner], edges * scale, color=_GENERATOR, lw=1.1, label="after")
    axes.stairs(drawn.raw[inner], edges * scale, color=_INK, lw=0.7, ls=":", label="before")
    axes.set_xlabel(
        f"{axis.name} / {'degrees' if axis.unit == 'radians' else axis.unit}", color=_INK, fontsize=9
    )
    axes.set_yticks([])
    axes.set_title("share of each bin", fontsize=10, color=_INK)
    axes.legend(frameon=False, fontsize=8, labelcolor=_INK)


def _draw_tables(figure: Any, result: dict[str, Any]) -> None:
    """The tables in three columns, those of shares in the last, and the warnings below."""
    axes = figure.subplots()
    axes.set_axis_off()
    first, *inner, last = text_tables(result)
    shares = [table for table in inner if table[1][1] == "reference"]
    rest = [table for table in inner if table[1][1] != "reference"]
    for x, column in ((0.0, [first, last]), (0.26, rest), (0.69, shares)):
        axes.text(
            x,
            1.0,
            "\n\n".join(map(aligned, column)),
            family="monospace",
            fontsize=6.8,
            va="top",
            color=_INK,
            transform=axes.transAxes,
        )
    warnings = [w if len(w) < 190 else f"{w[:187]}..." for w in result["warnings"]]
    axes.text(
        0.0,
        0.0,
        "\n".join(warnings[:5]) or "no warnings",
        fontsize=7.5,
        va="bottom",
        color=_GENERATOR if warnings else _INK,
        transform=axes.transAxes,
    )


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
