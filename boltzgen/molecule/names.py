"""Names that come from files: of systems, basins and torsions."""

import re
from typing import Annotated

from pydantic import AfterValidator, ValidationError

#: Longest name, and what no name may hold: what a path may, and characters that are not printed.
_LONGEST = 100
_FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|\.\.")


def check_name(name: str) -> str:
    """The name, which a file gave to a system, a basin or a torsion.

    Names of atoms are parts of names and may hold any sign: only what would lead elsewhere as part of a path
    is refused, and what cannot be printed.

    Raises:
        ValueError: it is empty, too long, or holds a slash, "..", or a control character.

    >>> check_name("torsion C1'-C2*-O3-H9 (LIG 1)")
    "torsion C1'-C2*-O3-H9 (LIG 1)"
    """
    if not name.strip() or len(name) > _LONGEST or _FORBIDDEN.search(name):
        raise ValueError(
            f"expected a name of 1 to {_LONGEST} printed characters, without slashes and '..', got "
            f"{name[:_LONGEST]!r}"
        )
    return name


#: A name as a field of what is read from a file.
Name = Annotated[str, AfterValidator(check_name)]


def file_stem(name: str) -> str:
    """A name as part of a file's: letters, digits and ``_ . + -``, everything else as an underscore.

    >>> file_stem("torsion C1'-C2 (LIG 1)")
    'torsion_C1_-C2_LIG_1_'
    """
    return re.sub(r"[^\w.+-]+", "_", name).lstrip(".")


def reason(error: ValidationError) -> str:
    """What is wrong first, in one line: ``"forcefield.files: Input should be a valid list"``."""
    first = error.errors()[0]
    what = first["msg"].removeprefix("Value error, ")
    return f"{'.'.join(str(part) for part in first['loc'])}: {what}" if first["loc"] else what
