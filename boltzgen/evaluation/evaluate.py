"""The evaluation of a generator in one call."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from boltzgen.energy.base import Energy
from boltzgen.energy.choose import energy_for
from boltzgen.evaluation.draws import Sampler, draw
from boltzgen.evaluation.page import save_evaluation
from boltzgen.evaluation.reference import Reference, reference_path
from boltzgen.evaluation.summary import summarize
from boltzgen.evaluation.tables import TextTable
from boltzgen.samples.measure import Measure


def evaluate(
    generator: Sampler,
    reference: Reference | None = None,
    *,
    energy: Energy | None = None,
    n: int = 100_000,
    seed: int = 0,
    measure: Measure = "flexible-limit",
    output: str | os.PathLike[str] | None = None,
    more: Sequence[TextTable] = (),
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Compare a generator with a reference ensemble of its system, before and after reweighting.

    Args:
        generator: a `BoltzmannGenerator`, or anything with its draws and densities.
        reference: by default the system's own, `reference.h5` in its folder.
        energy: of the system at the reference's temperature; by default `energy_for`'s, on the generator's
            device.
        n: number of draws.
        seed: of the draws.
        measure: of a constrained molecule's reference, see `samples.measure.weighted_for`:
            ``"constrained-dynamics"`` where constrained molecular dynamics made it.
        output: folder for `evaluation.json`, `.md`, `.png`, `.pdf` and `.html`, made if it is missing; by
            default nothing is written.
        more: tables of something else, such as the forward test's, that the texts begin with.
        progress: called with the number of draws of each chunk.

    Returns:
        Every metric as plain numbers, lists and dictionaries, see `summary.summarize`, `seed` and
        `measure`: what `evaluation.json` holds.

    Raises:
        FileNotFoundError: no `reference` given, and the system has none of its own.
        ValueError: the reference is of another system or temperature, or all weights are zero.
    """
    system = generator.system
    if reference is None:
        reference = Reference.load(reference_path(system), system)
    if energy is None:
        energy = energy_for(system, reference.temperature).to(generator.coordinates.reference.device)
    draws = draw(generator, energy, reference, n=n, seed=seed, measure=measure, progress=progress)
    result = summarize(draws, reference) | {"seed": seed, "measure": measure}
    if measure == "constrained-dynamics":
        result["conventions"].append(
            "weights are those of constrained dynamics: log q is less by 1/2 ln |Z|, the mass-metric factor"
        )
    if output is not None:
        save_evaluation(result, draws, reference, output, more)
    return result
