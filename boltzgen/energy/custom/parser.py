"""The parser of OpenMM's expression language: a text becomes nodes, of which equal parts share one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import copysign
from typing import Any

import torch

from boltzgen.energy.custom.operations import FUNCTIONS, UNARY, apply


class ExpressionError(ValueError):
    """A text that is not an expression, or that uses an unknown name."""


@dataclass(frozen=True, eq=False)
class Node:
    """A number, a variable, or an operator or function of its arguments.

    Attributes:
        op: "number", "variable", or the name of the operator or function.
        arguments: what it is applied to.
        name: that of a variable.
        value: that of a number.
        tame: whether its derivative is finite wherever it is: a gradient of zero stays zero on the way back.
    """

    op: str
    arguments: tuple["Node", ...] = ()
    name: str = ""
    value: float = 0.0
    tame: bool = True

    def is_number(self, value: float) -> bool:
        """Whether it is this number."""
        return self.op == "number" and self.value == value


_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[^-+*/^(),\s\d.][^-+*/^(),\s]*)(?P<call>\()?|(?P<symbol>[-+*/^(),]))"
)

#: Precedence of each operator, and the least that its right operand must have.
_OPERATORS = {"+": (0, 1), "-": (0, 1), "*": (1, 2), "/": (1, 2), "^": (3, 3)}
_UNARY_MINUS = 2


class Parser:
    """Precedence climbing over the tokens of each definition, the last one first, then the expression itself.

    Args:
        text: the expression with its definitions.
        variables: names that it may use.
        constants: names with fixed values.
        functions: functions of the user: (number of arguments, function) by name.

    Attributes:
        root: the node of the whole expression.

    Raises:
        ExpressionError: the text does not parse, or uses a name that is none of these.
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
        """The node of one expression without definitions."""
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
        """A value with everything that binds tighter than an operator."""
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
        """Use up a closing parenthesis."""
        if not self.take(")"):
            raise ExpressionError(f"unbalanced parentheses in {self.text!r}")

    def variable(self, name: str) -> Node:
        """The node of a name."""
        if name in self.names:
            return self.names[name]
        if name not in self.variables:
            raise ExpressionError(f"unknown name {name!r} in {self.text!r}")
        return self.nodes.setdefault(("variable", name), Node("variable", name=name))

    def function(self, name: str, arguments: list[Node]) -> Node:
        """The node of a call."""
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
        """The one node of a number; 0 and -0 are two."""
        return self.nodes.setdefault(("number", value, copysign(1.0, value)), Node("number", value=value))

    def node(self, op: str, *arguments: Node) -> Node:
        """The one node of this operation on these arguments, after the simplifications that OpenMM makes too.

        They matter where an argument is not finite: ``0*log(r)`` is 0, ``r^0`` is 1, and the derivative of
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
        """Whether the derivative of an operation is finite wherever its arguments are."""
        if op in UNARY:
            return UNARY[op][1]
        if op == "/":
            return last.op == "number" and last.value != 0
        if op == "^":
            return last.op == "number" and last.value.is_integer() and last.value > 0
        return op != "atan2"

    def fold(self, op: str, arguments: tuple[Node, ...]) -> float:
        """The value of an operation on numbers."""
        values = [torch.tensor(argument.value, dtype=torch.float64) for argument in arguments]
        if op in ("min", "max") and op not in self.functions:
            return float(min(values) if op == "min" else max(values))
        return float(apply(op, list(values), self.functions))
