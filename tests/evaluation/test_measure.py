"""Evaluation against a reference of constrained dynamics."""

import torch

from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.evaluation.draws import draw
from boltzgen.evaluation.evaluate import evaluate
from boltzgen.evaluation.reference import Reference
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.samples.measure import mass_metric_log_det
from tests.helpers.peroxide import peroxide

N = 512


def test_draws_and_reference_have_the_factor() -> None:
    system = peroxide(constraints=True)
    energy = ForceFieldEnergy(system)
    generator = BoltzmannGenerator.for_system(system, energy)
    made = generator.sample(N, energy, seed=1)
    reference = Reference.from_frames(system, made.x, made.u, made.log_w, torch.arange(N) % 8)
    plain = draw(generator, energy, reference, n=N)
    found = draw(generator, energy, reference, n=N, measure="constrained-dynamics")
    factor = 0.5 * mass_metric_log_det(system, generator.sample(N, energy).x)
    torch.testing.assert_close(torch.from_numpy(found.log_w - plain.log_w), factor)
    there = 0.5 * mass_metric_log_det(system, reference.x)
    torch.testing.assert_close(torch.from_numpy(found.log_w_reference - plain.log_w_reference), there)
    assert float(factor.std()) > 1e-4
    result = evaluate(generator, reference, energy=energy, n=N, measure="constrained-dynamics")
    assert result["measure"] == "constrained-dynamics"
    assert "mass-metric" in result["conventions"][-1]
    assert evaluate(generator, reference, energy=energy, n=N)["measure"] == "flexible-limit"
