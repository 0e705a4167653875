"""Calls of the command line and what is expected of refusals, and a made-up generator that it may load."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from boltzgen import cli
from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples
from tests.helpers.posing import made_up_samples

Output = tuple[int, str, str]


def call(capfd: pytest.CaptureFixture[str], *arguments: object) -> Output:
    capfd.readouterr()
    code = cli.main([str(a) for a in arguments])
    return code, *capfd.readouterr()


def refused(output: Output, message: str) -> None:
    code, out, err = output
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("boltzgen: ")
    assert err.count("\n") == 1


class FakeGenerator:
    """Stands for a trained generator of any system; `spread` and `stop` make it bad or interrupted."""

    temperature = 300.0
    digest = "made up"
    spread = 0.3
    stop: type[BaseException] | None = None
    loaded: Path | None = None

    @classmethod
    def load(cls, path: Path, system: System, *, device: str = "cpu") -> "FakeGenerator":
        cls.loaded, cls.system = Path(path), system
        return cls()

    def sample_chunks(
        self, n: int, energy: torch.nn.Module, *, seed: int = 0, start: int = 0, refine: object = 0
    ) -> Iterator[WeightedSamples]:
        whole = made_up_samples(self.system, n, seed, spread=self.spread)
        for first in range(start, n, 700):
            part = whole[first : first + 700]
            energy(part.x[:1].expand(len(part), -1, -1))
            yield part
            if self.stop is not None:
                raise self.stop
