"""The help of the commands: one layout whatever version of typer draws it, with examples.

The examples of a command are the lines under ``Examples:`` in its docstring.
"""

from typing import Any

from typer.core import TyperArgument, TyperGroup

from boltzgen.cli.flags import TranslatedCommand

#: What precedes the examples in a docstring.
_EXAMPLES = "\nExamples:\n"


class Command(TranslatedCommand):
    """A command whose help ends in examples."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write usage, description, arguments, options and examples."""
        description, examples = described(self)
        arguments = [p for p in self.params if _is_argument(p)]
        _write_start(ctx, formatter, [_usage(argument) for argument in arguments], description)
        _write_rows(formatter, "Arguments", arguments)
        _write_rows(formatter, "Options", [p for p in self.get_params(ctx) if not _is_argument(p)])
        if examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {line}\n" for line in examples))


class Group(TyperGroup):
    """The program, whose help lists its commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write usage, description, options and commands."""
        _write_start(ctx, formatter, ["COMMAND", "..."], self.help or "")
        _write_rows(formatter, "Options", self.get_params(ctx))
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, described(command)[0].split("\n\n")[0]) for name, command in commands])
        formatter.write(f"\nHelp of a command, with examples: {ctx.command_path} COMMAND -h\n")


def described(command: Any) -> tuple[str, list[str]]:
    """The description of a command, and its examples, a command line each."""
    description, _, examples = (command.help or "").partition(_EXAMPLES)
    return description.strip(), [line.strip() for line in examples.splitlines() if line.strip()]


def _write_start(ctx: Any, formatter: Any, arguments: list[str], description: str) -> None:
    formatter.write_usage(ctx.command_path, " ".join(["[OPTIONS]", *arguments]))
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(description)


def _write_rows(formatter: Any, title: str, parameters: list[Any]) -> None:
    if parameters:
        with formatter.section(title):
            formatter.write_dl([(_name(p), _text(p)) for p in parameters])


def _is_argument(parameter: Any) -> bool:
    return isinstance(parameter, TyperArgument)


def _usage(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required else f"[{name}]"


def _name(parameter: Any) -> str:
    if _is_argument(parameter):
        return parameter.metavar or parameter.name.upper()
    options = ", ".join(sorted(parameter.opts, key=len))
    return options if parameter.is_flag else f"{options} {parameter.metavar}"


def _text(parameter: Any) -> str:
    """The help of a parameter, with its default."""
    text, default = parameter.help or "", parameter.default
    if parameter.required:
        return f"{text} (required)"
    if isinstance(default, bool) or not isinstance(default, str | int | float):
        return text
    return f"{text.removesuffix('.')} (default: {default if isinstance(default, str) else f'{default:g}'})."
