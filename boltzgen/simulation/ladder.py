"""Temperatures of replica exchange, and the exchanges between them."""

import math

import torch
from torch import Tensor


def temperature_ladder(lowest: float, highest: float, n_degrees: int) -> Tensor:
    """Temperatures in K in geometric progression, float64 (n,), with an acceptance rate of about a third.

    In n_degrees harmonic degrees of freedom, exchanges between T and T (1 + d) have an acceptance rate of
    about erfc(d sqrt(n_degrees) / (2 sqrt 2)) (Kofke, J. Chem. Phys. 117, 6911, 2002, for large n_degrees):
    d = 1.9 / sqrt(n_degrees) gives 0.34.

    Args:
        lowest: end of the ladder in K.
        highest: its other end.
        n_degrees: degrees of freedom, on which the number of temperatures depends.

    Raises:
        ValueError: the ends are not positive, or the wrong way round.
    """
    if not 0 < lowest <= highest:
        raise ValueError(f"expected 0 < lowest <= highest temperature in K, got {lowest} and {highest}")
    if lowest == highest:
        return torch.tensor([lowest], dtype=torch.float64)
    n = 1 + math.ceil(math.log(highest / lowest) / (1.9 / math.sqrt(n_degrees)))
    ladder = torch.exp(torch.linspace(math.log(lowest), math.log(highest), n, dtype=torch.float64))
    ladder[0], ladder[-1] = lowest, highest
    return ladder


def exchange(
    potential: Tensor, beta: Tensor, parity: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Attempt to exchange neighbours, of pairs (0, 1), (2, 3), ... or (1, 2), (3, 4), ...

    An exchange between k and k + 1 is accepted with probability min(1, exp((beta_k - beta_{k+1}) (U_k -
    U_{k+1}))), which leaves the product of the Boltzmann distributions invariant (Geyer 1991; Hukushima &
    Nemoto, cond-mat/9512035).

    Args:
        potential: energies, (n_walkers, n_temperatures) in kJ/mol.
        beta: 1/kT, float64 (n_temperatures,) in mol/kJ.
        parity: 0 or 1, which pairs.
        generator: source of randomness.

    Returns:
        (source, accepted): for every place the temperature index from which its configuration comes, int64
        (n_walkers, n_temperatures); for every neighbouring pair whether it was exchanged, bool (n_walkers,
        n_temperatures - 1).
    """
    n_walkers, n = potential.shape
    u = potential.double()
    log_ratio = (beta[:-1] - beta[1:]) * (u[:, :-1] - u[:, 1:])
    drawn = torch.rand(log_ratio.shape, generator=generator, dtype=torch.float64, device=u.device)
    accepted = drawn.log() < log_ratio
    accepted[:, 1 - parity :: 2] = False
    source = torch.arange(n, device=u.device).repeat(n_walkers, 1)
    step = accepted.long()
    source[:, :-1] += step
    source[:, 1:] -= step
    return source, accepted
