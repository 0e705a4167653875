"""What helps a generator that is not good enough: the command that trains it longer."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from boltzgen.cli.common import command_line
from boltzgen.training.budget import LEAST_ROUNDS, sensible_minutes

#: What the forward test of `boltzgen evaluate` writes, also into the run's folder.
FORWARD = "forward.json"
#: Verdicts of the forward test, each worse than the one before.
_VERDICTS = ("passed", "thin places", "failed")
#: Where the run is not known.
UNKNOWN_RUN = "train the generator anew, for longer (`boltzgen sample` prints the command)"


def train_longer(
    system: str,
    folder: Path,
    summary: Mapping[str, Any],
    *,
    options: Sequence[object] = (),
    device: str = "cpu",
) -> str:
    """Twice the time that a run took, or what makes sense at least, as a command.

    A finished run cannot go on: its schedule has ended.

    Args:
        system: that the run is of, as it is typed.
        folder: of the run; the next one's is called after it.
        summary: of the run, with its time and its rounds.
        options: further ones, as they are typed.
        device: where the run trains.
    """
    rounds = summary.get("settings", {}).get("rounds")
    new = folder.with_name(f"{folder.resolve().name}_longer")
    longer = max(2.0, LEAST_ROUNDS / (rounds or LEAST_ROUNDS))
    minutes = sensible_minutes(longer * summary["seconds"])
    command = command_line("train", system, "-o", new, "--minutes", minutes, *options, device=device)
    return f"train anew, for longer: {command}"


def longer_run(folder: Path, otherwise: str = "draw more") -> str:
    """`train_longer` of the run in a folder, from what it says of itself.

    Args:
        folder: of the run.
        otherwise: what helps a generator that was not trained here.
    """
    from boltzgen.generator.locate import RUN, SUMMARY

    try:
        summary = json.loads((folder / SUMMARY).read_text())
        data = ("--data", summary["data"], "--mixed") if "data" in summary else ()
        return train_longer(summary["system"], folder, summary, options=data)
    except FileNotFoundError:
        return "let its training come to its end" if (folder / RUN).is_file() else otherwise
    except (ValueError, KeyError, TypeError, AttributeError):
        return otherwise


def forward_doubt(folder: Path, generator: str) -> str:
    """What the forward test of the run in a folder found where it failed; else nothing.

    Args:
        folder: of the run, with its summary, and with what `evaluate --forward` found if that was run.
        generator: `BoltzmannGenerator.digest` of the run's.
    """
    from boltzgen.generator.locate import SUMMARY
    from boltzgen.units import percent

    failed = []
    for name in (FORWARD, SUMMARY):  # the longer test first
        try:
            found = json.loads((folder / name).read_text())
            if name == FORWARD and found["generator"] != generator:
                continue  # of an earlier training in the same folder
            forward = found["forward"] if name == SUMMARY else found
            if forward["flagged"]:
                ess = f"forward ESS {percent(forward['forward_ess'])}"
                largest = f"largest log w {forward['largest_log_w']:.1f}"
                failed.append("; ".join(filter(None, (forward.get("reason"), f"{ess}, {largest}"))))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    if not failed:
        return ""
    return (
        f"the forward test failed ({failed[0]}): some conformations are next to never drawn, "
        "which neither the efficiency nor k-hat of these draws shows. States that hold such conformations "
        "are drawn too rarely: train anew, for longer, or compare the populations of several training seeds"
    )


def kept_forward(folder: Path, generator: str, verdict: str) -> str:
    """Why a run keeps an earlier forward test of the same generator rather than one of another seed.

    The earlier one found more, and one that fails counts, whatever others say. Empty where the new one is
    kept.

    Args:
        folder: of the run.
        generator: `BoltzmannGenerator.digest` of the run's.
        verdict: of the new test.
    """
    try:
        found = json.loads((folder / FORWARD).read_text())
        if found["generator"] != generator or _VERDICTS.index(found["verdict"]) <= _VERDICTS.index(verdict):
            return ""
        return (
            f"{folder / FORWARD} keeps the test of seed {found['seed']} ({found['verdict']}), which counts "
            f"whatever another seed finds ({verdict})"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def nearer(temperature: float, trained: float) -> str:
    """What else helps where the temperature asked for is another than that of training [K]."""
    is_same = math.isclose(temperature, trained, rel_tol=1e-3)
    return "" if is_same else f"; or stay near training's temperature, {trained:g} K"
