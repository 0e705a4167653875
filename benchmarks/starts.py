"""How long a replica exchange remembers where it began, and whether a short one says so.

    boltzgen simulate MOLECULE -n 400 -o FOLDER
    python benchmarks/starts.py MOLECULE FOLDER

Walkers begin at torsions drawn uniformly, so that states of a few percent begin far too frequent. First come
the shares of the residues' regions and of the torsions' states in blocks of frames, beside the round trips
that a replica has made by then. Then the simulation is taken as if it had ended after some frames: what is
burn-in, what the verdict says, and the z of its shares against the last half of the whole simulation, by
errors from walkers; once as the tests of the frames alone would have it, and once with the round trips.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from boltzgen import System
from boltzgen.simulation.burn_in import MIN_FRAMES, judge
from boltzgen.simulation.ensemble import Ensemble
from boltzgen.simulation.estimates import mbar
from boltzgen.simulation.states import Series, label

N_BLOCKS = 10
LENGTHS = (20, 30, 60, 100, 150, 200, 250)


def share(series: Series) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the states and their standard errors, from the scatter of walkers."""
    found = series.residual.mean(0)
    return series.share, found.std(0, ddof=1) / np.sqrt(series.n_walkers)


def first(series: Series, n: int) -> Series:
    """The first n frames."""
    return replace(series, inside=series.inside[:n], weight=series.weight[:n])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("molecule", help="name or folder of the system")
    parser.add_argument("folder", type=Path, help="of a simulation of it")
    options = parser.parse_args()
    system = System.load(options.molecule)
    ensemble = Ensemble.load(options.folder, system)
    trips = ensemble.round_trips
    _, log_w = mbar(ensemble.potential.numpy(), ensemble.temperatures.numpy(), system.temperature)
    series = Series.build(label(ensemble.x, ensemble.starts, system), log_w)
    n = len(series)
    truth, truth_error = share(series.after(n // 2))
    began = series.starts.mean(0)
    print(f"{series.n_walkers} walkers, {n} frames, {len(ensemble.temperatures)} temperatures")
    blocks = series.blocks(N_BLOCKS)
    ends = [part[-1] for part in np.array_split(np.arange(n), N_BLOCKS)]
    print("round trips " + " ".join(f"{trips[end]:6.1f}" for end in ends))
    for k, names in enumerate(series.names):
        if truth[k] > 1e-3 and not (truth[k] > 0.999):
            row = " ".join(f"{100 * block:6.2f}" for block in blocks[:, k])
            print(
                f"{' '.join(names):16s} began {100 * began[k]:5.1f} % | {row} | last half "
                f"{100 * truth[k]:.2f} +- {100 * truth_error[k]:.2f} %"
            )
    kept = (truth > 1e-3) & (truth < 0.999)
    for frames in (m for m in LENGTHS if MIN_FRAMES <= m <= n // 2):
        short = first(series, frames)
        for rule, counted in (("tests alone", None), ("round trips too", trips[:frames])):
            verdict = judge(short, counted)
            value, error = share(short.after(verdict.burn_in))
            z = (value - truth) / np.hypot(error, truth_error)
            worst = int(np.abs(np.where(kept, z, 0.0)).argmax())
            said = (
                "stationary" if verdict.stationary else "too short" if verdict.is_short else "not stationary"
            )
            which = f"{' '.join(series.names[worst])}: {100 * value[worst]:.2f} +- {100 * error[worst]:.2f} %"
            print(
                f"{frames:4d} frames, {trips[frames - 1]:4.1f} trips, {rule:15s}: "
                f"burn-in {verdict.burn_in:3d}, {said:14s}; largest z {z[worst]:+5.1f} ({which})"
            )


if __name__ == "__main__":
    main()
