"""A molecular-mechanics force field, batched: torch terms built from the parameters of an OpenMM System."""

from typing import Any

import openmm
import torch
from torch import Tensor, nn
from typing_extensions import override

from boltzgen.energy.base import Energy
from boltzgen.energy.compiled import CompiledTerms
from boltzgen.energy.first_order import first_order
from boltzgen.energy.geometry import Geometry, PairList, full_precision
from boltzgen.energy.registry import read_term
from boltzgen.energy.terms.nonbonded import excluded_pairs
from boltzgen.energy.terms.term import Term, UnsupportedForceError
from boltzgen.molecule.system import System

#: Configurations of 22 atoms per chunk that keep a CPU's intermediates in its cache; scaled by the number of
#: pairs for other sizes.
_CHUNK_PAIRS = 1024 * 231


class ForceFieldEnergy(Energy):
    """Reduced energy in kT of a whole batch at once, equal to OpenMM's own.

    Every force of the System becomes a batched term with the same parameters. Gradients are computed with the
    energies, chunk by chunk, where x requires them: memory stays bounded and only the forces are kept. They
    can be used once: a second derivative raises. In float32 on the CPU the usual forces take compiled
    kernels, where numba can be imported.

    Args:
        system: the molecule; its OpenMM System must have no virtual sites or periodic forces. Constraints are
            no forces: a constrained bond mostly has no term at all, and whoever moves the atoms keeps its
            length, as `MolecularCoordinates` does.
        temperature: T in K, by default the system's.

    Raises:
        UnsupportedForceError: the System has something that this class does not compute; `OpenMMEnergy` does.
    """

    def __init__(self, system: System, temperature: Any = None) -> None:
        super().__init__(system.n_atoms, system.temperature if temperature is None else temperature)
        self.system = system
        source = system.openmm_system
        _check_system(source)
        self.pairs = PairList(system.n_atoms, last=excluded_pairs(source))
        terms: dict[str, Term] = {}
        for force in source.getForces():
            term = read_term(force, self.pairs)
            if term is None:
                continue
            kind = type(force).__name__
            count = sum(name.split("_")[0] == kind for name in terms)
            terms[f"{kind}_{count + 1}" if count else kind] = term
        self.terms = nn.ModuleDict(terms)
        self.compiled = CompiledTerms(terms.values(), self.pairs)
        _keep_freed_memory()

    @override
    def potential(self, x: Tensor) -> Tensor:
        # Inside a Function, whether gradients are wanted can no longer be told from x alone.
        flat = (x if torch.is_grad_enabled() else x.detach()).reshape(-1, self.n_atoms, 3)
        energy: Tensor = _Potential.apply(flat, self)
        return energy.reshape(x.shape[:-2])

    def potentials(self, x: Tensor) -> dict[str, Tensor]:
        """Potential energy in kJ/mol, shape (...), of each force by its class name, with a graph.

        For inspection and tests: `potential` of the whole is faster.
        """
        geometry = self._geometry(x.reshape(-1, self.n_atoms, 3))
        return {name: term(geometry).reshape(x.shape[:-2]) for name, term in self.terms.items()}

    def _geometry(self, x: Tensor, casts: dict[Tensor, Tensor] | None = None) -> Geometry:
        return Geometry(x.permute(2, 1, 0).contiguous(), self.pairs, casts)

    def _evaluate(self, x: Tensor, *, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        """Energy (n,) and, if wanted, its gradient, shaped as x (n, n_atoms, 3), without a graph."""
        if not self.compiled.ready(x):
            return self._by_terms(x, list(self.terms.values()), with_gradient=with_gradient)
        energy, gradient = self.compiled(x, with_gradient=with_gradient)
        others = [term for term in self.terms.values() if term not in self.compiled.terms]
        if others:
            more, by_others = self._by_terms(x, others, with_gradient=with_gradient)
            energy += more
            if gradient is not None and by_others is not None:
                gradient += by_others
        return energy, gradient

    def _by_terms(
        self, x: Tensor, terms: list[nn.Module], *, with_gradient: bool
    ) -> tuple[Tensor, Tensor | None]:
        with full_precision(x.device.type):
            casts: dict[Tensor, Tensor] = {}
            chunks = x.split(self.chunk_size(x.device))
            if not with_gradient:
                return torch.cat([self._chunk(chunk, terms, casts) for chunk in chunks]), None
            energies, gradients = zip(
                *(self._chunk_with_gradient(chunk, terms, casts) for chunk in chunks), strict=True
            )
        return torch.cat(energies), torch.cat(gradients)

    def _chunk(self, x: Tensor, terms: list[nn.Module], casts: dict[Tensor, Tensor]) -> Tensor:
        geometry = self._geometry(x, casts)
        energy = x.new_zeros(len(x))
        for term in terms:
            energy = energy + term(geometry)
        return energy

    def _chunk_with_gradient(
        self, x: Tensor, terms: list[nn.Module], casts: dict[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            energy = self._chunk(leaf, terms, casts)
            gradient = (
                torch.autograd.grad(energy.sum(), leaf)[0] if energy.requires_grad else torch.zeros_like(leaf)
            )
        return energy.detach(), gradient

    def chunk_size(self, device: torch.device) -> int:
        """Configurations computed at a time, term by term."""
        return max(
            1, (_CHUNK_PAIRS if device.type == "cpu" else 64 * _CHUNK_PAIRS) // max(1, len(self.pairs))
        )


class _Potential(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, energy: ForceFieldEnergy) -> Tensor:
        value, gradient = energy._evaluate(x.detach(), with_gradient=ctx.needs_input_grad[0])
        if gradient is not None:
            ctx.save_for_backward(gradient, x)
        return value

    @staticmethod
    def backward(ctx: Any, by_value: Tensor) -> tuple[Tensor, None]:
        gradient, x = ctx.saved_tensors
        return first_order(by_value, gradient, x), None


def _keep_freed_memory() -> None:
    """Have the C library keep the memory of one chunk for the next.

    glibc returns free memory to the system beyond twice the largest block (of 32 MiB at most) that it has
    seen mapped and freed, and at first that is little: the pages of every intermediate would be mapped and
    cleared again for every chunk, at half of the whole cost.
    """
    torch.empty(31 << 20, dtype=torch.uint8)


def _check_system(system: openmm.System) -> None:
    if any(system.isVirtualSite(i) for i in range(system.getNumParticles())):
        raise UnsupportedForceError("a System with virtual sites", "their positions are not free coordinates")
