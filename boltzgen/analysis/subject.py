"""What an analysis is of: files, their molecule, what is asked for, and the findings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from boltzgen.analysis.findings import Findings, SampleFindings
from boltzgen.analysis.notes import marked
from boltzgen.analysis.source import Source
from boltzgen.analysis.summed import SummedFindings, cells_in
from boltzgen.molecule.system import System
from boltzgen.molecule.torsional import Pair, checked_pairs
from boltzgen.samples.file import read_header
from boltzgen.samples.header import SamplesHeader
from boltzgen.samples.quantity import Quantity, quantity
from boltzgen.statistics.merge import merged_statistics
from boltzgen.statistics.statistics import Statistics


@dataclass(frozen=True, eq=False)
class Subject:
    """What is analysed.

    Attributes:
        paths: of the files.
        kind: "samples", "statistics", "reference" or "trajectory".
        molecule: that they are of.
        about: what the files say of their origin.
        missing: shards that are not there, in words, for each run that lacks some.
        pairs: of torsions, whose surfaces are wanted.
        quantities: along which profiles are wanted.
        findings: of which tables and pictures are made.
    """

    paths: Sequence[Path]
    kind: str
    molecule: System | SamplesHeader
    about: dict[str, Any]
    missing: Sequence[str]
    pairs: Sequence[Pair]
    quantities: Sequence[Quantity]
    findings: Findings

    @property
    def temperature(self) -> float:
        """Of the target in K."""
        return float(self.about["temperature"])

    @property
    def file(self) -> str | list[str]:
        """The file, or the files."""
        return str(self.paths[0]) if len(self.paths) == 1 else [str(path) for path in self.paths]

    @property
    def series(self) -> list[str]:
        """What independent samples are called, if there are several."""
        if not isinstance(self.findings, SampleFindings) or len(self.findings.source.series) < 2:
            return []
        return [name for name, _ in self.findings.source.series]

    @property
    def title(self) -> str:
        """What is written over the pictures."""
        found = self.findings.weights
        n, n_effective = found["n_samples"], found["effective_sample_size"]
        is_weighted = self.kind in ("samples", "statistics")
        counted = f"{n:,} draws, {n_effective:,.0f} effective" if is_weighted else f"{n:,} frames"
        measure = ", constrained dynamics" if self.about["measure"] == "constrained-dynamics" else ""
        title = f"{self.about['system']}, {self.temperature:g} K{measure}: {counted}"
        return marked(title, self.about["doubt"])


def counted(
    paths: Sequence[Path],
    source: Source,
    missing: Sequence[str],
    pairs: Sequence[Pair],
    along: Sequence[str],
) -> Subject:
    """Of a run's samples files, whose draws are counted in fine cells: memory does not grow with them.

    Args:
        paths: of the files.
        source: their draws.
        missing: shards that are not there.
        pairs: of torsions, whose surfaces are wanted.
        along: quantities along which profiles are wanted.

    Raises:
        ValueError: a pair or a quantity that the molecule has not; or as `Statistics.add`.
    """
    header = read_header(paths[0])
    statistics = Statistics(replace(header, n_whole=source.n), pairs=pairs, along=along)
    start = 0
    for chunk in source.chunks():
        statistics.add(chunk, start)
        start += len(chunk)
    found = SummedFindings(statistics)
    quantities = [quantity(text, header) for text in dict.fromkeys(" ".join(text.split()) for text in along)]
    return Subject(paths, source.kind, header, source.about, missing, pairs, quantities, found)


def of_statistics(
    paths: Sequence[Path], pairs: Sequence[Pair], along: Sequence[str], bins: int | None
) -> Subject:
    """Files of statistics, or shards of which some are.

    Surfaces and quantities are by default all that there are.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file cannot be read, or is of another run than the others; or what is asked for was not
            counted.
    """
    if bins is not None:
        cells_in(bins)
    statistics, found = merged_statistics(paths)
    header, plan = statistics.header, statistics.plan
    chosen = checked_pairs(pairs, header) if pairs else plan.pairs
    for pair in chosen:
        if pair not in plan.pairs:
            raise ValueError(
                f"no surface of {' and '.join(pair)} was counted; draw with `pairs` of them, or choose from "
                f"{', '.join(' '.join(known) for known in plan.pairs) or 'none'}"
            )
    texts = [" ".join(text.split()) for text in along] or list(plan.along)
    for text in texts:
        if text not in plan.quantities:
            raise ValueError(
                f"no {text!r} was counted; draw with it in `along`, or choose from "
                f"{', '.join(plan.quantities)}"
            )
    return Subject(
        paths,
        "statistics",
        header,
        {
            "system": header.system,
            "temperature": header.temperature,
            "domain": header.domain,
            "seed": header.seed,
            "boltzgen_version": header.version,
            "n_energy_evaluations": header.n_energy_evaluations,
            "measure": "flexible-limit",
            "doubt": header.doubt,
            "refined": header.refined,
        },
        [found.missing] if found.missing else [],
        chosen,
        [quantity(text, header) for text in dict.fromkeys(texts)],
        SummedFindings(statistics),
    )
