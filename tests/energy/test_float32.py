"""Single precision on peptides of 138 and 304 atoms, against double precision on the same rounded
positions.
"""

import pytest

from boltzgen.energy import ForceFieldEnergy
from tests.helpers.force_fields import make, thermal_frames

CASES = [
    ("amber99sbildn", "gbsa"),
    ("amber19", "vacuum"),
    pytest.param("amber14", "gbn2", marks=pytest.mark.matrix),
]


@pytest.mark.parametrize("molecule", ["chignolin", pytest.param("trp_cage", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("field", "solvent"), CASES)
def test_float32_within_a_thousandth_of_kt(field: str, solvent: str, molecule: str) -> None:
    system = make(field, solvent, molecule)
    energy = ForceFieldEnergy(system)
    x = thermal_frames(system, 64).float()
    assert (energy(x).double() - energy(x.double())).abs().max() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(("field", "solvent"), CASES)
def test_without_compiled_kernels(field: str, solvent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What other devices and other forces take: term by term, sums over pairs in float64."""
    system = make(field, solvent, "trp_cage")
    energy = ForceFieldEnergy(system)
    monkeypatch.setattr(energy.compiled, "ready", lambda x: False)
    x = thermal_frames(system, 64).float()
    assert (energy(x).double() - energy(x.double())).abs().max() < 1e-3
