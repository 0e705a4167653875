"""The lowest negative log-likelihood that any density could have on the frames a mixed run held out.

    python benchmarks/data_bound.py RUN

RUN is the folder of a finished `boltzgen train SYSTEM --data FILE --mixed`, which keeps the frames with their
energies. Printed are E[u] + log Z over the frames held out and over all of them, with log Z and the
temperature from the run's summary, beside the run's own held-out NLL.
"""

import argparse
import json
from pathlib import Path

from boltzgen import units
from boltzgen.training.data import Data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished mixed run")
    run = parser.parse_args().run
    summary = json.loads((run / "summary.json").read_text())
    data = Data.load(run)
    for name, frames in (("held out", data.split()[1]), ("all", data)):
        if frames.potential is None:
            parser.error(f"{run} keeps no energies of its frames; expected a run with --mixed")
        u = frames.potential / units.kt(summary["temperature"])
        error = float(u.std()) / len(u) ** 0.5
        print(
            f"{name:9s} {len(u):7d} frames  E[u] + log Z = {float(u.mean()) + summary['log_z']:.3f} +- "
            f"{error:.3f} (frames taken for independent)"
        )
    print(f"the run's held-out NLL {summary['held_out_nll']:.3f}, log Z {summary['log_z']:.4f}")


if __name__ == "__main__":
    main()
