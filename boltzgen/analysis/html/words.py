"""What the numbers of an analysis say, in sentences, from its report."""

from typing import Any

from boltzgen.free_energy.agreement import agreement_in_words
from boltzgen.free_energy.result import MIN_EFFECTIVE
from boltzgen.units import percent
from boltzgen.weights import K_HAT_LIMIT, k_hat_meaning, tenths_differ, with_error

Report = dict[str, Any]

#: What a domain leaves out, by the fields of a system's domain and their values.
_DOMAIN = {
    (
        "enantiomer",
        "input",
    ): "One mirror image: every stereocentre keeps the handedness of the input structure.",
    (
        "equivalent_atoms",
        "one labelling",
    ): "One labelling of equivalent atoms: the hydrogens of a CH3 group are not exchanged. Averages of what "
    "does not tell them apart are the same with all labellings.",
    (
        "peptide_bonds",
        "trans",
    ): "Trans peptide bonds: |ω| above 90° at secondary amides. Their cis conformations are not part of the "
    "ensemble, so that no number here says how rare they are. The bond before proline is no secondary amide: "
    "it takes both forms, and they are counted.",
}


def lead(report: Report) -> str:
    """The report in one sentence."""
    n, temperature = f"{report['n_samples']:,}", f"{report['temperature']:g} K"
    if report["source"] != "samples":
        return f"{n} frames of a {report['source']}, of equal weight, at {temperature}."
    return (
        f"{percent(report['sampling_efficiency'])} of the draws count: {n} weighted draws say as much as "
        f"{report['effective_sample_size']:,.0f} independent conformations at {temperature}."
    )


def doubts(report: Report) -> list[str]:
    """Why not to rely on the numbers; empty where nothing is known."""
    if report["source"] != "samples":
        return [
            "The frames are counted as if they were independent of each other. Where they are not, as in a "
            "trajectory, intervals are too narrow."
        ]
    found = [f"{report['doubt'][0].upper()}{report['doubt'][1:]}."] if report["doubt"] else []
    if report["agreement"]:
        sentence, doubtful = agreement_in_words(report["agreement"])
        found += [f"{sentence[0].upper()}{sentence[1:]}."] * doubtful
    size, k_hat = report["effective_sample_size"], report["psis_k_hat"]
    low, high = (report[f"sampling_efficiency_blocks_{end}"] for end in ("low", "high"))
    if tenths_differ(low, high, report["effective_sample_size"]):
        found.append(
            f"The efficiency is {percent(low)} in one tenth of the draws and {percent(high)} in another: a "
            "few draws decide it."
        )
    heavy = k_hat is not None and k_hat > K_HAT_LIMIT
    if size < MIN_EFFECTIVE:
        more = "" if heavy else ": draw more before you rely on these numbers"
        found.append(f"Only {size:.3g} effective draws{more}.")
    if heavy:
        found.append(
            f"PSIS k-hat is {k_hat:.2f}, above {K_HAT_LIMIT}: a few large weights decide, however many draws "
            "there are. Train longer."
        )
    return found


def agreement(report: Report) -> list[str]:
    """That several samples agree, in a sentence; nothing of a single one, or where it is a doubt."""
    sentence, doubtful = agreement_in_words(report["agreement"]) if report["agreement"] else ("", True)
    return [] if doubtful else [f"{sentence[0].upper()}{sentence[1:]}."]


def _moves(report: Report) -> str:
    """That draws were refined, which is not the generator's merit."""
    n = report["refined"]
    return f" Each draw made {n} moves after the generator, and has the weight of its whole way." if n else ""


def weights(report: Report) -> list[tuple[str, str]]:
    """What weights say of themselves, as pairs of a number with its name and of what it means."""
    if report["source"] != "samples":
        return []
    low, high = (report[f"sampling_efficiency_blocks_{end}"] for end in ("low", "high"))
    efficiency, k_hat, error = report["sampling_efficiency"], report["psis_k_hat"], report["log_z_error"]
    tenths = (
        ""
        if low is None or not low <= efficiency <= high
        else f" Each tenth of the draws by itself has between {percent(low)} and {percent(high)}: where "
        "these differ by much, a few draws decide."
    )
    log_z = f"{report['log_z']:.2f}" if error is None else with_error(report["log_z"], error)
    return [
        (
            f"{'Effective share' if report['refined'] else 'Sampling efficiency'} {percent(efficiency)}",
            f"The share of the draws that count. A perfect generator has 100 %.{_moves(report)}{tenths}",
        ),
        (
            f"Clipped efficiency {percent(report['sampling_efficiency_clipped'])}",
            "The same with the largest 0.01 % of the weights cut to the smallest among them: far above the "
            "efficiency, it shows that single draws of large weight cost most. Averages use all weights.",
        ),
        (
            f"Largest weight {100 * report['largest_weight_share']:.3g} %",
            "What the heaviest draw holds of the whole weight. All estimates lean on it by as much.",
        ),
        (
            "PSIS k-hat " + ("not known" if k_hat is None else f"{k_hat:.2f}"),
            f"How heavy the tail of the weights is. {k_hat_meaning(k_hat).capitalize()}.",
        ),
        (
            f"log Z {log_z}",
            "Logarithm of the partition function on the domain below. Only differences between "
            "log Z of one molecule mean something, such as those between two temperatures or force fields."
            + (" Its error is not estimated with such weights." if error is None else ""),
        ),
        (
            f"Outside the domain {100 * report['fraction_outside_domain']:.2g} %",
            "Draws that the generator put where the target has no density; they have weight zero.",
        ),
    ]


def domain(report: Report) -> list[str]:
    """On which conformations the numbers hold."""
    known = report["domain"] or {}
    found = [_DOMAIN.get((key, value), f"{key.replace('_', ' ')}: {value}") for key, value in known.items()]
    if report["source"] == "trajectory":
        found.append(
            "These are the limits of generators. The frames of a trajectory are counted as they are."
        )
    if report["measure"] == "constrained-dynamics":
        found.append("Rigid bonds: weighted as constrained dynamics samples them (with the Fixman factor).")
    return found


def meanings(report: Report) -> list[tuple[str, str]]:
    """What the columns and pictures mean, by their names."""
    draw = "draw" if report["source"] == "samples" else "frame"
    found = [
        ("Population", f"The share of the ensemble in a state: the weight of its {draw}s over that of all."),
        (
            "95 % interval",
            "An interval made in this way holds the true value in about 95 of 100 repetitions. “< 0.05” is "
            f"an upper bound, where a state has fewer than ten effective {draw}s. “Not estimated”: a few "
            f"{draw}s of large weight would decide it. No interval knows of a state that was never drawn.",
        ),
        (
            "ΔF",
            "Free energy of a state relative to the most populated one, −kT ln of the ratio of populations.",
        ),
        (
            f"Effective {draw}s",
            f"How many {draw}s of equal weight would say as much about the state as its own do.",
        ),
        (
            "Free energy of a cell",
            "−kT ln of the weight in it, relative to the heaviest cell. It depends on the width of the "
            "cells. Grey cells hold less than a tenth of an effective "
            f"{draw}: what is there would be another in another sample. Empty cells have no {draw}s.",
        ),
        (
            "Conformations shown",
            "Chosen to show every state and every part of the surfaces, and then by weight. They are "
            "no equilibrium sample: take populations from the tables, not from counting them. All are "
            "superposed on one of them by their heavy atoms.",
        ),
    ]
    if report["unpaired"]:
        found.append(
            (
                "Not counted",
                f"{', '.join(report['unpaired'])}: residues at ends of the chain without a cap have only one "
                "of φ and ψ, and no regions.",
            )
        )
    return found
