"""The compiled path of the force field: its usual forces by kernels, float32 on the CPU.

Several times faster than term by term.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from boltzgen.energy.geometry import PairList
from boltzgen.energy.terms.angles import HarmonicAngles
from boltzgen.energy.terms.bonds import HarmonicBonds
from boltzgen.energy.terms.nonbonded import CutoffNonbonded, Nonbonded
from boltzgen.energy.terms.obc import OBC
from boltzgen.energy.terms.term import Term
from boltzgen.energy.terms.torsions import PeriodicTorsions
from boltzgen.kernels.forces import Parameters, forces
from boltzgen.kernels.runtime import available

_KINDS: tuple[type[Term], ...] = (HarmonicBonds, HarmonicAngles, PeriodicTorsions, Nonbonded, OBC)


class CompiledTerms:
    """The terms of a force field that kernels compute together: the first of each kind, without a cutoff.

    A configuration's energy and gradient have the same bits wherever it is in a batch, and on any number of
    threads.

    Attributes:
        terms: the ones taken; their parameters are read at every call. Others are left to the caller.
    """

    def __init__(self, terms: Iterable[Term], pairs: PairList) -> None:
        self.pairs = pairs
        taken: dict[type[Term], Term] = {}
        for term in terms:
            cut = isinstance(term, CutoffNonbonded) or (
                isinstance(term, OBC) and term.model.cutoff is not None
            )
            for kind in _KINDS:
                if isinstance(term, kind) and not cut:
                    taken.setdefault(kind, term)
        self.terms = list(taken.values())

    def ready(self, x: Tensor) -> bool:
        """Whether there are kernels for positions of this dtype and device."""
        on_cpu = x.device.type == "cpu" and self.pairs.first.device.type == "cpu"
        return bool(self.terms) and on_cpu and x.dtype == torch.float32 and available()

    def __call__(self, x: Tensor, *, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        """Energy (n,) in kJ/mol and, if wanted, its gradient in kJ/(mol nm), of positions x that are `ready`.

        Args:
            x: positions in nm, (n, n_atoms, 3).
            with_gradient: whether the gradient, shaped as x, is wanted; else None is returned for it.
        """
        return forces(x, self._parameters(), with_gradient=with_gradient)

    def _parameters(self) -> Parameters:
        found = Parameters(pairs=(self.pairs.first.numpy(), self.pairs.second.numpy()))
        for term in self.terms:
            if isinstance(term, HarmonicBonds):
                found = found._replace(bonds=(term.atoms.numpy(), *_columns(term.r0, term.k)))
            elif isinstance(term, HarmonicAngles):
                found = found._replace(angles=(term.atoms.numpy(), *_columns(term.theta0, term.k)))
            elif isinstance(term, PeriodicTorsions):
                series = term.series.squeeze(3).numpy()
                found = found._replace(torsions=(term.atoms.numpy(), series, float(term.constant)))
            elif isinstance(term, Nonbonded):
                found = found._replace(nonbonded=_columns(term.qq, term.c6, term.c12))
            elif isinstance(term, OBC):
                model = term.model
                numbers = np.array([*model.polynomial, model.offset, model.self_factor, *model.surface])
                columns = _columns(term.charge, term.radius, term.scaled, term.qq)
                found = found._replace(born=(*columns, numbers, model.engulfing))
        return found


def _columns(*columns: Tensor) -> tuple[np.ndarray, ...]:
    return tuple(column.squeeze(1).numpy() for column in columns)
