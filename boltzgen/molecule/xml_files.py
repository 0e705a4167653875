"""XML files for OpenMM: what would run code, hang or crash it is refused before it sees the file."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

#: Elements inside each other: files of OpenMM have ten or so.
_DEEPEST = 100
#: Operators, brackets and commas of an expression, its definitions put in. OpenMM's time grows with the third
#: power of this number; its own have at most 60.
_LONGEST_EXPRESSION = 300
#: Attributes of a serialized System that hold text; all others are numbers, of which OpenMM takes what it can
#: read and makes zero of the rest.
_TEXTS = {
    "name",
    "type",
    "types",
    "energy",
    "expression",
    "parameter",
    "openmmVersion",
    "SigmaCombiningRule",
    "EpsilonCombiningRule",
}
_SYMBOL, _WORD = re.compile(r"[-+*/^(),]"), re.compile(r"[^-+*/^(),\s]+")


def parse(path: Path, what: str) -> ElementTree.Element:
    """The root of an XML file.

    Raises:
        ValueError: it is not XML, or nested too deeply.
    """
    root, depth = None, 0
    try:
        for event, element in ElementTree.iterparse(path, events=("start", "end")):
            root = element if root is None else root
            depth += 1 if event == "start" else -1
            if depth > _DEEPEST:
                raise ValueError(f"{what} {path} has more than {_DEEPEST} elements inside each other")
    except (ElementTree.ParseError, UnicodeDecodeError, LookupError) as error:
        raise ValueError(f"{what} {path} is not valid XML: {error}") from error
    assert root is not None
    return root


def check_force_field(root: ElementTree.Element, file: str) -> None:
    """Raise ValueError where a force-field file holds Python code that OpenMM would run, or hangs it.

    OpenMM passes some attributes of its forces to `eval`, `useDispersionCorrection` for one. Code calls
    something, which takes brackets: only expressions, which OpenMM parses itself, may have them.
    """
    for element in root.iter():
        if element.tag in ("Script", "InitializationScript"):
            raise ValueError(
                f"force-field file {file} holds a <{element.tag}>, Python code that OpenMM would run; "
                "remove it or use one of OpenMM's own files"
            )
    for force in (child for child in root if child.tag != "Include"):
        for name, value in force.items():
            plain = re.fullmatch(r"[\w.+ ,-]*", value) if name != "energy" else value
            if name.startswith("use") and value not in ("True", "False") and not _is_number(value):
                plain = None
            if plain is None:
                raise ValueError(
                    f"force-field file {file}: expected a number, a word, True or False as <{force.tag} "
                    f"{name}=...>, got {value[:60]!r}, which OpenMM might run as Python code; change it"
                )
    check_expressions(root, file)


def check_numbers(root: ElementTree.Element, file: Path) -> None:
    """Raise ValueError where a number of a serialized System is none, or is NaN or infinite."""
    for element in root.iter():
        for name, value in element.items():
            if name not in _TEXTS and not (_is_number(value) and math.isfinite(float(value))):
                raise ValueError(
                    f"{file}: <{element.tag} {name}={value[:30]!r}> is no finite number; correct the System "
                    "and serialize it again"
                )


def check_expressions(root: ElementTree.Element, file: str | Path) -> None:
    """Raise ValueError for an expression so long, or of definitions so nested, that OpenMM would not end."""
    for element in root.iter():
        for name in ("energy", "expression"):
            size = expanded_size(element.get(name, ""))
            if size > _LONGEST_EXPRESSION:
                count = size if size < 10**6 else "millions of"
                raise ValueError(
                    f"{file}: the {name} of <{element.tag}> has {count} operators, its definitions put in; "
                    f"expected at most {_LONGEST_EXPRESSION}, since OpenMM takes too long to read more: use "
                    "a tabulated function"
                )


def expanded_size(expression: str) -> int:
    """Operators, brackets and commas of an expression of OpenMM's with its definitions put in.

    >>> expanded_size("a*a; a=b*b; b=r+1")
    7
    """
    main, *definitions = expression.split(";")
    sizes: dict[str, int] = {}
    for definition in reversed(definitions):
        name, _, body = definition.partition("=")
        sizes[name.strip()] = min(_size(body, sizes), 10**9)
    return _size(main, sizes)


def _size(text: str, sizes: dict[str, int]) -> int:
    return len(_SYMBOL.findall(text)) + sum(sizes.get(word, 0) for word in _words(text))


def _words(text: str) -> Iterator[str]:
    return (match[0] for match in _WORD.finditer(text))


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
