"""What errors two trainings share: `benchmarks/shared_errors.py` on errors that are known."""

import argparse
from pathlib import Path
from types import ModuleType

import pytest
import torch

from boltzgen.coordinates.names import coordinate_names
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.target import PullbackEnergy
from tests.helpers.scripts import loaded


@pytest.fixture(scope="module")
def shared_errors() -> ModuleType:
    return loaded(Path(__file__).parents[2] / "benchmarks" / "shared_errors.py")


def test_what_turns_the_chain(shared_errors: ModuleType) -> None:
    """In the dipeptide what has three heavy atoms on either side; the methyl amide has two."""
    generator = BoltzmannGenerator.load("alanine_dipeptide")
    names = coordinate_names(generator.coordinates, generator.system)[generator.coordinates.n_periodic :]
    found = {names[k] for k in shared_errors.chain_coordinates(generator)}
    assert found == {"angle ALA2:C-CA-N", "angle ALA2:CA-N-ACE1:C", "omega0 ALA2:CA-N-ACE1:C-CH3"}


def test_a_quadratic_error_is_explained_by_products_alone(shared_errors: ModuleType) -> None:
    r = torch.randn(4000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    error = 0.5 * r[:, 0] + r[:, 1] * r[:, 2]
    linear, _ = shared_errors.explained(r, error)
    whole, found = shared_errors.explained(torch.cat((r, (r[:, 1] * r[:, 2])[:, None]), 1), error)
    assert linear == pytest.approx(0.2, abs=0.05)
    assert whole > 0.999
    assert found[-1] == pytest.approx(1.0, abs=0.01)


def test_what_is_explained_is_of_draws_that_took_no_part(shared_errors: ModuleType) -> None:
    stream = torch.Generator().manual_seed(0)
    r, error = (torch.randn(n, dtype=torch.float64, generator=stream) for n in ((200, 100), (200,)))
    assert shared_errors.explained(r, error)[0] < 0


@torch.no_grad()
def test_a_run_has_its_errors_in_common_with_itself(
    shared_errors: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = BoltzmannGenerator.load("alanine_dipeptide")
    target = PullbackEnergy(energy_for(generator.system), generator.coordinates)
    shared_errors.between([generator.flow, generator.flow], target, 4096, 1)
    shared_errors.at_torsions(generator, target, argparse.Namespace(seed=1, torsions=1, rest=4096))
    said = capsys.readouterr().out
    assert "correlation 1.00" in said
    assert "variance of their difference, torsions: 0.000" in said
    assert "rest given them: 0.000" in said
