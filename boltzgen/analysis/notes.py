"""What the names of states leave open, in sentences beside the tables."""

from collections.abc import Mapping

from boltzgen.molecule.states import Rotamer

_PUCKER = (
    "+ and - of a proline's chi1 are the puckers of its ring: of L-proline + is C\u03b3-endo (down), - is "
    "C\u03b3-exo (up)"
)
_OMEGA = (
    "omega is counted before proline, where cis and trans are both in the ensemble; all other peptide bonds "
    "are trans throughout. omega3 is the bond after residue 3"
)


def notes_on_states(rotamers: Mapping[str, Rotamer]) -> list[str]:
    """Sentences on those states of named torsions whose names are not enough; none for most molecules."""
    has_pucker = any(name.startswith("chi1") and one.division == "ring" for name, one in rotamers.items())
    has_omega = any(name.startswith("omega") for name in rotamers)
    return [text for text, holds in ((_PUCKER, has_pucker), (_OMEGA, has_omega)) if holds]


def marked(title: str, doubt: str) -> str:
    """What is written over a picture, with a word where its draws are of a generator that is in doubt.

    >>> marked("alanine_dipeptide, 300 K: 20,000 draws", "")
    'alanine_dipeptide, 300 K: 20,000 draws'
    >>> marked("alanine_dipeptide, 300 K: 20,000 draws", "the forward test after training failed (...)")
    'alanine_dipeptide, 300 K: 20,000 draws; forward test failed'
    """
    return f"{title}; forward test failed" if doubt else title
