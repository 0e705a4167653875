"""The objectives on energies that a run can be started with, by name."""

from boltzgen.training.energy_objective import EnergyObjective
from boltzgen.training.names import ObjectiveName
from boltzgen.training.reverse_kl_objective import ReverseKL, ReverseKLPath
from boltzgen.training.run_objective import RunObjective

#: Each is made as `cls(task)`. A new objective is a file of its own, a line here, and its name in `names`.
OBJECTIVES: dict[ObjectiveName, type[RunObjective]] = {
    "hierarchical_kl": EnergyObjective,
    "reverse_kl": ReverseKL,
    "reverse_kl_path": ReverseKLPath,
}


def objective_named(name: str) -> type[RunObjective]:
    """The objective of a name; raises ValueError where there is none."""
    for known, objective in OBJECTIVES.items():
        if name == known:
            return objective
    raise ValueError(f"no `objective` called {name!r}; there are: {', '.join(OBJECTIVES)}")
