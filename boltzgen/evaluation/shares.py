"""Shares of basins, residues' regions and torsions' states: the reference's beside a generator's."""

from typing import Any

import numpy as np

from boltzgen.evaluation import metrics
from boltzgen.evaluation.draws import Draws
from boltzgen.evaluation.reference import Reference
from boltzgen.evaluation.tally import state_name
from boltzgen.free_energy.histograms import Histogram
from boltzgen.free_energy.populations import basin_populations


def basin_shares(draws: Draws, reference: Reference) -> list[dict[str, Any]]:
    """A row for each basin: see `_rows`."""
    if reference.populations is None:
        return []
    names = tuple(basin.name for basin in reference.basins)
    return _rows(draws, "basins", names, reference.populations)


def region_shares(draws: Draws, reference: Reference) -> list[dict[str, Any]]:
    """A row for each region of each residue that either side visits: see `_rows`."""
    return [
        {"residue": residue, **row}
        for residue in reference.regions
        for row in _seen(draws, reference, residue)
    ]


def torsion_shares(draws: Draws, reference: Reference) -> list[dict[str, Any]]:
    """A row for each state of each named torsion without regions that either side visits: see `_rows`.

    Torsions of which both sides visit one and the same state alone are left out.
    """
    rows = []
    for torsion in reference.states:
        seen = _seen(draws, reference, torsion)
        if torsion not in reference.regions and len(seen) > 1:
            rows += [{"torsion": torsion, **row} for row in seen]
    return rows


def _seen(draws: Draws, reference: Reference, name: str) -> list[dict[str, Any]]:
    """Rows of the states of a residue or a torsion that either side visits."""
    rows = _rows(draws, state_name(name), *reference.states[name])
    return [row for row in rows if row["reference"] > 0 or row["drawn"] > 0]


def _rows(draws: Draws, table: str, names: tuple[str, ...], histogram: Histogram) -> list[dict[str, Any]]:
    """Shares of the first regions of a table, the reference's and the generator's, with their difference z.

    A bin beyond the names is of what lies in none of them.
    """
    labels = draws.bins[table][0].astype(np.int64)
    rows = basin_populations(np.where(labels < len(names), labels, -1), draws.log_w, names)
    drawn = draws.table(table)
    share, error = histogram.probability, histogram.standard_error
    spread = np.sqrt(
        np.maximum(drawn.square * (1 - 2 * drawn.weight) + drawn.square.sum() * drawn.weight**2, 0.0)
    )
    # A region that no draw or no walker visited has an error too: that of one draw, and that of as many draws
    # of the pooled share.
    least = drawn.error_of_share((share + drawn.weight) / 2)
    z = metrics.z_score(
        drawn.weight - share,
        np.maximum(error, 1.0 / max(histogram.n_effective, 1.0)),
        histogram.degrees_of_freedom,
        np.maximum(np.maximum(spread, drawn.largest), least),
    )
    return [
        {
            "name": row.name,
            "reference": float(share[k]),
            "reference_error": float(error[k]),
            "drawn": float(drawn.raw[k]),
            "population": row.population,
            "low": row.low,
            "high": row.high,
            "is_upper_bound": row.is_upper_bound,
            "n_raw": row.n_raw,
            "n_effective": row.n_effective,
            "z": float(z[k]),
        }
        for k, row in enumerate(rows)
    ]
