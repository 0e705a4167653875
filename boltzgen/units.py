"""Physical constants and the one place where OpenMM quantities become plain numbers.

Throughout the package: lengths in nm, energies in kJ/mol or (reduced) in kT, temperatures in K, angles in
radians.
"""

import math
from typing import Any

#: Molar gas constant in kJ/(mol K) (CODATA 2018, exact).
MOLAR_GAS_CONSTANT = 0.00831446261815324
#: Units of energy that results can be asked for in.
ENERGY_UNITS = ("kT", "kJ/mol", "kcal/mol")
_KJ_PER_KCAL = 4.184


def percent(share: float, digits: int = 3) -> str:
    """A share in percent, in plain figures; what would need an exponent is below 0.001 %.

    >>> percent(0.12345), percent(1.0, digits=2), percent(7e-9), percent(0.0)
    ('12.3 %', '100 %', '< 0.001 %', '0 %')
    """
    if 0 < share < 1e-5:
        return "< 0.001 %"
    return f"{100 * share:.{max(digits, 3) if share >= 0.995 else digits}g} %"


def kt(temperature: float) -> float:
    """Thermal energy RT at `temperature` [K], in kJ/mol; raises ValueError as `kelvin`."""
    return MOLAR_GAS_CONSTANT * kelvin(temperature)


def one_kt(unit: str, temperature: float) -> float:
    """What one kT is at `temperature` [K], in kT, kJ/mol or kcal/mol.

    >>> [round(one_kt(unit, 300.0), 4) for unit in ENERGY_UNITS]
    [1.0, 2.4943, 0.5962]

    Raises:
        ValueError: another unit, or as `kelvin`.
    """
    if unit not in ENERGY_UNITS:
        raise ValueError(f"expected `unit` to be one of {', '.join(ENERGY_UNITS)}, got {unit!r}")
    if unit == "kT":
        return 1.0
    return kt(temperature) / (_KJ_PER_KCAL if unit == "kcal/mol" else 1.0)


def kelvin(temperature: Any) -> float:
    """A temperature in K, given as a number or as an OpenMM `Quantity`.

    Raises:
        ValueError: it is not a positive, finite number.
    """
    plain = strip_units(temperature, "kelvin")
    try:
        found = math.nan if isinstance(plain, bool | str) else float(plain)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not 0 < found < math.inf:
        raise ValueError(f"temperature must be a positive number of kelvin, got {temperature!r}")
    return found


def strip_units(value: Any, unit_name: str) -> Any:
    """Return `value` as plain numbers, converting an OpenMM `Quantity` to the unit called `unit_name`.

    `unit_name` is an attribute of `openmm.unit` (for instance ``"kelvin"`` or ``"nanometer"``); plain numbers
    pass through.
    """
    if hasattr(value, "value_in_unit"):
        from openmm import unit

        return value.value_in_unit(getattr(unit, unit_name))
    return value
