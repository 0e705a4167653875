"""The command line: a file for each command, which parses, calls the library and prints.

A new command is a file ``name.py`` with a function of that name, and its name in `COMMANDS`. Heavy modules
are imported inside the commands that need them, so that help comes at once.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from boltzgen import __version__
from boltzgen.cli.flags import InputError, TranslatedCommand

#: In the order of the help.
COMMANDS = (
    "systems",
    "forcefields",
    "prepare",
    "train",
    "sample",
    "simulate",
    "analyze",
    "evaluate",
    "export",
)

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Exactly weighted conformations of a molecule from its force field.",
)
for _name in COMMANDS:
    app.command(cls=TranslatedCommand)(getattr(import_module(f"boltzgen.cli.{_name}"), _name))
#: What a wrong command line raises, the base of `typer.BadParameter`: typer exports it under no name of its
#: own.
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    It is 0, or 2 for wrong input (said in one line on stderr), or 130 for Ctrl-C.
    """
    command = typer.main.get_command(app)
    try:
        code = command.main(
            args=None if arguments is None else list(arguments), prog_name="boltzgen", standalone_mode=False
        )
        if code == 130:
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted", 130)
    except _UsageError as error:
        return _complain(f"{error.format_message()} (see boltzgen --help)", 2)  # type: ignore[attr-defined]
    except InputError as error:
        return _complain(str(error), 2)


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
    typer.echo(f"boltzgen: {' '.join(message.split())}", err=True)
    return code
