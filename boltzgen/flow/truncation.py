"""The density of truncated accept/reject sampling, in log space.

With Z = E_pi[a] the acceptance rate of a proposal pi, T the truncation and alpha = (1 - Z)^(T - 1), it is
p(z) = pi(z) [(1 - alpha) a(z) / Z + alpha] (Stimper, Schölkopf and Hernández-Lobato 2022, arXiv:2110.15828).
"""

import math

import torch
from torch import Tensor


def checked_truncation(truncation: int) -> int:
    """The truncation T itself; raises ValueError where it is below 1."""
    if truncation < 1:
        raise ValueError(f"`truncation` must be at least 1 proposal, got {truncation}")
    return truncation


def log_resampling(log_a: Tensor, log_z: Tensor, truncation: int) -> Tensor:
    """log of p / pi = (1 - alpha) a / Z + alpha, shape of log_a."""
    if truncation == 1:
        return torch.zeros_like(log_a)
    log_alpha = (truncation - 1) * _log1m_exp(log_z)
    return torch.logaddexp(_log1m_exp(log_alpha) + log_a - log_z, log_alpha.expand_as(log_a))


def expected_proposals(log_z: Tensor, truncation: int) -> Tensor:
    """Expected number of proposals for a draw, (1 - (1 - Z)^T) / Z, shape of log_z."""
    return -torch.expm1(truncation * _log1m_exp(log_z)) / log_z.exp()


def log_unforced(log_z: Tensor, truncation: int) -> Tensor:
    """log(1 - alpha): the log of the chance that a draw is accepted before its last proposal."""
    return _log1m_exp((truncation - 1) * _log1m_exp(log_z))


def _log1m_exp(log_x: Tensor) -> Tensor:
    """log(1 - exp(log_x)) for log_x <= 0, accurate at both ends.

    Zero counts as the next smaller number, so that gradients stay finite.
    """
    log_x = log_x.clamp(max=-torch.finfo(log_x.dtype).tiny)
    return torch.where(log_x > -math.log(2.0), (-torch.expm1(log_x)).log(), torch.log1p(-torch.exp(log_x)))
