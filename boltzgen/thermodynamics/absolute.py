"""Absolute conformational free energies and entropies, and what the domain leaves out of them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from boltzgen import units
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.free_energy.result import Result, difference
from boltzgen.free_energy.state_functions import NOTES, energy, free_energy, minus_ts
from boltzgen.molecule.find import find_system
from boltzgen.molecule.system import System
from boltzgen.samples.measure import Measure
from boltzgen.samples.measured_file import MeasuredFile
from boltzgen.samples.pooled import Files
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

    @property
    def results(self) -> dict[str, Result]:
        """The three by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


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
    t = system.temperature if temperature is None else units.kelvin(temperature)
    return _absolute(samples.u.numpy(force=True), samples.log_w.numpy(force=True), system, t, add)


def absolute_of_file(
    path: Files,
    *,
    system: System | str | Path | None = None,
    measure: Measure = "flexible-limit",
    add: Iterable[str] = (),
) -> tuple[Absolute, dict[str, float]]:
    """`absolute` of a samples file, at the temperature of its draws; and the molecule's `additions`.

    Args:
        path: of the file, which is read in chunks, or of several, whose draws are pooled, see
            `samples.pooled`.
        system: the molecule, or its name or folder; one that ships is found by the file.
        measure: of a constrained molecule's draws, see `MeasuredFile`.
        add: as in `absolute`.

    Raises:
        FileNotFoundError: no such file or system.
        ValueError: not a samples file, files that do not belong together, another molecule's, or one that has
            to be given as `system`; a name that is not among `additions`.
    """
    file = MeasuredFile(path, measure, system)
    header = file.header
    known = file.system or find_system(header.system, header.fingerprint)
    if known is None:
        raise ValueError(
            f"what the domain of {header.system!r} leaves out goes by the molecule, which is none of those "
            "that ship; give its folder as `system`"
        )
    u, log_w = np.empty(header.n_samples), np.empty(header.n_samples)
    start = 0
    for part in file:
        here = slice(start, start + len(part))
        u[here], log_w[here] = part.u.numpy(), part.log_w.numpy()
        start += len(part)
    return _absolute(u, log_w, known, header.temperature, add), additions(known)


def _absolute(
    u: np.ndarray, log_w: np.ndarray, system: System, temperature: float, add: Iterable[str]
) -> Absolute:
    known, chosen = additions(system), tuple(dict.fromkeys(add))
    for name in chosen:
        if name not in known:
            listed = ", ".join(map(repr, known)) or "none"
            raise ValueError(f"no addition called {name!r} to this molecule's log Z; it has: {listed}")
    more = sum(known[name] for name in chosen)
    notes = (*NOTES, *_notes(system, known, chosen))
    results = (free_energy(log_w), more), (energy(u, log_w), 0.0), (minus_ts(u, log_w), more)
    return Absolute(
        *(
            replace(
                r,
                value=r.value - shift,
                low=r.low - shift,
                high=r.high - shift,
                temperature=temperature,
                notes=notes,
            )
            for r, shift in results
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
