"""What a samples file says of its contents: as an object, and as the plain values that files hold."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import mdtraj
from pydantic import ValidationError

from boltzgen import __version__
from boltzgen.molecule.basins import Basin
from boltzgen.molecule.graph import Quadruple
from boltzgen.molecule.names import check_name, reason
from boltzgen.molecule.states import Rotamer
from boltzgen.molecule.system import System
from boltzgen.samples.shards import Range, Shard, joined

#: Of the samples file. Files of format 1 have no checksums, and say neither their format nor their generator.
FORMAT = 2


@dataclass(frozen=True)
class SamplesHeader:
    """What a samples file says about its contents; it serves as the `system` of the samples read from it.

    Attributes:
        n_samples, n_atoms: size.
        system: name of the system.
        fingerprint: `System.fingerprint`, equal for equal target densities.
        temperature: of the target, in K.
        seed: that the samples were drawn with; None if the file does not say.
        n_energy_evaluations: spent on drawing them; None if the file does not say.
        version: of boltzgen that wrote the file.
        domain: on which the density is defined.
        basins, torsions: named regions and torsions of the molecule.
        regions, rotamers: those of `System`; empty if the file, of an earlier version, names none.
        generator: `BoltzmannGenerator.digest` of what drew them, see `refined`; empty if the file does not
            say.
        mdtraj_topology: atoms and bonds; None if the file holds no topology.
        shard: which share of the seed's draws the file is for, ``"3/64"``; empty if it is none.
        n_whole: draws of all shards; None if the file is no shard.
        ranges: which of the seed's draws it holds, in order; empty where no seed is said.
        doubt: why what drew them is not to be relied on, in a sentence; empty where nothing is known.
    """

    n_samples: int
    n_atoms: int
    system: str
    fingerprint: str
    temperature: float
    seed: int | None
    n_energy_evaluations: int | None
    version: str
    domain: dict[str, str]
    basins: tuple[Basin, ...]
    torsions: dict[str, Quadruple]
    regions: dict[str, tuple[Basin, ...]]
    rotamers: dict[str, Rotamer]
    generator: str
    mdtraj_topology: mdtraj.Topology | None = field(repr=False)
    shard: str = ""
    n_whole: int | None = None
    ranges: tuple[Range, ...] = ()
    doubt: str = ""

    @property
    def refined(self) -> int:
        """Moves that each draw made after the flow (`refine` of `FlowSampler.sample`); 0 for none."""
        steps = self.generator.partition("+")[2]
        return int(steps) if steps.isdecimal() else 0

    @property
    def name(self) -> str:
        """Name of the system."""
        return self.system


def describe(
    system: System | SamplesHeader,
    temperature: float,
    *,
    seed: int | None,
    generator: str,
    shard: str = "",
    n_whole: int | None = None,
    doubt: str = "",
) -> dict[str, Any]:
    """What is said of samples of a system, as numbers and text; text other than names is JSON.

    A seed that is not known is not said, nor is a shard of samples that are none.
    """
    domain = system.domain if isinstance(system, SamplesHeader) else system.domain.model_dump()
    said = {
        "format": FORMAT,
        "boltzgen_version": __version__,
        "system": json.dumps(system.name),
        "fingerprint": system.fingerprint,
        "generator": generator,
        "temperature": temperature,
        "seed": seed,
        "shard": shard or None,
        "n_whole": n_whole,
        "doubt": json.dumps(doubt) if doubt else None,
        "domain": json.dumps(domain),
        "basins": json.dumps([b.model_dump() for b in system.basins]),
        "torsions": json.dumps(system.torsions),
        "regions": json.dumps(
            {name: [b.model_dump() for b in held] for name, held in system.regions.items()}
        ),
        "rotamers": json.dumps({name: asdict(rotamer) for name, rotamer in system.rotamers.items()}),
    }
    return {key: value for key, value in said.items() if value is not None}


def parse(
    said: Mapping[str, Any],
    *,
    n_samples: int,
    n_atoms: int,
    n_energy_evaluations: int | None,
    topology: mdtraj.Topology | None,
) -> SamplesHeader:
    """The header of what `describe` said, in this version or an earlier one.

    Raises:
        KeyError, TypeError, ValueError: a value is missing, or is none that `describe` gives.
    """
    if not 1 <= (version := int(said.get("format", 1))) <= FORMAT:
        raise ValueError(f"format {version}, this version of boltzgen reads 1 to {FORMAT}")
    basins, torsions = json.loads(said["basins"]), json.loads(said["torsions"])
    regions, rotamers = json.loads(said.get("regions", "{}")), json.loads(said.get("rotamers", "{}"))
    temperature, seed, spent = float(said["temperature"]), said.get("seed"), n_energy_evaluations
    seed, spent = (None if number is None else int(number) for number in (seed, spent))
    if not 0 < temperature < math.inf or (seed or 0) < 0 or (spent or 0) < 0:
        raise ValueError(
            f"expected a positive temperature, seed >= 0 and n_energy_evaluations >= 0, got {temperature}, "
            f"{seed} and {spent}"
        )
    if topology is not None and topology.n_atoms != n_atoms:
        raise ValueError(f"a topology of {topology.n_atoms} atoms, but positions of {n_atoms}")
    shard, n_whole, ranges = _origin(said, n_samples)
    return SamplesHeader(
        n_samples=n_samples,
        n_atoms=n_atoms,
        system=check_name(json.loads(said["system"])),
        fingerprint=said["fingerprint"],
        temperature=temperature,
        seed=seed,
        n_energy_evaluations=spent,
        version=said["boltzgen_version"],
        domain=dict(json.loads(said["domain"])),
        basins=tuple(map(_basin, basins)),
        torsions={check_name(name): _quadruple(atoms, n_atoms) for name, atoms in torsions.items()},
        regions={check_name(name): tuple(map(_basin, held)) for name, held in regions.items()},
        rotamers={check_name(name): _rotamer(held, n_atoms) for name, held in rotamers.items()},
        generator=said.get("generator", ""),
        mdtraj_topology=topology,
        shard=shard,
        n_whole=n_whole,
        ranges=ranges,
        doubt=str(json.loads(said.get("doubt", '""'))),
    )


def _origin(said: Mapping[str, Any], n_samples: int) -> tuple[str, int | None, tuple[Range, ...]]:
    """Shard, draws of all shards, and ranges of draws, which files of one seed alone need not say."""
    shard, n_whole = said.get("shard", ""), said.get("n_whole")
    n_whole = None if n_whole is None else int(n_whole)
    if (shard and n_whole is None) or (n_whole is not None and n_whole < max(n_samples, 1)):
        raise ValueError(f"{n_samples} samples of shard {shard!r} of {n_whole} draws")
    if "ranges" in said:
        ranges = [(int(start), int(stop)) for start, stop in json.loads(said["ranges"])]
    else:
        start = Shard.parse(shard).checked(n_whole)[0] if shard and n_whole is not None else 0
        ranges = [(start, start + n_samples)]
    if "seed" not in said:
        return shard, n_whole, ()
    whole = max((stop for _, stop in ranges), default=0) if n_whole is None else n_whole
    if any(not 0 <= start <= stop <= whole for start, stop in ranges) or n_samples != sum(
        stop - start for start, stop in ranges
    ):
        raise ValueError(f"{n_samples} samples, which are said to be the draws {ranges[:5]}")
    return shard, n_whole, tuple(joined(ranges))


def _basin(held: Any) -> Basin:
    try:
        return Basin.model_validate(held)
    except ValidationError as error:
        raise ValueError(reason(error)) from error


def _rotamer(held: Mapping[str, Any], n_atoms: int) -> Rotamer:
    if not held["torsions"]:
        raise ValueError("a torsion without atoms")
    return Rotamer(held["division"], tuple(_quadruple(atoms, n_atoms) for atoms in held["torsions"]))


def _quadruple(atoms: Iterable[Any], n_atoms: int) -> Quadruple:
    found = tuple(atoms)
    if len(set(found)) != 4 or len(found) != 4 or not all(type(i) is int and 0 <= i < n_atoms for i in found):
        raise ValueError(f"a torsion of the atoms {found}; expected four different ones of {n_atoms}")
    return found
