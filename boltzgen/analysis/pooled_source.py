"""Several samples files as one source: shards of one run, and draws of several seeds, pooled."""

from collections.abc import Sequence
from pathlib import Path

from boltzgen.analysis.source import Source, kind_of, open_source, samples_source
from boltzgen.molecule.system import System
from boltzgen.samples.measure import Measure
from boltzgen.samples.measured_file import MeasuredFile
from boltzgen.samples.pooled import pooled


def pooled_source(
    paths: Sequence[Path],
    system: System | str | Path | None = None,
    *,
    measure: Measure = "flexible-limit",
) -> tuple[Source, list[str]]:
    """The conformations of samples files, and what is missing of shards, in words; see `samples.pooled`.

    Args:
        paths: of the files, at least one.
        system: see `open_source`.
        measure: see `open_source`.

    Raises:
        FileNotFoundError: no such file or system.
        ValueError: a file is no samples file, or of another target than the first; or two hold the same
            draws.
    """
    if len(paths) == 1:
        source = open_source(paths[0], system, measure=measure)
        return source, list(pooled(paths).missing) if source.kind == "samples" else []
    molecule = system if isinstance(system, System) or system is None else System.load(system)
    for path in paths:
        if (kind := kind_of(path, needs_system=molecule is None)) != "samples":
            raise ValueError(
                f"{path} is a {kind}; several files at once are samples files, or statistics of one run"
            )
    file = MeasuredFile(paths, measure, molecule)
    return samples_source(file, molecule), list(file.pooled.missing)
