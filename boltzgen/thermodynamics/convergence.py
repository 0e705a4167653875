"""How a free-energy difference between two Hamiltonians settles with the number of draws."""

from boltzgen.free_energy.convergence import Convergence, convergence
from boltzgen.free_energy.result import Result
from boltzgen.thermodynamics.hamiltonians import METHODS, HamiltonianDifference


def hamiltonian_convergence(
    found: HamiltonianDifference, method: str = METHODS[0], *, points: int = 10
) -> Convergence:
    """An estimate against the number of draws used of each generator, forwards and backwards.

    Args:
        found: draws of both, as many of each.
        method: one of `METHODS`.
        points: as in `convergence`.

    Raises:
        ValueError: no such method, or as `convergence`.
    """
    if method not in METHODS:
        raise ValueError(f"expected `method` to be one of {', '.join(METHODS)}, got {method!r}")

    def estimate(part: slice) -> Result:
        result: Result = getattr(found[part], method)()
        return result

    return convergence(estimate, len(found), points=points)
