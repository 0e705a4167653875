"""OpenMM's expression language in torch: the text of a Custom force becomes a function of tensors.

The grammar is that of OpenMM's parser, Lepton: numbers, names, ``+ - * / ^`` (``^`` binds to the right and
before a unary minus), functions, and definitions after semicolons, ``f(a, b); a = b^2; b = 2*r``, each of
which may use those to its right. Any characters but operators, parentheses, commas and spaces make a name,
Python's keywords (``or``, ``lambda``) included; nothing of the text is ever executed.

Equal parts of an expression are computed once. Of `select`, `min` and `max` only the chosen argument reaches
value and gradient: an infinite slope in the other one does no harm.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import copysign
from typing import Any

import torch
from torch import Tensor

Value = Tensor | float


class ExpressionError(ValueError):
    """A text that is not an expression, or that uses an unknown name."""


@dataclass(frozen=True, eq=False)
class Node:
    """A number (op "number"), a variable (op "variable") or an operator or function of its arguments (op: its
    name).
    """

    op: str
    arguments: tuple["Node", ...] = ()
    name: str = ""
    value: float = 0.0
    #: Whether its slope is finite wherever it is: a gradient of zero stays zero on the way back.
    tame: bool = True

    def is_number(self, value: float) -> bool:
        return self.op == "number" and self.value == value


def _reciprocal(a: Tensor) -> Tensor:
    return torch.reciprocal(a)


def _step(a: Tensor) -> Tensor:
    return (a >= 0).to(a.dtype)


def _delta(a: Tensor) -> Tensor:
    return (a == 0).to(a.dtype)


def _abs(a: Tensor) -> Tensor:
    return torch.where(a < 0, -a, a)


def _sec(a: Tensor) -> Tensor:
    return a.cos().reciprocal()


def _csc(a: Tensor) -> Tensor:
    return a.sin().reciprocal()


def _cot(a: Tensor) -> Tensor:
    return a.tan().reciprocal()


#: Functions of one argument, and whether their slope is bounded.
_UNARY: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "unary -": (torch.neg, True),
    "recip": (_reciprocal, False),
    "sqrt": (torch.sqrt, False),
    "exp": (torch.exp, False),
    "log": (torch.log, False),
    "sin": (torch.sin, True),
    "cos": (torch.cos, True),
    "sec": (_sec, False),
    "csc": (_csc, False),
    "tan": (torch.tan, False),
    "cot": (_cot, False),
    "asin": (torch.asin, False),
    "acos": (torch.acos, False),
    "atan": (torch.atan, True),
    "sinh": (torch.sinh, False),
    "cosh": (torch.cosh, False),
    "tanh": (torch.tanh, True),
    "erf": (torch.erf, True),
    "erfc": (torch.erfc, True),
    "step": (_step, True),
    "delta": (_delta, True),
    "abs": (_abs, True),
    "floor": (torch.floor, True),
    "ceil": (torch.ceil, True),
}

#: Number of arguments of every function of the language.
FUNCTIONS = dict.fromkeys([*_UNARY, "square", "cube"], 1) | {"atan2": 2, "min": 2, "max": 2, "select": 3}
del FUNCTIONS["unary -"]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[^-+*/^(),\s\d.][^-+*/^(),\s]*)(?P<call>\()?|(?P<symbol>[-+*/^(),]))"
)

#: Precedence of each operator, and the least that its right operand must have.
_OPERATORS = {"+": (0, 1), "-": (0, 1), "*": (1, 2), "/": (1, 2), "^": (3, 3)}
_UNARY_MINUS = 2

#: Larger whole powers go to torch's general one.
_LARGEST_PRODUCT = 64


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

    >>> import torch
    >>> harmonic = Expression("k*d^2/2; d = r-r0", ["r", "r0"], {"k": 3.0})
    >>> harmonic({"r": torch.tensor([0.0, 1.0, 2.0]), "r0": torch.tensor(1.0)})
    tensor([1.5000, 0.0000, 1.5000])
    >>> Expression("k*gamma(r)", ["r", "k"])
    Traceback (most recent call last):
    boltzgen.energy.custom.expression.ExpressionError: unknown function 'gamma' in 'k*gamma(r)'
    """

    def __init__(
        self,
        text: str,
        variables: Any,
        constants: Mapping[str, float] | None = None,
        functions: Mapping[str, tuple[int, Callable[..., Tensor]]] | None = None,
    ) -> None:
        self.text = text
        self.functions = dict(functions or {})
        self.root = _Parser(text, frozenset(variables), dict(constants or {}), self.functions).root
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
        """The value at tensors that broadcast against one another, a float where it does not depend on
        them.
        """
        differentiable = torch.is_grad_enabled() and any(
            values[name].requires_grad for name in self.variables
        )
        return self._evaluate(self.root, _Scope(values, differentiable))

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
            condition = self._evaluate(node.arguments[0], scope)
            assert isinstance(condition, Tensor)
            return self._choose(condition != 0, condition, node.arguments[1], node.arguments[2], scope)
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
        return apply(node, [self._evaluate(argument, scope) for argument in node.arguments], self.functions)

    def _choose(self, mask: Tensor, like: Value, first: Node, second: Node, scope: "_Scope") -> Value:
        a = self._evaluate(first, scope if first.tame else scope.where(mask))
        b = self._evaluate(second, scope if second.tame else scope.where(~mask))
        return _where(mask, a, b, like)


class _Scope:
    """What is known within one branch: values and gradients of everything outside pass through a gate that is
    open where the branch is taken.
    """

    def __init__(
        self,
        values: Mapping[str, Tensor],
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
        return _Scope(self.values, True, self, mask) if self.differentiable else self

    def detached(self) -> "_Scope":
        """A scope for values whose gradient is not wanted."""
        return _Scope(self.values, False)

    def find(self, node: Node) -> Value | None:
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


def apply(
    node: Node, arguments: list[Value], functions: Mapping[str, tuple[int, Callable[..., Tensor]]]
) -> Value:
    """The value of an operator or function, other than `select`, `min` and `max`, at the values of its
    arguments (at least one tensor).
    """
    if node.op in functions:
        return functions[node.op][1](*arguments)
    if node.op in _UNARY:
        (argument,) = arguments
        return _UNARY[node.op][0](argument)  # type: ignore[arg-type]
    a, b = arguments
    if node.op == "+":
        return a + b
    if node.op == "-":
        return a - b
    if node.op == "*":
        return a * b
    if node.op == "/":
        return a / b
    like = a if isinstance(a, Tensor) else b
    assert isinstance(like, Tensor)
    if node.op == "^":
        if isinstance(a, Tensor) and isinstance(b, float) and b.is_integer() and abs(b) <= _LARGEST_PRODUCT:
            return _whole_power(a, int(b))
        return torch.pow(a, b)  # type: ignore[arg-type]
    assert node.op == "atan2", node.op
    return torch.atan2(*(torch.as_tensor(v, dtype=like.dtype, device=like.device) for v in (a, b)))


def _whole_power(base: Tensor, exponent: int) -> Tensor:
    """Products: exact for a negative base, and several times faster than a general power."""
    power, result = abs(exponent), None
    while power:
        if power & 1:
            result = base if result is None else result * base
        power >>= 1
        if power:
            base = base * base
    assert result is not None
    return result.reciprocal() if exponent < 0 else result


class _Parser:
    """Precedence climbing over the tokens of each definition, the last one first, then the expression
    itself.
    """

    def __init__(
        self, text: str, variables: frozenset[str], constants: dict[str, float], functions: Mapping[str, Any]
    ) -> None:
        self.text = text
        self.variables = variables
        self.functions = functions
        self.nodes: dict[tuple[Any, ...], Node] = {}
        self.names = {name: self.number(float(value)) for name, value in constants.items()}
        main, *definitions = text.split(";")
        for definition in reversed(definitions):
            if not definition.strip():
                continue
            name, equals, body = definition.partition("=")
            if not equals or not name.strip():
                raise ExpressionError(
                    f"expected 'name = expression' after a semicolon, got {definition.strip()!r} in {text!r}"
                )
            # A later definition of the same name is for those to its right; this one takes over from here.
            self.names[name.strip()] = self.parse(body)
        self.root = self.parse(main)

    def parse(self, text: str) -> Node:
        self.tokens = self.tokenize(text)
        node = self.operation(0)
        if self.tokens:
            raise ExpressionError(f"unexpected {self.tokens[-1][1]!r} in {self.text!r}")
        return node

    def tokenize(self, text: str) -> list[tuple[str, str]]:
        """(kind, text) of the tokens, reversed."""
        tokens, position, end = [], 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None:
                raise ExpressionError(f"unexpected {text[position:]!r} in {self.text!r}")
            kind = "call" if match["call"] else match.lastgroup
            assert kind is not None
            tokens.append((kind, match["name"] if kind == "call" else match[kind]))
            position = match.end()
        return tokens[::-1]

    def take(self, symbol: str) -> bool:
        """Whether the next token is this symbol, which is then used up."""
        found = bool(self.tokens) and self.tokens[-1] == ("symbol", symbol)
        if found:
            self.tokens.pop()
        return found

    def operation(self, least: int) -> Node:
        """A value and every operator after it of at least this precedence."""
        left = self.operand()
        while self.tokens and self.tokens[-1][1] in _OPERATORS and _OPERATORS[self.tokens[-1][1]][0] >= least:
            operator = self.tokens.pop()[1]
            left = self.node(operator, left, self.operation(_OPERATORS[operator][1]))
        return left

    def operand(self) -> Node:
        if not self.tokens:
            raise ExpressionError(f"unexpected end of an expression in {self.text!r}")
        kind, text = self.tokens.pop()
        if kind == "number":
            return self.number(float(text))
        if kind == "name":
            return self.variable(text)
        if kind == "call":
            arguments = [self.operation(0)]
            while self.take(","):
                arguments.append(self.operation(0))
            self.close()
            return self.function(text, arguments)
        if text == "-":
            return self.node("unary -", self.operation(_UNARY_MINUS))
        if text == "(":
            inner = self.operation(0)
            self.close()
            return inner
        raise ExpressionError(f"unexpected {text!r} in {self.text!r}")

    def close(self) -> None:
        if not self.take(")"):
            raise ExpressionError(f"unbalanced parentheses in {self.text!r}")

    def variable(self, name: str) -> Node:
        if name in self.names:
            return self.names[name]
        if name not in self.variables:
            raise ExpressionError(f"unknown name {name!r} in {self.text!r}")
        return self.nodes.setdefault(("variable", name), Node("variable", name=name))

    def function(self, name: str, arguments: list[Node]) -> Node:
        if name in self.functions:
            expected = self.functions[name][0]
        elif name in FUNCTIONS:
            expected = FUNCTIONS[name]
        else:
            raise ExpressionError(f"unknown function {name!r} in {self.text!r}")
        if len(arguments) != expected:
            raise ExpressionError(f"{name} takes {expected} arguments, got {len(arguments)} in {self.text!r}")
        if name in self.functions or name not in ("square", "cube"):
            return self.node(name, *arguments)
        return self.node("^", arguments[0], self.number(2.0 if name == "square" else 3.0))

    def number(self, value: float) -> Node:
        return self.nodes.setdefault(("number", value, copysign(1.0, value)), Node("number", value=value))

    def node(self, op: str, *arguments: Node) -> Node:
        """The one node of this operation on these arguments, after the simplifications that OpenMM makes as
        well.

        They matter where an argument is not finite: ``0*log(r)`` is 0, ``r^0`` is 1, and the slope of
        ``sqrt(r^2)`` at 0 is that of ``abs(r)``.
        """
        first, last = arguments[0], arguments[-1]
        own = op in self.functions
        if not own and op == "select" and first.op == "number":
            return arguments[1] if first.value != 0 else arguments[2]
        if all(argument.op == "number" for argument in arguments):
            return self.number(self.fold(op, arguments))
        if not own:
            if (op == "*" and (first.is_number(0) or last.is_number(0))) or (
                op in "/^" and first.is_number(0)
            ):
                return self.number(0.0)
            if op == "^" and last.op == "number":
                if last.value in (0.0, 1.0):
                    return first if last.value else self.number(1.0)
                if last.value == 0.5:
                    return self.node("sqrt", first)
            if op == "sqrt" and first.op == "^" and first.arguments[1].is_number(2.0):
                return self.node("abs", first.arguments[0])
        tame = not own and all(argument.tame for argument in arguments) and self.bounded(op, last)
        return self.nodes.setdefault((op, *map(id, arguments)), Node(op, arguments, tame=tame))

    @staticmethod
    def bounded(op: str, last: Node) -> bool:
        if op in _UNARY:
            return _UNARY[op][1]
        if op == "/":
            return last.op == "number" and last.value != 0
        if op == "^":
            return last.op == "number" and last.value.is_integer() and last.value > 0
        return op != "atan2"

    def fold(self, op: str, arguments: tuple[Node, ...]) -> float:
        values = [torch.tensor(argument.value, dtype=torch.float64) for argument in arguments]
        if op in ("min", "max") and op not in self.functions:
            return float(min(values) if op == "min" else max(values))
        return float(apply(Node(op, arguments), list(values), self.functions))
