"""jflows-md on T-FAB for a given time: what benchmarks/peers.py runs in an environment that has it.

    python benchmarks/peers_jflows.py MINUTES N OUTPUT BUNDLE [--positions FILE]

Its flow `Mixed_NSF` and its `train_FAB_G` with the numbers of its README, from its own source, in rounds of
50 steps; a round goes on from the last one's flow. N draws go to OUTPUT with their log-weights.

BUNDLE is a folder with the molecule. The wheel has none; parmed beside it, it makes one of AMBER files:

    python -m jflows_md.bundle_build alanine_dipeptide alanine-dipeptide.prmtop alanine-dipeptide.crd BUNDLE
"""

import argparse
import time
from importlib.metadata import version


def main() -> None:
    import jax
    import numpy as np
    from jflows_md import Mixed_NSF, Molecular_Potential
    from jflows_md.train import train_FAB_G

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("minutes", type=float)
    parser.add_argument("n", type=int)
    parser.add_argument("output")
    parser.add_argument("bundle")
    parser.add_argument("--positions", help="an .npy of (m, 66) in nm whose energies are wanted")
    options = parser.parse_args()
    minutes, n, output = options.minutes, options.n, options.output
    target = Molecular_Potential.from_bundle(options.bundle, temperature_kelvin=300.0)
    source = target.source()
    flow = Mixed_NSF(jax.random.key(1), target.domain, bins=8, transforms=6, hidden_features=(64, 64)).zeros()
    batch, steps, ladder, inner, last = 128, 50, 4, 20, 100
    began, rounds, last_round = time.perf_counter(), 0, 0.0
    # The first round compiles; another begins if it should end in time.
    while rounds == 0 or time.perf_counter() - began + last_round < 60 * minutes:
        start = time.perf_counter()
        x_valid = source.samples(jax.random.key(100 + rounds), 4096)
        flow, _ = train_FAB_G(
            x_valid,
            source,
            target,
            flow,
            target.domain,
            batch_size=batch,
            steps_total=steps,
            lr=1e-3,
            ladder=ladder,
            mc_dt=1e-4,
            mc_steps_1=inner,
            mc_steps_2=last,
            seed=rounds,
        )
        rounds += 1
        last_round = time.perf_counter() - start
    seconds = time.perf_counter() - began

    # Its flow goes from the target to the source.
    log_w, x = [], []
    for k in range(0, n, 2048):
        z = source.samples(jax.random.key(10_000 + k), min(2048, n - k))
        q, log_det = flow.inv_and_ladj(z)
        log_normal = -source(z) - 0.5 * np.log(2 * np.pi * np.asarray(source.variance)).sum()
        log_q = log_normal - source.domain.periodic_dim * np.log(2 * np.pi) - log_det
        log_w.append(np.asarray(-target(q) - log_q, dtype=np.float64))
        x.append(np.asarray(target.cartesian(q), dtype=np.float64).reshape(len(z), -1, 3))
    more = {}
    if options.positions is not None:
        positions = np.load(options.positions)
        more["u_positions"] = np.asarray(target.beta * target.forcefield(positions.reshape(-1, 22, 3)))
    np.savez(
        output,
        log_w=np.where(np.isfinite(log_w_all := np.concatenate(log_w)), log_w_all, -np.inf),
        x=np.concatenate(x),
        seconds=seconds,
        # A batch moves through the ladder twice; each move of MALA takes one gradient.
        energies=rounds * steps * batch * (2 * (ladder - 1) * inner + 2 * last),
        version=f"jflows-md {version('jflows-md')}, jax {version('jax')}",
        **more,
    )


if __name__ == "__main__":
    main()
