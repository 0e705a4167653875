"""Absolute conformational free energies and entropies, and what the domain leaves out of them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from boltzgen import units
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.free_energy.result import Result, difference
from boltzgen.free_energy.state_functions import NOTES
from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples

TRANS = "secondary amides trans: what cis forms add is left out and is no constant"


@dataclass(frozen=True)
class Absolute:
    """Free energy, mean potential energy and entropy of one molecule's conformations.

    Attributes:
        free_energy: F = -kT ln Z.
        energy: U, the mean potential energy.
        minus_ts: -T S = F - U; its error allows for that both are from the same draws.

    Errors and intervals are those of `free_energy.state_functions`.
    """

    free_energy: Result
    energy: Result
    minus_ts: Result

    def to(self, unit: str) -> "Absolute":
        """The same in kT, kJ/mol or kcal/mol; raises ValueError for another unit."""
        return Absolute(self.free_energy.to(unit), self.energy.to(unit), self.minus_ts.to(unit))


def additions(system: System) -> dict[str, float]:
    """What an unrestricted ln Z of a molecule has more, by name; see docs/conventions.md, "The domain".

    ``"equivalent atoms"`` is ln 3 for each methyl (its hydrogens' cyclic labellings, which it reaches by
    turning) and ln 2 for each twofold rotor. ``"mirror image"`` is ln 2 where the domain keeps some centre's
    handedness; it is exact where the force field does not tell mirror images apart.
    """
    coordinates = MolecularCoordinates(system)
    found = {}
    if coordinates.rotors:
        found["equivalent atoms"] = sum(math.log(rotor.fold) for rotor in coordinates.rotors)
    if coordinates.handed or any(rotor.fold == 3 for rotor in coordinates.rotors):
        found["mirror image"] = math.log(2.0)
    return found


def absolute(
    samples: WeightedSamples, system: System, temperature: float | None = None, *, add: Iterable[str] = ()
) -> Absolute:
    """F, U and -T S of a molecule in kT from weighted samples, on the domain of its system.

    F = -kT ln Z depends on the unit of length, and so does S; differences between solvents, force fields and
    temperatures do not. Solvation takes the molecule from a gas to a solution of the same concentration.

    Args:
        samples: draws with energies and log-densities of the system.
        system: the molecule.
        temperature: of the samples, in K (default: the system's).
        add: names of `additions` that F and -T S are to include; U is the same with them.

    Raises:
        ValueError: a name that is not among `additions`; or no draw has any weight.
    """
    known, chosen = additions(system), tuple(dict.fromkeys(add))
    for name in chosen:
        if name not in known:
            listed = ", ".join(map(repr, known)) or "none"
            raise ValueError(f"no addition called {name!r} to this molecule's log Z; it has: {listed}")
    more = sum(known[name] for name in chosen)
    t = system.temperature if temperature is None else units.kelvin(temperature)
    notes = (*NOTES, *_notes(system, known, chosen))
    f, u, ts = samples.free_energy(), samples.energy(), samples.minus_ts()
    return Absolute(
        *(
            replace(
                r, value=r.value - shift, low=r.low - shift, high=r.high - shift, temperature=t, notes=notes
            )
            for r, shift in ((f, more), (u, 0.0), (ts, more))
        )
    )


def _notes(system: System, known: dict[str, float], chosen: tuple[str, ...]) -> list[str]:
    texts = {
        "equivalent atoms": "the other labellings of equivalent atoms",
        "mirror image": "the mirror image, in which every centre has the other handedness",
    }
    notes = [
        f"ln Z {'includes' if name in chosen else 'leaves out'} {value:.4f} of {texts[name]} ({name!r})"
        for name, value in known.items()
    ]
    return [*notes, TRANS] if system.graph.peptide_bonds() else notes


def change(end: Absolute, start: Absolute) -> Absolute:
    """Changes of F, U and -T S from one state to another, of independent samples.

    From vacuum to a solvent it is the free energy of solvation. What both leave out, for instance the
    labellings, is out of the difference.

    Raises:
        ValueError: the two have different temperatures.
    """
    if end.free_energy.temperature != start.free_energy.temperature:
        raise ValueError(
            f"expected one temperature, got {start.free_energy.temperature} and "
            f"{end.free_energy.temperature} K; draw both at the same one"
        )
    pairs = ((getattr(end, name), getattr(start, name)) for name in ("free_energy", "energy", "minus_ts"))
    return Absolute(*(replace(difference(e, s), temperature=s.temperature) for e, s in pairs))
