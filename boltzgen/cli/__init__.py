"""The command line: a file for each command, which parses, calls the library and prints.

A new command is a file ``name.py`` with a function of that name, and its name in `COMMANDS`; one of two words
is the same in the folder of a group. Heavy modules
are imported inside the commands that need them, so that help comes at once.
"""

import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Annotated

import typer

from boltzgen import __version__
from boltzgen.cli.common import library_warnings
from boltzgen.cli.flags import InputError
from boltzgen.cli.help import Command, Group
from boltzgen.cli.process import allow_any_terminal, ending, signals_as_interrupts
from boltzgen.cli.processes import first_process

#: In the order of the help.
COMMANDS = (
    "systems",
    "forcefields",
    "prepare",
    "train",
    "sample",
    "merge",
    "simulate",
    "analyze",
    "strain",
    "evaluate",
    "export",
)
#: Commands of several words, by the first of them: each a folder with a list of its own.
GROUPS = ("free-energy",)

_SETTINGS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    cls=Group, context_settings=_SETTINGS, rich_markup_mode=None, pretty_exceptions_enable=False
)
for _name in COMMANDS:
    app.command(cls=Command, context_settings=_SETTINGS)(
        getattr(import_module(f"boltzgen.cli.{_name}"), _name)
    )


def _help_alone(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for _group in GROUPS:
    _package = f"boltzgen.cli.{_group.replace('-', '_')}"
    _commands = import_module(_package)
    _app = typer.Typer(
        cls=Group,
        context_settings=_SETTINGS,
        rich_markup_mode=None,
        help=_commands.HELP,
        callback=_help_alone,
        invoke_without_command=True,
    )
    for _name in _commands.COMMANDS:
        _app.command(cls=Command, context_settings=_SETTINGS)(
            getattr(import_module(f"{_package}.{_name}"), _name)
        )
    app.add_typer(_app, name=_group)
#: What a wrong command line raises, the base of `typer.BadParameter`: typer exports it under no name of its
#: own.
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    It is 0, or 2 for wrong input (said in one line on stderr), or 130 for Ctrl-C, 143 for SIGTERM and 129 for
    SIGHUP, or 1 for a fault of this package, with its traceback.
    """
    command = typer.main.get_command(app)
    words = sys.argv[1:] if arguments is None else list(arguments)
    allow_any_terminal()
    with signals_as_interrupts() as received, library_warnings():
        try:
            code = command.main(
                args=words,
                prog_name="boltzgen",
                obj=words,
                standalone_mode=False,
            )
            if code == 130:
                raise KeyboardInterrupt
            return code if isinstance(code, int) else 0
        except (KeyboardInterrupt, typer.Abort):
            said, code = ending(received)
            return _complain(said, code) if first_process() else code
        except _UsageError as error:
            context = getattr(error, "ctx", None)
            where = context.command_path if context else "boltzgen"
            # pydantic, by which typer reads choices, begins what is wrong with the name of its exception.
            message = error.format_message().replace("Value error, ", "")  # type: ignore[attr-defined]
            return _complain(f"{message} (see {where} -h)", 2)
        except InputError as error:
            return _complain(str(error), 2)
        except Exception:
            traceback.print_exc()
            return _complain("this is a fault of the package; please report it, with the lines above", 1)


@app.callback(invoke_without_command=True)
def boltzgen(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Exactly weighted conformations of a molecule from its force field."""
    if version:
        typer.echo(f"boltzgen {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _complain(message: str, code: int) -> int:
    """Print an error as one line on stderr and return the exit code."""
    with suppress(OSError):  # a closed terminal takes no message
        typer.echo(f"boltzgen: {' '.join(message.split())}", err=True)
    return code
