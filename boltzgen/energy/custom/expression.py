"""OpenMM's expression language in torch: the text of a Custom force becomes a function of tensors.

The grammar is that of OpenMM's parser, Lepton: numbers, names, ``+ - * / ^`` (``^`` binds to the right and
before a unary minus), functions, and definitions after semicolons, ``f(a, b); a = b^2; b = 2*r``, each of
which may use those to its right. Any characters but operators, parentheses, commas and spaces make a name,
Python's keywords (``or``, ``lambda``) included; nothing of the text is ever executed.

Equal parts of an expression are computed once. Of `select`, `min` and `max` only the chosen argument reaches
value and gradient: an infinite derivative of the other one does no harm.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from boltzgen.energy.custom.operations import Functions, Value, apply
from boltzgen.energy.custom.parser import ExpressionError, Node, Parser

#: Operations inside each other: each takes a few of the calls that Python allows.
DEEPEST = 150


class Expression:
    """A compiled expression.

    Args:
        text: the expression with its definitions.
        variables: names of its tensors.
        constants: names with fixed values.
        functions: functions of the language's user, with the number of their arguments; each takes and
            returns tensors.

    Raises:
        ExpressionError: the text does not parse, or uses a name that is none of these; the message names it.
            Or more than `DEEPEST` operations are inside each other.

    >>> import torch
    >>> harmonic = Expression("k*d^2/2; d = r-r0", ["r", "r0"], {"k": 3.0})
    >>> harmonic({"r": torch.tensor([0.0, 1.0, 2.0]), "r0": torch.tensor(1.0)})
    tensor([1.5000, 0.0000, 1.5000])
    >>> Expression("k*gamma(r)", ["r", "k"])
    Traceback (most recent call last):
    boltzgen.energy.custom.parser.ExpressionError: unknown function 'gamma' in 'k*gamma(r)'
    """

    def __init__(
        self,
        text: str,
        variables: Any,
        constants: Mapping[str, float] | None = None,
        functions: Functions | None = None,
    ) -> None:
        self.text = text
        self.functions = dict(functions or {})
        try:
            self.root = Parser(text, frozenset(variables), dict(constants or {}), self.functions).root
        except RecursionError as error:
            raise ExpressionError(f"too many brackets inside each other in {text[:60]!r}...") from error
        if (deepest := depth(self.root)) > DEEPEST:
            raise ExpressionError(
                f"operations inside each other {deepest} deep, at most {DEEPEST}, in {text[:60]!r}..."
            )
        self._uses: dict[Node, int] = {}
        for node in self.nodes():
            for argument in node.arguments:
                self._uses[argument] = self._uses.get(argument, 0) + 1

    def nodes(self) -> Iterator[Node]:
        """Every distinct part of the expression, once."""
        seen, stack = set(), [self.root]
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                stack.extend(node.arguments)
                yield node

    @property
    def variables(self) -> frozenset[str]:
        """The variables that the value depends on."""
        return frozenset(node.name for node in self.nodes() if node.op == "variable")

    def __call__(self, values: Mapping[str, Tensor]) -> Value:
        """The value at tensors that broadcast against one another; a float where it depends on none."""
        differentiable = torch.is_grad_enabled() and any(
            values[name].requires_grad for name in self.variables
        )
        return self._evaluate(self.root, _Scope(values, differentiable=differentiable))

    def _evaluate(self, node: Node, scope: "_Scope") -> Value:
        if node.op == "number":
            return node.value
        found = scope.find(node)
        if found is None:
            found = self._compute(node, scope)
            if self._uses.get(node, 0) > 1:
                scope.known[node] = found
        return found

    def _compute(self, node: Node, scope: "_Scope") -> Value:
        own = node.op in self.functions
        if node.op == "select" and not own:
            # A condition has no gradient. What it shares with a wild branch is computed apart, behind that
            # branch's gate.
            test, first, second = node.arguments
            apart = scope.differentiable and not (first.tame and second.tame)
            with torch.set_grad_enabled(torch.is_grad_enabled() and not apart):
                condition = self._evaluate(test, scope.detached() if apart else scope)
            assert isinstance(condition, Tensor)
            return self._choose(condition != 0, condition, first, second, scope)
        if node.op in ("min", "max") and not own:
            # Where the arguments are equal, OpenMM differentiates the second of `min` and the first of `max`.
            first, second = node.arguments
            # With a wild argument the comparison needs no graph of its own: the branches are computed apart
            # from it.
            apart = scope.differentiable and not (first.tame and second.tame)
            with torch.set_grad_enabled(torch.is_grad_enabled() and not apart):
                a, b = (
                    self._evaluate(argument, scope.detached() if apart else scope)
                    for argument in node.arguments
                )
            mask = torch.as_tensor(a < b if node.op == "min" else a >= b)
            if apart:
                return self._choose(mask, a if isinstance(a, Tensor) else b, first, second, scope)
            return _where(mask, a, b, a if isinstance(a, Tensor) else b)
        return apply(
            node.op, [self._evaluate(argument, scope) for argument in node.arguments], self.functions
        )

    def _choose(self, mask: Tensor, like: Value, first: Node, second: Node, scope: "_Scope") -> Value:
        a = self._evaluate(first, scope if first.tame else scope.where(mask))
        b = self._evaluate(second, scope if second.tame else scope.where(~mask))
        return _where(mask, a, b, like)


def depth(root: Node) -> int:
    """Operations inside each other, of a node with all that it is made of."""
    depths: dict[Node, int] = {}
    stack = [root]
    while stack:
        node = stack[-1]
        waiting = [argument for argument in node.arguments if argument not in depths]
        if waiting:
            stack.extend(waiting)
        else:
            depths[stack.pop()] = 1 + max((depths[argument] for argument in node.arguments), default=0)
    return depths[root]


class _Scope:
    """What is known within one branch.

    Values and gradients of everything outside pass through a gate that is open where the branch is taken.
    """

    def __init__(
        self,
        values: Mapping[str, Tensor],
        *,
        differentiable: bool,
        parent: "_Scope | None" = None,
        mask: Tensor | None = None,
    ) -> None:
        self.values = values
        self.differentiable = differentiable
        self.parent = parent
        self.mask = mask
        self.known: dict[Node, Value] = {}

    def where(self, mask: Tensor) -> "_Scope":
        """The scope of a branch; without gradients, everything is known everywhere."""
        if not self.differentiable:
            return self
        return _Scope(self.values, differentiable=True, parent=self, mask=mask)

    def detached(self) -> "_Scope":
        """A scope for values whose gradient is not wanted."""
        return _Scope(self.values, differentiable=False)

    def find(self, node: Node) -> Value | None:
        """The value of a node, or None if it is not known yet."""
        found = self.known.get(node)
        if found is None and self.parent is not None and (found := self.parent.find(node)) is not None:
            if isinstance(found, Tensor):
                assert self.mask is not None
                found = gate(found, self.mask)
            self.known[node] = found
        elif found is None and node.op == "variable":
            found = self.values[node.name]
        return found


def gate(value: Tensor, mask: Tensor) -> Tensor:
    """The value; no gradient, not even a NaN, comes back through it where the mask is false."""
    if not value.requires_grad:
        return value
    gated: Tensor = _Gate.apply(value.expand(torch.broadcast_shapes(value.shape, mask.shape)), mask)
    return gated


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(mask)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return torch.where(mask, gradient, 0.0), None


def _where(mask: Tensor, a: Value, b: Value, like: Value) -> Tensor:
    assert isinstance(like, Tensor)
    return torch.where(
        mask,
        torch.as_tensor(a, dtype=like.dtype, device=like.device),
        torch.as_tensor(b, dtype=like.dtype, device=like.device),
    )
