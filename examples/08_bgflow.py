"""A flow of bgflow on a batched force field: trained by our loss, reweighted, evaluated.

    python examples/08_bgflow.py [--steps N] [--n N]

The flow is built as bgflow's README builds one, of affine couplings with dense networks, on its normal prior.
Its draws are flow coordinates of alanine dipeptide, the torsions brought onto their circles by a Gaussian's
distribution function. It learns by reverse KL while the temperature falls from 1200 K to 300 K. Then the same
conformations are given to our energy and to bgflow's own bridge to OpenMM, forces included. It is a plain
flow that shows the mechanics; `boltzgen train` makes better ones.

bgflow is not on the package index: without it this ends with a line that tells how to get it.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import openmm
import torch
from torch import Tensor

from boltzgen import ForceFieldEnergy, System, evaluate
from boltzgen.generator.harmonic import HarmonicReference, harmonic_reference
from boltzgen.generator.sampler import FlowSampler
from boltzgen.generator.target import PullbackEnergy
from boltzgen.interop.bgflow import energy_to_bgflow, generator_from_bgflow
from boltzgen.interop.bgflow_package import bgflow
from boltzgen.training.fit import AdaptiveClipping, fit
from boltzgen.training.losses import reverse_kl
from boltzgen.training.objective import FunctionObjective
from boltzgen.training.optimizer import MatrixOptimizer
from boltzgen.training.schedule import annealed_temperature, cosine
from boltzgen.weights import with_error

HOT, BATCH, BLOCKS = 1200.0, 256, 8


def readme_generator(bg: Any, reference: HarmonicReference, energy: ForceFieldEnergy) -> Any:
    """bgflow's generator: couplings on a normal prior, which begins as the harmonic approximation."""
    coordinates = reference.coordinates
    n_periodic, n = coordinates.n_periodic, coordinates.n_periodic + coordinates.n_stiff

    covariance = torch.eye(n, dtype=torch.float64)
    covariance[n_periodic:, n_periodic:] = HOT / energy.temperature * reference.precision.inverse()

    def network(inputs: int, outputs: int, activation: torch.nn.Module) -> Any:
        net = bg.DenseNet([inputs, 128, 128, outputs], activation=activation)
        torch.nn.init.normal_(net._layers[-1].weight, std=1e-3)
        return net

    layers = []
    for k in range(BLOCKS):
        order = torch.randperm(n, generator=torch.Generator().manual_seed(k)).tolist()
        fixed, moved = sorted(order[: n // 2]), sorted(order[n // 2 :])
        split = bg.SplitFlow(fixed, moved)
        coupling = bg.CouplingFlow(
            bg.AffineTransformer(
                shift_transformation=network(len(fixed), len(moved), torch.nn.SiLU()),
                scale_transformation=network(len(fixed), len(moved), torch.nn.Tanh()),
            )
        )
        layers += [split, coupling, bg.InverseFlow(split)]

    split = bg.SplitFlow(n_periodic)
    normal = torch.distributions.Normal(torch.zeros(n_periodic), torch.ones(n_periodic))
    turn = torch.distributions.AffineTransform(-math.pi, 2 * math.pi)
    circle = bg.SequentialFlow([bg.CDFTransform(normal), bg.TorchTransform(turn, 1)])
    layers += [split, bg.WrapFlow(circle, indices=[0]), bg.InverseFlow(split)]

    prior = bg.NormalDistribution(n, mean=torch.zeros(n), cov=covariance.float())
    target = energy_to_bgflow(PullbackEnergy(energy, coordinates), n)
    return bg.BoltzmannGenerator(prior, bg.SequentialFlow(layers), target)


def seconds(evaluate_forces: Callable[[Tensor], Tensor], x: Tensor, repeats: int = 3) -> float:
    """The shortest time of several that energies and forces of x take."""
    found = []
    for _ in range(repeats):
        leaf = x.clone().requires_grad_()
        began = time.perf_counter()
        torch.autograd.grad(evaluate_forces(leaf).sum(), leaf)
        found.append(time.perf_counter() - began)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--n", type=int, default=100_000)
    arguments = parser.parse_args()
    try:
        bg = bgflow()
    except ImportError as error:
        sys.exit(str(error))

    system = System.load("alanine_dipeptide")
    energy = ForceFieldEnergy(system, temperature=300.0)
    torch.manual_seed(0)
    reference = harmonic_reference(system, energy)
    theirs = readme_generator(bg, reference, energy)
    flow = generator_from_bgflow(theirs)

    temperature = annealed_temperature(HOT, energy.temperature, 0.7 * arguments.steps)

    def loss(step: int) -> Tensor:
        target = PullbackEnergy(energy.at(temperature(step)), reference.coordinates)
        return reverse_kl(flow, target, BATCH, cap=30.0)[0]

    began = time.perf_counter()
    fit(
        FunctionObjective(loss),
        MatrixOptimizer(flow, learning_rate=3e-3),
        cosine(arguments.steps),
        range(arguments.steps),
        clipping=AdaptiveClipping({"flow": flow}, 3.0),
    )
    trained = time.perf_counter() - began

    sampler = FlowSampler(system, reference.coordinates, flow, temperature=energy.temperature)
    samples = sampler.sample(arguments.n, energy, seed=0)
    result = evaluate(sampler, energy=energy, n=arguments.n, seed=1)
    print(f"{arguments.steps * BATCH} energies, trained for {trained:.0f} s")
    print(f"efficiency {100 * samples.sampling_efficiency:.2f} % of {len(samples)} draws")
    print(f"efficiency {100 * result['sampling_efficiency']:.2f} % by `evaluate`, with another seed")
    print(f"log Z = {with_error(samples.log_z.value, samples.log_z.error)}")

    x = samples.resample(1000).x
    ours = seconds(energy, x)
    bridged = {platform: seconds(bridge_of(bg, system, platform), x) for platform in ("CPU", "Reference")}
    fastest = min(bridged, key=lambda platform: bridged[platform])
    print(
        f"energies and forces of {len(x)} conformations: {1000 * ours:.1f} ms batched; "
        f"{1000 * bridged[fastest]:.0f} ms by bgflow's OpenMMBridge on the {fastest} platform, "
        f"{bridged[fastest] / ours:.0f} times as long"
    )


def bridge_of(bg: Any, system: System, platform: str) -> Callable[[Tensor], Tensor]:
    """u by bgflow's bridge, in this process: by default it starts one for each core, and may hang.

    Each call has an energy of its own, as one takes a batch for its last one where their texts are equal.
    """
    integrator = openmm.LangevinMiddleIntegrator(300.0, 1.0, 0.001)
    bridge = bg.OpenMMBridge(system.openmm_system, integrator, platform_name=platform, n_workers=1)
    return lambda x: bg.OpenMMEnergy(bridge=bridge).energy(x.flatten(1))  # type: ignore[no-any-return]


if __name__ == "__main__":
    main()
