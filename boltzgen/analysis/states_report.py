"""What `boltzgen free-energy states` says: states, differences and their convergence, in one unit."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from boltzgen.analysis.free_energy_figures import difference_label, free_energy_figure, titled
from boltzgen.figures import ShownFigure
from boltzgen.free_energy.agreement import agreement_in_words
from boltzgen.free_energy.convergence import Convergence
from boltzgen.free_energy.result import Result, joined
from boltzgen.free_energy.state_energies import StateEnergies, StateEnergy, in_unit
from boltzgen.units import one_kt

#: Differences that are followed against the number of draws, where none are asked for.
_FOLLOWED = 2


@dataclass(frozen=True, eq=False)
class StatesReport:
    """States in one unit of energy.

    Attributes:
        energies: of the states.
        unit: kT, kJ/mol or kcal/mol.
        between: pairs (start, end) whose differences are wanted; by default the two states that come after
            the most populated one, each relative to that.

    Raises:
        ValueError: no such unit, or no such state.
    """

    energies: StateEnergies
    unit: str = "kT"
    between: Sequence[tuple[str, str]] = ()
    rows: list[StateEnergy] = field(init=False)
    differences: list[Result] = field(init=False)
    curves: list[Convergence] = field(init=False)

    def __post_init__(self) -> None:
        energies = self.energies
        one_kt(self.unit, energies.temperature)
        if not self.between:
            ranked = sorted(energies.rows, key=lambda row: -row.population.value)
            pairs = [(energies.reference, row.name) for row in ranked[1 : 1 + _FOLLOWED] if row.n_raw]
            object.__setattr__(self, "between", pairs)
        n = len(energies.log_w)
        for name, found in (
            ("rows", [in_unit(row, self.unit) for row in energies.rows]),
            ("differences", [energies.difference(*pair).to(self.unit) for pair in self.between]),
            (
                "curves",
                [energies.convergence(*pair).to(self.unit) for pair in self.between] if n > 1 else [],
            ),
        ):
            object.__setattr__(self, name, found)

    @property
    def warnings(self) -> tuple[str, ...]:
        """All warnings, each once."""
        kinds = ("population", "free_energy", "energy", "minus_ts")
        results = [r for row in self.rows for kind in kinds if (r := getattr(row, kind)) is not None]
        followed = [
            tuple(f"F({end}) - F({start}): {warning}" for warning in curve.warnings)
            for (start, end), curve in zip(self.between, self.curves, strict=False)
        ]
        alone = (
            (
                f"all draws are in one state, {self.rows[0].name}: nothing parts them, or too few effective "
                "draws show what does",
            )
            if len(self.rows) == 1
            else ()
        )
        return joined(
            alone,
            (self.agreement,) if self._disagree else (),
            *(r.warnings for r in [*results, *self.differences]),
            *followed,
        )

    @property
    def agreement(self) -> str:
        """Whether several samples agree in the populations, in a sentence; empty of a single one."""
        return self._agreement[0]

    @property
    def _disagree(self) -> bool:
        return self._agreement[1]

    @property
    def _agreement(self) -> tuple[str, bool]:
        rows = [asdict(row) for row in self.energies.agreement]
        return agreement_in_words({"state": rows}) if rows else ("", False)

    def to_dict(self) -> dict[str, Any]:
        """Numbers by name, for JSON."""
        pairs = [{"start": start, "end": end} for start, end in self.between]
        return {
            "temperature": self.energies.temperature,
            "unit": self.unit,
            "notes": list(self.energies.notes),
            "warnings": list(self.warnings),
            "reference": self.energies.reference,
            "states": [row.to_dict() for row in self.rows],
            "differences": [
                pair | result.to_dict() for pair, result in zip(pairs, self.differences, strict=True)
            ],
            "series": [name for name, _ in self.energies.series],
            "agreement": [asdict(row) for row in self.energies.agreement],
            "convergence": [pair | curve.to_dict() for pair, curve in zip(pairs, self.curves, strict=False)],
        }

    def figure(self, title: str = "") -> ShownFigure:
        """Free energies with 95 % intervals, and the convergence of the differences.

        What carries a warning is drawn in red.
        """
        return free_energy_figure(
            {row.name: row.free_energy for row in self.rows},
            dict(zip(titled(self.between), self.curves, strict=False)),
            label=f"{difference_label(self.unit)} from {self.energies.reference}",
            curve_label=difference_label(self.unit),
            title=title,
        )
