"""Draws by Dask workers that Slurm starts, and starts again: dask-jobqueue (pip install dask-jobqueue).

    python examples/cluster/dask_slurm.py run -n 100000000 -o statistics.h5 --jobs 64 --statistics-only
    python examples/cluster/dask_slurm.py run -n 100000 -o samples.h5 --local 2      # on this machine alone

Options that are not its own go to `boltzgen sample`. Ctrl-C keeps what is there; the same with --resume goes
on.
"""

import argparse
import sys
from typing import Any

from boltzgen import cli


def cluster(arguments: argparse.Namespace) -> Any:
    if arguments.local:
        from distributed import LocalCluster

        return LocalCluster(n_workers=arguments.local, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    from dask_jobqueue import SLURMCluster

    found = SLURMCluster(
        queue=arguments.queue, cores=1, processes=1, memory=arguments.memory, walltime=arguments.time
    )
    # Workers come and go with what is left to do; a job that ends is replaced.
    found.adapt(minimum_jobs=1, maximum_jobs=arguments.jobs)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--jobs", type=int, default=8, help="of Slurm at most, a worker each")
    parser.add_argument("--queue", help="Slurm's partition")
    parser.add_argument("--memory", default="4GB")
    parser.add_argument("--time", default="12:00:00")
    parser.add_argument("--local", type=int, default=0, help="workers on this machine, without Slurm")
    arguments, rest = parser.parse_known_args()
    with cluster(arguments) as running:
        return cli.main(["sample", *rest, "--scheduler", running.scheduler_address])


if __name__ == "__main__":
    sys.exit(main())
