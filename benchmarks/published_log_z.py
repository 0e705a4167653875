"""Our log Z of the alanine peptides in the convention of TA-BG and CMT, beside the EUBOs that CMT prints.

    python benchmarks/published_log_z.py [SYSTEM ...] [--log-z VALUE]

Without SYSTEM: the dipeptide and the tetrapeptide. --log-z replaces our log Z (one SYSTEM only; the
hexapeptide needs it).

EUBO = E_p[log p~ - log q] = log Z + KL(p || q) is an upper bound of log Z, in a convention: that of the flow
whose density q it contains. Theirs (internal coordinates of bgflow, nm, u = U / RT) differs from ours in two
constants, everything else being the same:

* placement: the coordinates of the frame (origin, alpha / 2 pi, cos beta, gamma / 2 pi) are held at constants
  while their Jacobian, (2 pi)^2, stays in the density. Ours integrates rotations out, dx / (8 pi^2 V), so
  that theirs is larger by ln 4 pi^2 (and not by ln 8 pi^2, as cos beta is not scaled to [0, 1]);
* methyls: they fix the handed order of the hydrogens and leave the rotor its full circle: ln 3 for each.

Printed beside are terms that another reader may expect: constrained bonds (2 ln b0, in both), Angstrom, all
orientations. The last columns take the forward KL that the published EUBO implies, EUBO - log Z, and what the
published effective sample size lets one expect if log weights were normal, -ln(ESS) / 2. Energy evaluations:
none.
"""

import argparse
import math
from dataclasses import dataclass

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.molecule.system import System

#: Log Z of this package, from docs/results.
LOG_Z = {"alanine_dipeptide": -181.98145, "alanine_tetrapeptide": -343.364}
#: (EUBO, effective sample size in %) by method: CMT (arXiv:2510.18460), table 1.
PUBLISHED = {
    "alanine_dipeptide": {
        "forward KL": (-174.92, 82.14),
        "reverse KL": (-174.96, 94.13),
        "FAB": (-174.98, 94.80),
        "TA-BG": (-174.99, 95.76),
        "CMT": (-175.00, 97.69),
    },
    "alanine_tetrapeptide": {
        "forward KL": (-333.79, 45.29),
        "reverse KL": (-332.96, 75.06),
        "FAB": (-333.93, 63.59),
        "TA-BG": (-333.99, 65.81),
        "CMT": (-334.00, 68.60),
    },
    "alanine_hexapeptide": {
        "forward KL": (-533.16, 10.98),
        "reverse KL": (-529.26, 21.83),
        "FAB": (-532.98, 14.55),
        "TA-BG": (-533.43, 18.22),
        "CMT": (-533.51, 29.63),
    },
}


@dataclass(frozen=True)
class Term:
    """What a log Z is larger by than ours, and whether TA-BG's and CMT's is."""

    name: str
    value: float
    theirs: bool = False


def terms(system: System) -> list[Term]:
    """Constants between conventions, from the system alone.

    Raises:
        ValueError: a symmetric rotor is no methyl, or the domain has every labelling.
    """
    coordinates = MolecularCoordinates(system)
    folds = [rotor.fold for rotor in coordinates.rotors]
    if any(fold != 3 for fold in folds) or system.domain.equivalent_atoms != "one labelling":
        raise ValueError(f"{system.name}: only methyls with one labelling can be converted")
    n, n_rotors, fixed = system.n_atoms, len(folds), coordinates.fixed
    jacobian = 2 * coordinates.reference[fixed].log().sum().item()
    return [
        Term("placement held, 4 pi^2", math.log(4 * math.pi**2), theirs=True),
        Term(f"{n_rotors} methyls, every cyclic labelling", n_rotors * math.log(3), theirs=True),
        Term("every orientation, 8 pi^2", math.log(8 * math.pi**2)),
        Term("mirror image", math.log(2)),
        Term("Angstrom", (3 * (n - 1) - len(fixed)) * math.log(10)),
        Term(f"{len(fixed)} constrained bonds, 2 ln b0 left out", abs(jacobian)),
    ]


def report(name: str, log_z: float) -> None:
    """Print the terms, and the published figures beside."""
    found = terms(System.load(name))
    converted = log_z + sum(term.value for term in found if term.theirs)
    print(f"\n{name}: log Z {log_z:.4f}")
    for term in found:
        sign, note = ("+", "") if term.theirs else (" ", "  not in theirs")
        print(f"  {sign} {term.name:42s} {term.value:10.4f}{note}")
    print(f"  = in their convention                        {converted:10.4f}")
    print("  published     EUBO    ESS, %    EUBO - log Z   -ln(ESS)/2   EUBO + ln(ESS)/2 - log Z")
    for method, (eubo, ess) in PUBLISHED.get(name, {}).items():
        expected = -0.5 * math.log(ess / 100)
        print(
            f"  {method:10s} {eubo:8.2f} {ess:8.2f} {eubo - converted:14.3f} {expected:12.3f} "
            f"{eubo - expected - converted:14.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("systems", nargs="*", metavar="SYSTEM")
    parser.add_argument("--log-z", type=float)
    arguments = parser.parse_args()
    names = arguments.systems or list(LOG_Z)
    if arguments.log_z is not None and len(names) != 1:
        parser.error("--log-z belongs to one SYSTEM")
    for name in names:
        if arguments.log_z is None and name not in LOG_Z:
            parser.error(f"no log Z of {name!r} is known; give --log-z")
        report(name, LOG_Z[name] if arguments.log_z is None else arguments.log_z)


if __name__ == "__main__":
    main()
