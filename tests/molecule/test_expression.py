"""Expressions of named quantities: what they give, and that nothing else is read."""

import numpy as np
import pytest

from boltzgen.molecule.expression import Expression

PHI = np.array([-170.0, -60.0, 60.0, 170.0])
PSI = np.array([-40.0, 150.0, 30.0, -150.0])
ODD = "torsion C5-C6-O2-H7"
LENGTH = np.array([0.1, 0.2, 0.4, 0.8])
VALUES = {"phi": PHI, "psi": PSI, ODD: PHI, "distance 2:CA CA4": LENGTH}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("phi < 0", PHI < 0),
        ("-100 <= phi < 100", (PHI >= -100) & (PHI < 100)),
        ("phi < 0 and psi > 0 or not phi <= 100", (PHI < 0) & (PSI > 0) | (PHI > 100)),
        ("between(phi, 160, -160)", [True, False, False, True]),
        ("between(phi, -170, 170)", [True, True, True, False]),
        ("between(phi, -180, 180)", [True] * 4),
        ("between(phi + 20, -180, -140)", [True, False, False, True]),
        (f"between('{ODD}', 0, 100) and `{ODD}` != 0", [False, False, True, False]),
        (f"between({ODD}, 0, 100) and {ODD} - 1 > 0", [False, False, True, False]),
        ("distance(2:CA, CA4) < 0.3 and phi<-100", [True, False, False, False]),
        ("0.15 < `distance 2:CA CA4` < 0.5", [False, True, True, False]),
        ("1 < 2", [True] * 4),
        ("cos(phi - psi) > 0.5", np.cos(np.radians(PHI - PSI)) > 0.5),
    ],
)
def test_conditions(text: str, expected: np.ndarray) -> None:
    expression = Expression(text)
    found = expression(VALUES)
    assert expression.is_condition
    assert found.dtype == bool
    assert found.tolist() == list(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("phi", PHI),
        ("-phi + 2*psi - 3/4", -PHI + 2 * PSI - 0.75),
        ("sqrt(abs(phi)) ** 2", np.abs(PHI)),
        ("1 + 2 ^ 2 * phi", 1 + 4 * PHI),
        ("sin(90) + cos(phi) + tan(45)", 2 + np.cos(np.radians(PHI))),
        ("max(phi, psi) - min(phi, psi)", np.abs(PHI - PSI)),
        ("exp(log(7))", [7.0] * 4),
        ("distance 2:CA CA4", LENGTH),
        (" distance  2:CA,CA4 ", LENGTH),
        ("2 ^ distance( 2:CA , CA4 )-1", 2**LENGTH - 1),
        (f"{ODD}-10", PHI - 10),
        ("acos(cos(phi)) + atan2(sin(phi), cos(phi))", np.abs(PHI) + PHI),
        ("asin(0.5) + atan(1)", [75.0] * 4),
        (
            "select(phi > 0, psi, -psi) + select(step(psi), 1, 2)",
            np.where(PHI > 0, PSI, -PSI) + 1 + (PSI < 0),
        ),
        ("square(phi) - cube(2) + floor(psi / 7) - ceil(psi / 7)", PHI**2 - 9.0),
        ("sinh(1)^2 - cosh(1)^2 + erf(2) + erfc(2) + tanh(0)", [0.0] * 4),
    ],
)
def test_numbers(text: str, expected: np.ndarray) -> None:
    expression = Expression(text)
    found = expression(VALUES)
    assert not expression.is_condition
    assert found.dtype == np.float64
    assert found == pytest.approx(np.asarray(expected))


def test_names_and_periods() -> None:
    expression = Expression(f"between(psi, -45, 45) and phi > psi and '{ODD}' > 0")
    assert expression.names == ("psi", "phi", ODD)
    values = VALUES | {"psi": np.array([-90.0, 0.0, 89.0, 44.0])}
    assert Expression("between(psi, 60, 120)")(values, {"psi": 180.0}).tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("phi <", "cannot be read"),
        ("phi % 2 > 3", "not allowed"),
        ("phi > psi if 1 else 2", "not allowed"),
        ("__import__('os').system('x')", "not allowed"),
        ("phi.real > 0", "not allowed"),
        ("phi[0] > 1", "not allowed"),
        ("(lambda: 1)() > 0", "not allowed"),
        ("[phi for phi in 'a']", "not allowed"),
        ("True", "not allowed"),
        ("1j > 0", "not allowed"),
        ("open('x') > 0", "not allowed"),
        ("sin(x=3)", "not allowed"),
        ("between(phi, 1)", "between takes 3 values, got 2"),
        ("phi and psi > 0", "'phi' is a number"),
        ("not phi", "'phi' is a number"),
        ("(phi > 0) + 1", "is true or false"),
        ("(" * 500 + "phi" + ")" * 400, "cannot be read"),
        ("-" * 900 + "phi", "nested too deeply|cannot be read"),
        ("-" * 200 + "phi", "nested too deeply: more than 150"),
        ("9" * 400 + " * phi", "not allowed"),
        ("1e999 * phi", "not allowed"),
        ("distance(CA2, CA4) 5", "cannot be read"),
        ("select(phi, psi > 0, 1)", "is true or false"),
        ("phi" * 400, "at most 1000"),
    ],
)
def test_everything_else_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Expression(text)
