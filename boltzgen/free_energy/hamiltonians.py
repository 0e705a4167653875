"""Free-energy differences of two targets from draws of two samplers, each of which knows its density.

Targets A and B have reduced energies u_A, u_B and Z_X = integral of exp(-u_X); samplers have normalised
densities q_A, q_B. Everything here takes arrays and returns f_B - f_A = -(ln Z_B - ln Z_A) in kT.
"""

import contextlib
import io
import logging
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import expit, logsumexp

from boltzgen.free_energy.means import from_influence
from boltzgen.free_energy.result import Result, difference, joined, warnings_of
from boltzgen.free_energy.state_functions import free_energy
from boltzgen.weights import effective_sample_size, normalized_weights

A, B = 0, 1
#: What pymbar gets in place of an infinite energy.
_INFINITE = 1e6


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of one sampler, as both targets and both samplers see them.

    Attributes:
        u: reduced energies of targets A and B, float64 (n, 2); +inf outside the domain.
        log_q: log-densities of samplers A and B, float64 (n, 2); -inf where a sampler does not reach.
        source: the sampler that made them, 0 (A) or 1 (B).

    Raises:
        ValueError: other shapes, no draws, or a density of zero where the sampler itself has drawn.
    """

    u: np.ndarray
    log_q: np.ndarray
    source: int

    def __post_init__(self) -> None:
        if self.u.shape != self.log_q.shape or self.u.ndim != 2 or self.u.shape[1] != 2 or len(self.u) == 0:
            raise ValueError(
                f"expected `u` and `log_q` of one shape (n, 2), n > 0, got {self.u.shape} and "
                f"{self.log_q.shape}"
            )
        if not np.isfinite(self.log_q[:, self.source]).all():
            raise ValueError("expected finite log-densities of the sampler that made the draws")
        for name in ("u", "log_q"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))

    def __len__(self) -> int:
        return len(self.u)

    def __getitem__(self, part: slice) -> "Draws":
        """Some of the draws."""
        return Draws(self.u[part], self.log_q[part], self.source)

    def log_w(self, target: int) -> np.ndarray:
        """Log-weights (n,) of these draws to a target, -inf outside its domain."""
        return np.where(
            np.isfinite(self.u[:, target]), -self.u[:, target] - self.log_q[:, self.source], -np.inf
        )


def independent(from_a: Draws, from_b: Draws, **fields: Any) -> Result:
    """f_B - f_A from ln Z_B of B's draws and ln Z_A of A's own; the errors are independent.

    Args:
        from_a: draws of sampler A.
        from_b: draws of sampler B.
        **fields: of the `Result`, for instance `temperature`.
    """
    own = [free_energy(draws.log_w(draws.source)) for draws in (from_a, from_b)]
    named = [
        replace(f, warnings=_about(draws, draws.source, f.warnings), notes=())
        for f, draws in zip(own, (from_a, from_b), strict=True)
    ]
    return replace(difference(named[B], named[A]), **fields)


def one_sided(draws: Draws, **fields: Any) -> Result:
    """f_B - f_A from the draws of one sampler: exponential averaging under its own target.

    With A's draws this is -ln <exp(-(u_B - u_A))>_A (Zwanzig, J. Chem. Phys. 22, 1420, 1954), the average
    with the weights to A: the ratio of the sums of the weights to B and to A. With B's draws it is
    ln <exp(-(u_A - u_B))>_B, the same ratio. Weights of the other target have heavy tails where its
    conformations are rare among the draws.
    """
    log_w = np.stack([draws.log_w(target) for target in (A, B)])
    warnings = [_about(draws, target, warnings_of(log_w[target])) for target in (A, B)]
    total = logsumexp(log_w, axis=1)
    shares = np.exp(log_w - total[:, None])
    value = float(total[A] - total[B])
    return _from_parts(value, [shares[A] - shares[B]], joined(*warnings), fields)


def bar(from_a: Draws, from_b: Draws, **fields: Any) -> Result:
    """f_B - f_A by Bennett's acceptance ratio from draws with weights to their own targets.

    With the work w_F = u_B - u_A of A's draws, w_R = u_A - u_B of B's, and m = ln(n_A / n_B) of the effective
    numbers, f_B - f_A is the solution c of

        ln(n_A <1 / (1 + exp(m + w_F - c))>_A) = ln(n_B <1 / (1 + exp(-m + w_R + c))>_B)

    (Bennett, J. Comput. Phys. 22, 245, 1976), with weighted averages. The error is that of the two averages,
    carried through to c. Densities of the other sampler are not used.
    """
    sides = []
    for draws in (from_a, from_b):
        log_w = torch.from_numpy(draws.log_w(draws.source))
        weights, n = normalized_weights(log_w).numpy(), effective_sample_size(log_w)
        used = weights > 0
        work = draws.u[:, 1 - draws.source] - np.where(used, draws.u[:, draws.source], 0.0)
        sides.append((np.where(used, work, 0.0), weights, n))
    (forward, w_a, n_a), (reverse, w_b, n_b) = sides
    m = math.log(n_a / n_b)

    def averages(c: float) -> tuple[np.ndarray, np.ndarray]:
        return expit(-(m + forward - c)), expit(-(-m + reverse + c))

    def unbalance(c: float) -> float:
        ours, theirs = averages(c)
        return m + math.log(max(w_a @ ours, 1e-300)) - math.log(max(w_b @ theirs, 1e-300))

    used = np.concatenate((forward[w_a > 0], -reverse[w_b > 0]))
    used = used[np.isfinite(used)]
    if len(used) == 0:
        raise ValueError("no draw of either sampler has a finite energy in both targets: nothing overlaps")
    low, high = float(used.min()) - 50.0 - abs(m), float(used.max()) + 50.0 + abs(m)
    c = float(brentq(unbalance, low, high, xtol=1e-12))
    slope, parts, overlap = 0.0, [], []
    for accepted, weights in zip(averages(c), (w_a, w_b), strict=True):
        mean = float(weights @ accepted)
        slope += float(weights @ (accepted * (1 - accepted))) / mean
        parts.append(weights * (accepted - mean) / mean)
        with np.errstate(divide="ignore"):
            overlap.append(np.log(weights * accepted))
    # The solution falls with the first average and rises with the second.
    parts = [-parts[A] / slope, parts[B] / slope]
    warnings = joined(
        _about(from_a, A, warnings_of(from_a.log_w(A))),
        _about(from_b, B, warnings_of(from_b.log_w(B))),
        warnings_of(overlap[A], "A's draws where B is"),
        warnings_of(overlap[B], "B's draws where A is"),
    )
    return _from_parts(c, parts, warnings, fields)


def mbar(from_a: Draws, from_b: Draws, **fields: Any) -> Result:
    """f_B - f_A by pymbar's MBAR: the samplers are sampled states, the targets are states without draws.

    Sampled states have the reduced potentials -ln q_A and -ln q_B (Shirts and Chodera, J. Chem. Phys. 129,
    124105, 2008). MBAR estimates their free energies, which are zero but for what lies outside the domain; it
    is not told. `mixture` uses that they are known.

    Raises:
        ValueError: no draw is where both samplers reach.
    """
    pymbar = _pymbar()
    u = np.concatenate([np.concatenate((-d.log_q, d.u), axis=1) for d in (from_a, from_b)]).T
    inside = np.isfinite(u[2:]).any(axis=0)
    counts = [int(inside[: len(from_a)].sum()), int(inside[len(from_a) :].sum()), 0, 0]
    if min(counts[:2]) == 0 or not np.isfinite(u[:2, inside]).all(axis=0).any():
        raise ValueError("no draw is where both samplers reach: the two domains do not overlap")
    energies = np.nan_to_num(u[:, inside], nan=_INFINITE, posinf=_INFINITE, neginf=_INFINITE)
    # Energies about that of the samplers, so that exponents stay small.
    shift = np.array([0.0, 0.0, *np.median(energies[2:] - energies[:1], axis=1)])[:, None]
    found = pymbar.MBAR(energies - shift, counts).compute_free_energy_differences()
    value = float(found["Delta_f"][2, 3] + shift[3, 0] - shift[2, 0])
    return Result.normal(
        value, float(found["dDelta_f"][2, 3]), warnings=_mixture_warnings(from_a, from_b), **fields
    )


def mixture(from_a: Draws, from_b: Draws, **fields: Any) -> Result:
    """f_B - f_A by importance sampling from the mixture of both samplers, whose density is known.

    All draws together are stratified draws of q = (n_A q_A + n_B q_B) / n, so Z_X is the mean of
    exp(-u_X) / q (the balance heuristic: Veach and Guibas, SIGGRAPH 1995). (q_A - q_B) / q has mean zero,
    because densities are normalised, and is subtracted as control variate with the coefficient that leaves
    the least variance (Owen and Zhou, J. Am. Stat. Assoc. 95, 135, 2000; Tan, J. Am. Stat. Assoc. 99, 1027,
    2004). Draws of X outside the domain count there as n / n_X with X's sign, which keeps the mean at zero.
    """
    n_a, n_b = len(from_a), len(from_b)
    n = n_a + n_b
    strata = [slice(0, n_a), slice(n_a, n)]
    log_q = np.concatenate((from_a.log_q, from_b.log_q))
    u = np.concatenate((from_a.u, from_b.u))
    inside = np.isfinite(u).any(axis=1)
    log_mixed = np.logaddexp(math.log(n_a / n) + log_q[:, A], math.log(n_b / n) + log_q[:, B])
    shares = np.exp(log_q - log_mixed[:, None])
    # A sampler's draws outside stand for what its density has there, which it alone is asked for.
    outside = np.repeat([[n / n_a, 0.0], [0.0, n / n_b]], [n_a, n_b], axis=0)
    shares = np.where(inside[:, None], shares, outside)
    control = shares[:, A] - shares[:, B]
    relative, log_means = [], []
    for target in (A, B):
        log_w = np.where(np.isfinite(u[:, target]), -u[:, target] - log_mixed, -np.inf)
        log_mean = float(logsumexp(log_w)) - math.log(n)
        relative.append(np.exp(log_w - log_mean))
        log_means.append(log_mean)
    centred = np.concatenate([control[part] - control[part].mean() for part in strata])
    square = float(centred @ centred)
    corrected = []
    for k in (A, B):
        slope = float(centred @ relative[k]) / square if square > 0 else 0.0
        relative[k] = relative[k] - slope * control
        corrected.append(log_means[k] + math.log(max(float(relative[k].mean()), 1e-300)))
    influence = relative[A] / relative[A].mean() - relative[B] / relative[B].mean()
    value = corrected[A] - corrected[B]
    parts = [influence[part] / n for part in strata]
    return _from_parts(value, parts, _mixture_warnings(from_a, from_b), fields)


def _mixture_warnings(from_a: Draws, from_b: Draws) -> tuple[str, ...]:
    """Doubts about the weights of all draws, as those of the mixture, to either target."""
    n_a, n_b = len(from_a), len(from_b)
    log_q = np.concatenate((from_a.log_q, from_b.log_q))
    u = np.concatenate((from_a.u, from_b.u))
    log_mixed = np.logaddexp(math.log(n_a) + log_q[:, A], math.log(n_b) + log_q[:, B])
    log_w = np.where(np.isfinite(u), -u - log_mixed[:, None], -np.inf)
    return joined(*(warnings_of(log_w[:, k], f"weights of all draws to {'AB'[k]}") for k in (A, B)))


def _from_parts(
    value: float, parts: list[np.ndarray], warnings: tuple[str, ...], fields: dict[str, Any]
) -> Result:
    """An estimate from what each draw adds to it, for each independent set of draws apart."""
    n = sum(map(len, parts))
    influence = n * np.concatenate([part - part.mean() for part in parts])
    return from_influence(value, influence, warnings, **fields)


def _about(draws: Draws, target: int, warnings: tuple[str, ...]) -> tuple[str, ...]:
    """Warnings that say of which draws and which target they are."""
    of = f"{'AB'[draws.source]}'s draws to {'AB'[target]}"
    return tuple(
        w.replace("the weights:", f"weights of {of}:") if "the weights:" in w else f"{of}: {w}"
        for w in warnings
    )


def _pymbar() -> Any:
    """pymbar, without what it prints on being imported."""
    logging.getLogger("pymbar").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        import pymbar
    return pymbar
