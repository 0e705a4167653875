"""The usual forces of a molecule in one pass of compiled loops: float32 on the CPU, several times faster than
term by term.
"""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from boltzgen.energy.geometry import PairList
from boltzgen.energy.terms.angles import HarmonicAngles
from boltzgen.energy.terms.bonds import HarmonicBonds
from boltzgen.energy.terms.gb import OBC
from boltzgen.energy.terms.nonbonded import CutoffNonbonded, Nonbonded
from boltzgen.energy.terms.term import Term
from boltzgen.energy.terms.torsions import PeriodicTorsions

_log = logging.getLogger(__name__)

_KINDS: tuple[type[Term], ...] = (HarmonicBonds, HarmonicAngles, PeriodicTorsions, Nonbonded, OBC)

#: Configurations of 22 atoms that a thread takes at a time; scaled by the number of pairs for other sizes.
_CHUNK_PAIRS = 256 * 231


class Fused:
    """The terms of a force field that are computed together: the first of each kind, without a cutoff.

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
        """Whether there are loops for positions of this dtype and device."""
        on_cpu = x.device.type == "cpu" and self.pairs.first.device.type == "cpu"
        return bool(self.terms) and on_cpu and x.dtype == torch.float32 and _kernels() is not None

    def __call__(self, x: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        """Energy (n,) in kJ/mol and, if wanted, its gradient (n, n_atoms, 3) in kJ/(mol nm), of positions x
        (n, n_atoms, 3) in nm, float32.
        """
        kernels = _kernels()
        assert kernels is not None
        energy = x.new_empty(len(x))
        gradient = x.new_empty(x.shape) if with_gradient else None
        parameters = self._parameters()
        n_blocks = -(-_CHUNK_PAIRS // max(1, len(self.pairs)) // kernels.LANES)
        size = n_blocks * kernels.LANES
        starts = iter(range(0, len(x), size))

        def work() -> None:
            # Whoever is free takes the next chunk: a thread that is held up holds up no other.
            for start in starts:
                rows = slice(start, start + size)
                slope = None if gradient is None else gradient[rows].numpy()
                kernels.run(x[rows].contiguous().numpy(), *parameters, energy[rows].numpy(), slope)

        n_threads = min(torch.get_num_threads(), -(-len(x) // size))
        if n_threads < 2:
            work()
            return energy, gradient
        with ThreadPoolExecutor(n_threads - 1) as pool:
            others = [pool.submit(work) for _ in range(n_threads - 1)]
            work()
        for other in others:
            other.result()
        return energy, gradient

    def _parameters(self) -> tuple[tuple, ...]:
        """Arguments of `kernels.run` between positions and results: arrays without elements for what is not
        there.
        """
        none = np.empty(0)
        bonds: tuple = (np.empty((0, 2), np.int64), none, none)
        angles: tuple = (np.empty((0, 3), np.int64), none, none)
        torsions: tuple = (np.empty((0, 4), np.int64), np.empty((0, 2, 0)), 0.0)
        nonbonded: tuple = (none, none, none)
        born: tuple = (none, none, none, none, np.zeros(8), False)
        for term in self.terms:
            if isinstance(term, HarmonicBonds):
                bonds = (term.atoms.numpy(), *_columns(term.r0, term.k))
            elif isinstance(term, HarmonicAngles):
                angles = (term.atoms.numpy(), *_columns(term.theta0, term.k))
            elif isinstance(term, PeriodicTorsions):
                torsions = (term.atoms.numpy(), term.value.squeeze(3).numpy(), float(term.constant))
            elif isinstance(term, Nonbonded):
                nonbonded = _columns(term.qq, term.c6, term.c12)
            elif isinstance(term, OBC):
                model = term.model
                constants = np.array([*model.polynomial, model.offset, model.self_factor, *model.surface])
                born = (*_columns(term.charge, term.radius, term.scaled, term.qq), constants, model.engulfing)
        return bonds, angles, torsions, (self.pairs.first.numpy(), self.pairs.second.numpy()), nonbonded, born


def _columns(*columns: Tensor) -> tuple[np.ndarray, ...]:
    return tuple(column.squeeze(1).numpy() for column in columns)


@cache
def _kernels() -> ModuleType | None:
    """The compiled loops, or None where numba cannot be imported. They are compiled at their first call,
    which takes seconds.
    """
    try:
        from boltzgen.kernels import forces as kernels
    except (ImportError, OSError) as error:
        _log.warning("energies are computed without compiled loops, several times slower: %s", error)
        return None
    return kernels
