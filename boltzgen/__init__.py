"""Molecular Boltzmann generators: exactly weighted conformations from a force field.

What a script needs is here, loaded when it is first used::

    from boltzgen import BoltzmannGenerator, ForceFieldEnergy, System

The functions are named after the commands of the command line.
"""

from typing import TYPE_CHECKING

from boltzgen.lazy import lazy_names

if TYPE_CHECKING:
    from boltzgen.analysis.plots import plot_ramachandran
    from boltzgen.analysis.report import analyze
    from boltzgen.analysis.states import state_energies
    from boltzgen.analysis.strain import strain
    from boltzgen.energy.choose import energy_for
    from boltzgen.energy.forcefield import ForceFieldEnergy
    from boltzgen.energy.openmm import OpenMMEnergy
    from boltzgen.energy.torch_energy import TorchEnergy
    from boltzgen.evaluation.evaluate import evaluate
    from boltzgen.evaluation.reference import Reference
    from boltzgen.generator.generator import BoltzmannGenerator
    from boltzgen.molecule.system import System
    from boltzgen.preparation.run import prepare
    from boltzgen.samples.sizes import radius_of_gyration
    from boltzgen.samples.weighted_samples import WeightedSamples
    from boltzgen.simulation.forward import forward_test
    from boltzgen.simulation.run import simulate
    from boltzgen.statistics.file import load_statistics
    from boltzgen.statistics.merge import merge
    from boltzgen.thermodynamics.hamiltonians import hamiltonian_difference
    from boltzgen.training.run import train

__version__ = "0.1.0"

#: Where each name is defined. The modules are heavy (PyTorch, OpenMM), so none is imported before it is
#: needed.
_HOMES = {
    "BoltzmannGenerator": "boltzgen.generator.generator",
    "ForceFieldEnergy": "boltzgen.energy.forcefield",
    "OpenMMEnergy": "boltzgen.energy.openmm",
    "Reference": "boltzgen.evaluation.reference",
    "System": "boltzgen.molecule.system",
    "TorchEnergy": "boltzgen.energy.torch_energy",
    "WeightedSamples": "boltzgen.samples.weighted_samples",
    "analyze": "boltzgen.analysis.report",
    "energy_for": "boltzgen.energy.choose",
    "evaluate": "boltzgen.evaluation.evaluate",
    "forward_test": "boltzgen.simulation.forward",
    "hamiltonian_difference": "boltzgen.thermodynamics.hamiltonians",
    "load_statistics": "boltzgen.statistics.file",
    "merge": "boltzgen.statistics.merge",
    "plot_ramachandran": "boltzgen.analysis.plots",
    "prepare": "boltzgen.preparation.run",
    "radius_of_gyration": "boltzgen.samples.sizes",
    "simulate": "boltzgen.simulation.run",
    "state_energies": "boltzgen.analysis.states",
    "strain": "boltzgen.analysis.strain",
    "train": "boltzgen.training.run",
}

__all__ = [
    "BoltzmannGenerator",
    "ForceFieldEnergy",
    "OpenMMEnergy",
    "Reference",
    "System",
    "TorchEnergy",
    "WeightedSamples",
    "__version__",
    "analyze",
    "energy_for",
    "evaluate",
    "forward_test",
    "hamiltonian_difference",
    "load_statistics",
    "merge",
    "plot_ramachandran",
    "prepare",
    "radius_of_gyration",
    "simulate",
    "state_energies",
    "strain",
    "train",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
