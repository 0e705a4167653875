"""A generator against a reference: every metric with its noise floor, and the modes that are missing."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from boltzgen.evaluation import metrics, modes
from boltzgen.evaluation.draws import Draws
from boltzgen.evaluation.modes import Drawn
from boltzgen.evaluation.reference import Reference
from boltzgen.evaluation.shares import basin_shares, region_shares, torsion_shares
from boltzgen.evaluation.tally import Surface, state_name, surface_name
from boltzgen.evaluation.verdict import AGREEMENT, TAIL
from boltzgen.free_energy.histograms import Axis, Histogram, walker_groups
from boltzgen.free_energy.weight_summary import weight_summary
from boltzgen.weights import K_HAT_LIMIT, k_hat_meaning, psis_k_hat

CONVENTIONS = (
    "log_w = -u - log q, u in kT, densities with respect to dx / (8 pi^2 V) on the domain; draws outside "
    "it count with weight zero",
    "ESS: Kish's (sum w)^2 / sum w^2 over the number of draws, unclipped; clipped: the top 1e-4 of "
    "log-weights set to the smallest of them",
    "forward ESS = 1 / (E_p[w] E_p[1/w]), EUBO = E_p[-u - log q] >= log Z, NLL = -E_p[log q]: over the "
    "reference's configurations",
    "KL = sum p ln((p + 1e-10) / (q + 1e-10)) in nats with p the reference; TV = sum |p - q| / 2; bins "
    "over (-180, 180] degrees",
    "noise floor: the mean distance of two finite samples of the pooled table, with the effective sizes of "
    "reference and weights",
    "z: largest difference of the cumulative shares over their combined error; reference errors are a "
    "jackknife over walkers",
    "halves: the same distance between the two halves of the reference's walkers",
    "before: the draws as made; after: reweighted",
)


def summarize(draws: Draws, reference: Reference) -> dict[str, Any]:
    """Every metric as plain numbers, lists and dictionaries; docs/evaluation.md says what they mean.

    Raises:
        ValueError: the draws were binned for another reference.
    """
    if len(draws.log_w_reference) != len(reference) or not draws.bins.keys() >= reference.marginals.keys():
        raise ValueError("these draws were made for another reference; draw again with this one")
    weights = _weights(draws)
    density = _density(draws, reference, weights)
    result: dict[str, Any] = {
        "system": reference.system,
        "temperature": reference.temperature,
        "domain": reference.domain,
        "conventions": list(CONVENTIONS),
        "reference": _origin(reference),
        **weights,
        **density,
        "ramachandran": [_surface(draws, reference, surface) for surface in reference.surfaces],
        "marginals": sorted(
            (_marginal(draws, *pair) for pair in reference.marginals.values()), key=lambda m: -abs(m["z"])
        ),
        "energy": _energy(draws, reference),
        "basins": basin_shares(draws, reference),
        "regions": region_shares(draws, reference),
        "torsions": torsion_shares(draws, reference),
    }
    result["missing_modes"] = missing_modes(draws, reference)
    result["flagged"] = bool(result["missing_modes"])
    result["warnings"] = _warnings(draws, reference, result)
    return result


def _origin(reference: Reference) -> dict[str, Any]:
    energy = reference.energy[1]
    # Slow exchange between basins shows in their populations first.
    sizes = [*(s.n_effective for s in reference.surfaces), energy.n_effective]
    sizes += [] if reference.populations is None else [reference.populations.n_effective]
    sizes += [reference.states[residue][1].n_effective for residue in reference.regions]
    return {
        "n_frames": reference.n_frames,
        "n_configurations": len(reference),
        "n_walker_groups": energy.degrees_of_freedom + 1,
        "n_effective": min(sizes),
        "fraction_outside": reference.fraction_outside,
        "doubt": reference.doubt,
        "metadata": reference.metadata,
    }


def _weights(draws: Draws) -> dict[str, Any]:
    finite = draws.log_w[np.isfinite(draws.log_w)]
    summary = weight_summary(torch.from_numpy(draws.log_w))
    elbo = float(finite.mean())
    return summary | {
        "psis_k_hat": psis_k_hat(draws.log_w),
        "elbo": elbo,
        "reverse_kl": summary["log_z"] - elbo,
    }


def _density(draws: Draws, reference: Reference, weights: dict[str, Any]) -> dict[str, Any]:
    log_w, group = draws.log_w_reference, walker_groups(reference.walker.numpy())
    bound, error = metrics.eubo(log_w, group)
    nll, nll_error = metrics.grouped_mean(log_w + reference.u.numpy(), group)
    return {
        "forward_ess": metrics.forward_ess(log_w),
        "eubo": bound,
        "eubo_error": error,
        "forward_kl": bound - weights["log_z"],
        "nll": nll,
        "nll_error": nll_error,
    }


def _surface(draws: Draws, reference: Reference, surface: Surface) -> dict[str, Any]:
    drawn = draws.table(surface_name(surface.pair, len(surface.probability)))
    return {
        "pair": list(surface.pair),
        "n_bins": len(surface.probability),
        "before": _distances(surface.probability, drawn.raw, surface.n_effective, float(drawn.count.sum())),
        "after": _distances(surface.probability, drawn.weight, surface.n_effective, draws.n_effective),
        "halves": {
            "kl": metrics.kl_divergence(*surface.halves),
            "tv": metrics.total_variation(*surface.halves),
        },
        "n_effective_reference": surface.n_effective,
    }


def _distances(p: np.ndarray, q: np.ndarray, n_p: float, n_q: float) -> dict[str, float]:
    floor = metrics.noise_floor(p, q, n_p, n_q)
    values = {"kl": metrics.kl_divergence(p, q), "tv": metrics.total_variation(p, q)}
    return (
        values
        | {f"{name}_floor": floor[name].mean for name in values}
        | {f"{name}_floor_high": floor[name].high for name in values}
    )


def _marginal(draws: Draws, axis: Axis, histogram: Histogram) -> dict[str, Any]:
    drawn, p = draws.table(axis.name), histogram.probability
    floor = metrics.noise_floor(p, drawn.weight, histogram.n_effective, draws.n_effective)["tv"]
    unweighted = Drawn.build(
        draws.bins[axis.name][0], np.isfinite(draws.log_w) / np.isfinite(draws.log_w).sum(), axis.n_bins
    )
    return {
        "name": axis.name,
        "z_before": cumulative_z(histogram, unweighted),
        "z": cumulative_z(histogram, drawn),
        "tv_before": metrics.total_variation(p, drawn.raw),
        "tv": metrics.total_variation(p, drawn.weight),
        "tv_floor": floor.mean,
        "tv_floor_high": floor.high,
        "tv_halves": metrics.total_variation(*histogram.halves),
        "n_effective_reference": histogram.n_effective,
    }


def cumulative_z(histogram: Histogram, drawn: Drawn) -> float:
    """The largest difference of the cumulative shares over its combined error, in normal deviates.

    Positive if the generator has more below. Kolmogorov's statistic with errors of its own at every edge,
    over those with at least 0.2 % of the pooled shares on either side. The draws' error is at least that of
    as many draws of the pooled share: where few fell on one side, their own scatter says too little.
    """
    p, q = np.cumsum(histogram.probability), np.cumsum(drawn.weight)
    error = histogram.combined_error(np.tri(len(p)))
    pooled = (p + q) / 2
    least = drawn.error_of_share(pooled)
    z = metrics.z_score(
        q - p, error, histogram.degrees_of_freedom, np.maximum(drawn.cumulative_error(), least)
    )
    inner = z[(pooled > TAIL) & (pooled < 1 - TAIL)]
    return float(inner[np.abs(inner).argmax()]) if len(inner) else 0.0


def _energy(draws: Draws, reference: Reference) -> dict[str, Any]:
    axis, histogram = reference.energy
    drawn, p = draws.table("energy"), histogram.probability
    floor = metrics.noise_floor(p, drawn.weight, histogram.n_effective, draws.n_effective, edges=axis.edges)
    return {
        "overlap_before": 1 - metrics.total_variation(p, drawn.raw),
        "overlap": 1 - metrics.total_variation(p, drawn.weight),
        "overlap_floor": 1 - floor["tv"].mean,
        "wasserstein_before": metrics.wasserstein_1(p, drawn.raw, axis.edges),
        "wasserstein": metrics.wasserstein_1(p, drawn.weight, axis.edges),
        "wasserstein_floor": floor["wasserstein"].mean,
        "wasserstein_floor_high": floor["wasserstein"].high,
        "wasserstein_halves": metrics.wasserstein_1(histogram.halves[0], histogram.halves[1], axis.edges),
        "z": cumulative_z(histogram, drawn),
    }


def missing_modes(draws: Draws, reference: Reference) -> list[dict[str, Any]]:
    """What is missing, or populated by the generator alone; empty if nothing is.

    Each finding is the kind of test, a sentence and, for a region, its numbers.
    """
    found: list[tuple[str, modes.Finding]] = []
    if reference.populations is not None:
        names = [basin.name for basin in reference.basins]
        found += [
            ("basin", f) for f in modes.missing_basins(reference.populations, draws.table("basins"), names)
        ]
    n_regions = sum(len(reference.states[residue][0]) for residue in reference.regions)
    for residue in reference.regions:
        regions, shares = reference.states[residue]
        labels = [f"{residue} {region}" for region in regions]
        drawn = draws.table(state_name(residue))
        found += [
            ("region", f)
            for f in modes.compare(labels, shares, drawn, np.eye(len(labels)), n_tests=n_regions)
        ]
    periodic = [pair for pair in reference.marginals.values() if pair[0].is_periodic]
    for axis, histogram in periodic:
        arcs = modes.missing_arcs(axis.name, histogram, draws.table(axis.name), len(periodic))
        found += [("arc", f) for f in arcs]
    group = walker_groups(reference.walker.numpy())
    found += [("weights", f) for f in modes.missing_weights(draws.log_w, draws.log_w_reference, group)]
    listed = [{"kind": kind, "text": str(f), **asdict(f)} for kind, f in found]
    sentences = {
        "outliers": modes.outliers(draws.log_w, draws.log_w_reference),
        "forward ESS": modes.collapsed(
            metrics.forward_ess(draws.log_w_reference), draws.n_effective / len(draws.log_w)
        ),
    }
    return listed + [{"kind": kind, "text": text} for kind, text in sentences.items() if text]


def _warnings(draws: Draws, reference: Reference, result: dict[str, Any]) -> list[str]:
    fault = "; the reference may be at fault" if reference.doubt else ""
    warnings = [f"missing mode? {mode['text']}{fault}" for mode in result["missing_modes"]]
    if reference.doubt:
        warnings.append(
            "the reference may be at fault; its simulation's own test of stationarity says: "
            f"{reference.doubt}; simulate longer"
        )
    if result["psis_k_hat"] > K_HAT_LIMIT:
        warnings.append(
            f"PSIS k-hat is {result['psis_k_hat']:.2f} > {K_HAT_LIMIT:g}, "
            f"{k_hat_meaning(result['psis_k_hat'])}"
        )
    far = [m for m in result["marginals"] if abs(m["z"]) > AGREEMENT]
    if far:
        warnings.append(
            f"{len(far)} of {len(result['marginals'])} marginals differ beyond the combined errors (|z| > "
            f"{AGREEMENT:g}): {far[0]['name']} most"
        )
    warnings += [
        f"basin {b['name']}: {100 * b['population']:.3g} % against {100 * b['reference']:.3g} % of the "
        f"reference, z = {b['z']:+.1f}"
        for b in result["basins"]
        if abs(b["z"]) > AGREEMENT
    ]
    warnings += _far("regions of residues", "residue", result["regions"])
    warnings += _far("states of torsions", "torsion", result["torsions"])
    n_reference = result["reference"]["n_effective"]
    if n_reference < draws.n_effective / 2:
        warnings.append(
            f"the reference's own error dominates: {n_reference:.3g} effective configurations against "
            f"{draws.n_effective:.3g} of the generator; "
            "differences within the noise floors cannot be resolved with this reference"
        )
    return warnings


def _far(what: str, of: str, rows: list[dict[str, Any]]) -> list[str]:
    """A warning that some of the rows differ, and which one does most."""
    far = sorted((row for row in rows if abs(row["z"]) > AGREEMENT), key=lambda row: -abs(row["z"]))
    if not far:
        return []
    most = far[0]
    return [
        f"{len(far)} of {len(rows)} {what} differ beyond the combined errors (|z| > {AGREEMENT:g}): "
        f"{most[of]} {most['name']} most, {100 * most['population']:.3g} % against "
        f"{100 * most['reference']:.3g} % of the reference, z = {most['z']:+.1f}"
    ]
