"""A small molecule as the arguments of `prepare` describe it."""

from collections.abc import Mapping
from typing import Any, Literal

from boltzgen.preparation.ligands.source import Ligand

_KINDS: tuple[Literal["smiles", "sdf", "mol2"], ...] = ("smiles", "sdf", "mol2")
_EXAMPLE = "for instance `forcefield=['openff-2.3.0']`"


def ligand_of(given: Mapping[str, Any]) -> Ligand | None:
    """The small molecule that arguments describe; None where they describe something else.

    Args:
        given: arguments of `prepare` that say where the molecule comes from, by name; those that are None, or
            empty, are not given.

    Raises:
        ValueError: an argument is missing, or does not belong to a small molecule.
    """
    said = {name: value for name, value in given.items() if value}
    kinds = [kind for kind in _KINDS if given.get(kind) is not None]
    if not kinds:
        if "amides" in said:
            raise ValueError("`amides` needs `smiles`, `sdf` or `mol2`: peptides keep trans peptide bonds")
        return None
    others = [
        name for name in said if name not in (*_KINDS, "forcefield", "solvent", "constraints", "amides")
    ]
    if len(kinds) + len(others) > 1:
        named = " and ".join(f"`{name}`" for name in [*kinds, *others])
        raise ValueError(
            f"{named} cannot be used together; a small molecule is one of `smiles`, `sdf` or `mol2`, and "
            "takes `forcefield`, `solvent`, `constraints` and `amides`"
        )
    forcefields = list(said.get("forcefield", ()))
    if len(forcefields) != 1:
        raise ValueError(
            f"a small molecule needs one `forcefield`, got {len(forcefields)}; {_EXAMPLE}. The implicit "
            "solvent is `solvent='OBC2'`"
        )
    return Ligand(
        kinds[0],
        given[kinds[0]],
        forcefields[0].removesuffix(".offxml"),
        solvent=said.get("solvent", "none"),
        constraints=said.get("constraints", "none"),
        amides=said.get("amides", "either"),
    )
