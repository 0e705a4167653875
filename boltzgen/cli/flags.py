"""Errors of the library in the words of the command line.

The library names arguments in backticks, as Python has them: `` `rounds` ``, `` `resume=True` ``. Here they
become the flags of the command that ran: ``--rounds``, ``--resume``. Functions are named after
the commands: `` `boltzgen.simulate` `` becomes `` `boltzgen simulate` ``.
"""

import ast
import re
from typing import Any

from typer.core import TyperArgument, TyperCommand

#: A function that is also a command.
_FUNCTION = re.compile(r"`boltzgen\.([a-z]+)`")
#: An argument's name, perhaps with a value.
_ARGUMENT = re.compile(r"`([A-Za-z_]\w*)(?:=([^`]+))?`")


#: Between the words of one value, see `joined`; no word of a command line holds it.
WORD_BREAK = "\x1f"


class InputError(Exception):
    """Wrong input, said in the words of the command line."""


class TranslatedCommand(TyperCommand):
    """A command whose errors name its flags, and whose options may take several words."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of a command line, those of one value put together first."""
        return super().parse_args(ctx, joined(args, self))

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        Raises:
            InputError: the library refused the input.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # of stdout: nobody reads on
            raise
        except OSError as error:
            message = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
            raise InputError(with_flags(message, self)) from error
        except (ValueError, NotImplementedError, FloatingPointError) as error:
            raise InputError(with_flags(str(error), self)) from error
        except RecursionError as error:
            raise InputError("a file is nested too deeply to be read") from error
        except (MemoryError, RuntimeError) as error:
            from boltzgen.storage import out_of_memory  # which takes its time to load

            if not out_of_memory(error):
                raise
            raise InputError(
                "there is not enough memory for this; ask for less, or close other programs"
            ) from error


def joined(args: list[str], command: Any) -> list[str]:
    """The words of a command line, those that are one value of an option together, with `WORD_BREAK` between.

    An option takes as many words as its metavar has: ``TORSION TORSION`` means two. typer knows no options of
    several words that may be given more than once.
    """
    sizes = {flag: len((p.metavar or "").split()) for p in command.params for flag in p.opts}
    found: list[str] = []
    rest = list(args)
    while rest:
        word = rest.pop(0)
        found.append(word)
        if word == "--":
            return found + rest
        n = sizes.get(word, 0)
        if n > 1:
            value = [rest.pop(0) for _ in range(n) if rest and not rest[0].startswith("-")]
            found += [WORD_BREAK.join(value)] if value else []
    return found


def with_flags(message: str, command: Any) -> str:
    """A message in which the arguments in backticks are flags of a command.

    Code in backticks that names none of the command's parameters stays as it is.
    """
    message = _FUNCTION.sub(r"`boltzgen \1`", message)
    flags = {parameter.name: _flag(parameter) for parameter in command.params}

    def translate(found: re.Match[str]) -> str:
        name, value = found.groups()
        return _given(flags[name], value) if name in flags else found[0]

    return _ARGUMENT.sub(translate, message)


def _flag(parameter: Any) -> str:
    """What a parameter is called on the command line: its longest flag, or an argument's name in the help."""
    if isinstance(parameter, TyperArgument):
        return str(parameter.metavar or parameter.name.upper())
    return max(parameter.opts, key=len)


def _given(flag: str, value: str | None) -> str:
    """A flag with a Python value: none where it is True, and repeated for each item of a list."""
    if value is None:
        return flag
    try:
        read = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        read = value
    if read is True:
        return flag
    return " ".join(f"{flag} {item}" for item in (read if isinstance(read, list | tuple) else [read]))
