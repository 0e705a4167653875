"""The operators and functions of OpenMM's expression language, in torch."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Value = Tensor | float
#: Functions of the language's user by name, with the number of their arguments.
Functions = Mapping[str, tuple[int, Callable[..., Tensor]]]


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


#: Functions of one argument, and whether their derivative is bounded.
UNARY: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
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
FUNCTIONS = dict.fromkeys([*UNARY, "square", "cube"], 1) | {"atan2": 2, "min": 2, "max": 2, "select": 3}
del FUNCTIONS["unary -"]

#: Larger whole powers go to torch's general one.
_LARGEST_PRODUCT = 64


def apply(op: str, arguments: list[Value], functions: Functions) -> Value:
    """The value of an operator or function, other than `select`, `min` and `max`.

    Args:
        op: its name.
        arguments: values of its arguments, at least one of them a tensor.
        functions: functions of the user; their names come before those of the language.
    """
    if op in functions:
        return functions[op][1](*arguments)
    if op in UNARY:
        (argument,) = arguments
        return UNARY[op][0](argument)  # type: ignore[arg-type]
    a, b = arguments
    if op == "+":
        return a + b
    if op == "-":
        return a - b
    if op == "*":
        return a * b
    if op == "/":
        return a / b
    like = a if isinstance(a, Tensor) else b
    assert isinstance(like, Tensor)
    if op == "^":
        if isinstance(a, Tensor) and isinstance(b, float) and b.is_integer() and abs(b) <= _LARGEST_PRODUCT:
            return _whole_power(a, int(b))
        return torch.pow(a, b)  # type: ignore[arg-type]
    assert op == "atan2", op
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
