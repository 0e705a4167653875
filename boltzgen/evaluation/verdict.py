"""What an evaluation says, in one sentence, and how large differences are that say nothing."""

import math
from typing import Any

from scipy.optimize import brentq
from scipy.stats import norm

#: Largest |z| of a marginal or a basin that is not called a difference: hundreds of edges are compared.
AGREEMENT = 5.0
#: A largest |z| that chance exceeds less often than this is no agreement either: the verdict is open.
DOUBT = 0.01
#: Shares of the draws that a marginal's edges have at least on either side.
TAIL = 0.002
#: The largest |z| of comparisons that agree lies in the range that is told with this probability.
_LEVEL = 0.9
#: What has a z: its key in the result, and what many of them are called.
_GROUPS = {
    "basins": "basins",
    "regions": "regions of residues",
    "torsions": "states of torsions",
    "marginals": "marginals",
}


def differs(result: dict[str, Any]) -> list[str]:
    """In what a generator differs from its reference: missing modes, and where some |z| is above `AGREEMENT`.

    Of a `summarize` result; empty if they agree, or if that is open.
    """
    modes = [mode["text"] for mode in result["missing_modes"]]
    return modes + [
        _far(name, rows, AGREEMENT) for name, rows in _compared(result) if _largest(rows) > AGREEMENT
    ]


def doubts(result: dict[str, Any]) -> list[str]:
    """Where the largest |z| is more than chance gives but is not above `AGREEMENT`: see `DOUBT`."""
    found = []
    for name, rows in _compared(result):
        limit = largest_by_chance(len(rows), 1 - DOUBT, edges=name == "marginals")
        if limit < _largest(rows) <= AGREEMENT:
            found.append(f"{_far(name, rows, limit)}, where chance stays below {limit:.1f}")
    return found


def verdict(result: dict[str, Any]) -> str:
    """Whether a generator agrees with its reference, and by what: of a `summarize` result, in words."""
    found = differs(result)
    if found:
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        return f"Differs from the reference: {'; '.join(found[:3])}{more}."
    found = doubts(result)
    if found:
        return (
            f"May differ from the reference: {'; '.join(found)} in {100 * (1 - DOUBT):g} of 100 cases. "
            "Either the generator is wrong there or the reference is, by more than its stated error: a "
            "longer reference tells."
        )
    largest = [f"{_largest(rows):.1f} of {len(rows)} {name}" for name, rows in _compared(result)]
    return f"Agrees with the reference: no mode is missing, and the largest |z| is {', '.join(largest)}."


def by_chance(result: dict[str, Any]) -> str:
    """What z is, and how large its largest values are where nothing differs: two sentences."""
    ranges = []
    for name, rows in _compared(result):
        low, high = expected_largest(len(rows), edges=name == "marginals")
        ranges.append(f"{low:.1f} to {high:.1f} for {len(rows)} {name}")
    return (
        "z is a difference divided by its standard error; of a marginal, the largest along it. Where nothing "
        f"differs, the largest |z| lies in nine of ten cases within {', '.join(ranges)}."
    )


def expected_largest(n: int, *, edges: bool = False) -> tuple[float, float]:
    """Where the largest of n independent |z| lies in nine cases of ten, if nothing differs.

    Of normal deviates P(|z| < b) = 2 Phi(b) - 1, and the largest of n has that to the power of n. With
    `edges` each z is itself the largest over all edges of a histogram with 0.2 % or more of the draws on
    either side; then

        P(|z| > b) = phi(b) ((b - 1/b) 2 ln((1 - 0.002) / 0.002) + 4/b)

    for endlessly many edges (Miller and Siegmund, Biometrics 38, 1011, 1982), which is a little more than for
    as few as there are.

    >>> [round(b, 1) for b in expected_largest(60)]
    [2.0, 3.3]
    >>> [round(b, 1) for b in expected_largest(60, edges=True)]
    [3.4, 4.5]
    """
    low, high = (largest_by_chance(n, (1 + side * _LEVEL) / 2, edges=edges) for side in (-1, 1))
    return low, high


def largest_by_chance(n: int, probability: float, *, edges: bool = False) -> float:
    """What the largest of n independent |z| is below with a probability: see `expected_largest`."""
    exceed = _beyond_edges if edges else lambda b: 2 * norm.sf(b)
    single = -math.expm1(math.log(probability) / n)
    return float(brentq(lambda b: exceed(b) - single, *((1.5, 40.0) if edges else (0.0, 40.0))))


def _beyond_edges(b: float) -> float:
    """Miller and Siegmund's probability; at most 1, below which it falls with b."""
    length = 2 * math.log((1 - TAIL) / TAIL)
    return min(1.0, float(norm.pdf(b)) * ((b - 1 / b) * length + 4 / b))


def _compared(result: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """What many comparisons are called, and the comparisons, of those that there are."""
    return [(name, result[key]) for key, name in _GROUPS.items() if result[key]]


def _largest(rows: list[dict[str, Any]]) -> float:
    return max(abs(float(row["z"])) for row in rows)


def _far(name: str, rows: list[dict[str, Any]], limit: float) -> str:
    """How many of the rows have a |z| above a limit, and which one most."""
    far = [row for row in rows if abs(row["z"]) > limit]
    most = max(far, key=lambda row: abs(row["z"]))
    of = " ".join(str(most[key]) for key in ("residue", "torsion", "name") if key in most)
    return f"{len(far)} of {len(rows)} {name} (most of all {of}, z = {most['z']:+.1f})"
