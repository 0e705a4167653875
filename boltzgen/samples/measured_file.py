"""Samples files as a measure of constrained molecules has them."""

from collections.abc import Iterator
from pathlib import Path

import torch

from boltzgen.molecule.find import find_system
from boltzgen.molecule.system import System
from boltzgen.samples.file import iter_samples, read_log_weights
from boltzgen.samples.measure import Measure, check_measure, weighted_for
from boltzgen.samples.pooled import Files, pooled
from boltzgen.samples.weighted_samples import WeightedSamples


class MeasuredFile:
    """A samples file whose samples have the weights of a measure; or several, whose draws are pooled.

    Args:
        path: of the file, or of several, see `pooled`.
        measure: see `weighted_for`; by default that of the draws.
        system: the molecule, or the name or folder that `System.load` finds it by. Another measure than the
            draws' needs its masses and constraints, which the file does not hold; of a system that ships it
            is found by its name.

    Attributes:
        pooled: which files there are.
        header: what they say.
        system: the molecule if it was given or is needed, else None.

    Raises:
        FileNotFoundError: no such file or system.
        ValueError: not a samples file, no such measure, samples for another target than the system's, or
            files that do not belong together.
    """

    def __init__(
        self,
        path: Files,
        measure: Measure = "flexible-limit",
        system: System | str | Path | None = None,
    ) -> None:
        check_measure(measure)
        self.pooled, self.measure = pooled(path), measure
        self.header = self.pooled.header
        known = system if isinstance(system, System) or system is None else System.load(system)
        if known is not None and known.fingerprint != self.header.fingerprint:
            raise ValueError(
                f"the weights in {self.pooled.files[0]} are for another target ({self.header.system}, "
                f"another force field or domain) than {known.name}; leave out `system`, or give the one that "
                "the samples were drawn for"
            )
        if known is None and measure != "flexible-limit":
            known = find_system(self.header.system, self.header.fingerprint)
            if known is None:
                raise ValueError(
                    f"`measure` {measure} needs the masses and constraints of {self.header.system!r}, which "
                    "is none of the systems that ship; give its folder as `system`"
                )
        self.system = known

    def __iter__(self) -> Iterator[WeightedSamples]:
        """The samples in order, a part in memory at a time."""
        for path in self.pooled.files:
            for part in iter_samples(path):
                yield part if self.system is None else weighted_for(part, self.system, self.measure)

    def log_weights(self) -> torch.Tensor:
        """All log-weights, float64 (n,)."""
        if self.measure == "flexible-limit":
            return torch.cat([read_log_weights(path) for path in self.pooled.files])
        return torch.cat([part.log_w for part in self] or [torch.empty(0, dtype=torch.float64)])
