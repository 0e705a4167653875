"""Products with triangular matrices, one for each sample, and solutions with them, and the gradients of both.

The matrices come packed, the batch last: rows starts[i] ... stops[i] - 1 of `packed` have the entries L_ij of
row i, those in the columns j = columns[...]; row stops[i] has log D_i, and the next the mean of x_i. A block
has `LANES` samples; its vectors are rows of as many numbers, so that every innermost loop works on few rows,
which the compiler can check not to overlap before it uses vector instructions. The last block may reach into
the one before: every sample takes the same way wherever it is.
"""

import numpy as np

from boltzgen.kernels.compiled.mathematics import F, compiled, inlined, kept
from boltzgen.kernels.constants import LANES


@inlined
def _add_product(factor, row, total):
    for l in range(LANES):
        total[l] += factor[l] * row[l]


@inlined
def _subtract_product(factor, row, total):
    for l in range(LANES):
        total[l] -= factor[l] * row[l]


@inlined
def _times(a, b, sign, result):
    for l in range(LANES):
        result[l] = sign * a[l] * b[l]


@inlined
def _turn_in(values, at, rows):
    """Rows (n, LANES) of a block of samples (batch, n)."""
    for l in range(LANES):
        sample = values[at + l]
        for i in range(len(rows)):
            rows[i, l] = sample[i]


@inlined
def _turn_out(rows, values, at):
    for l in range(LANES):
        sample = values[at + l]
        for i in range(len(rows)):
            sample[i] = rows[i, l]


@kept
@compiled
def multiply(x, packed, starts, stops, columns, scale, z, log_det, start, stop):
    """Fill z = D L (x - mean) and log_det = sum of log D, for samples start ... stop - 1.

    Args:
        x: (batch, n).
        packed: the matrices and means, (rows, batch).
        starts: first entry of each row of L, (n,).
        stops: last entry + 1 of each row, (n,).
        columns: the column of each entry, (rows,).
        scale: D, shape (n, batch).
        z: (batch, n), filled.
        log_det: (batch,), filled.
        start: first sample, a multiple of `LANES`.
        stop: last sample + 1.
    """
    n = x.shape[1]
    centred, total, logs = np.empty((n, LANES), F), np.empty((n, LANES), F), np.empty(LANES, F)
    for block in range(start, stop, LANES):
        at = min(block, len(x) - LANES)
        here = slice(at, at + LANES)
        logs[:] = F(0.0)
        _turn_in(x, at, centred)
        for i in range(n):
            mean = packed[stops[i] + 1, here]
            for l in range(LANES):
                centred[i, l] -= mean[l]
                total[i, l] = centred[i, l]
        for i in range(n):
            for k in range(starts[i], stops[i]):
                _add_product(packed[k, here], centred[columns[k]], total[i])
            log_d, d = packed[stops[i], here], scale[i, here]
            for l in range(LANES):
                total[i, l] *= d[l]
                logs[l] += log_d[l]
        _turn_out(total, z, at)
        log_det[here] = logs


@kept
@compiled
def multiply_gradient(
    x, packed, starts, stops, columns, scale, z, by_z, by_log, by_x, by_packed, start, stop
):
    """Fill by_x and by_packed, shaped as x and packed, from derivatives by the results of `multiply`.

    With c = x - mean, g = dl/dz and h = D g:

        dl/dL_ij = h_i c_j,    dl/dx = L^T h = -dl/dmean,    dl/dlog D_i = g_i z_i + dl/dlog_det.

    `pull` is g, then h.
    """
    n = x.shape[1]
    centred, pull, result, by_centred = (
        np.empty((n, LANES), F),
        np.empty((n, LANES), F),
        np.empty((n, LANES), F),
        np.empty((n, LANES), F),
    )
    for block in range(start, stop, LANES):
        at = min(block, len(x) - LANES)
        here = slice(at, at + LANES)
        logs = by_log[here]
        _turn_in(x, at, centred)
        _turn_in(by_z, at, pull)
        _turn_in(z, at, result)
        for i in range(n):
            mean, d, by_log_d = packed[stops[i] + 1, here], scale[i, here], by_packed[stops[i], here]
            for l in range(LANES):
                by_log_d[l] = pull[i, l] * result[i, l] + logs[l]
                centred[i, l] -= mean[l]
                pull[i, l] *= d[l]
                by_centred[i, l] = pull[i, l]
        for i in range(n):
            for k in range(starts[i], stops[i]):
                _times(pull[i], centred[columns[k]], F(1.0), by_packed[k, here])
                _add_product(packed[k, here], pull[i], by_centred[columns[k]])
        for i in range(n):
            by_mean = by_packed[stops[i] + 1, here]
            for l in range(LANES):
                by_mean[l] = -by_centred[i, l]
        _turn_out(by_centred, by_x, at)


@kept
@compiled
def solve(z, packed, starts, stops, columns, scale, x, log_det, solution, start, stop):
    """Fill x = mean + L^-1 D^-1 z and log_det = -sum of log D, for samples start ... stop - 1.

    Args:
        z: (batch, n).
        packed: the matrices and means, (rows, batch).
        starts: first entry of each row of L, (n,).
        stops: last entry + 1 of each row, (n,).
        columns: the column of each entry, (rows,).
        scale: 1/D, shape (n, batch).
        x: (batch, n), filled.
        log_det: (batch,), filled.
        solution: x - mean, shape (n, batch), filled.
        start: first sample, a multiple of `LANES`.
        stop: last sample + 1.
    """
    n = z.shape[1]
    rest, result, logs = np.empty((n, LANES), F), np.empty((n, LANES), F), np.empty(LANES, F)
    for block in range(start, stop, LANES):
        at = min(block, len(z) - LANES)
        here = slice(at, at + LANES)
        logs[:] = F(0.0)
        _turn_in(z, at, rest)
        for i in range(n):
            d = scale[i, here]
            for l in range(LANES):
                rest[i, l] *= d[l]
            for k in range(starts[i], stops[i]):
                _subtract_product(packed[k, here], rest[columns[k]], rest[i])
            log_d, mean, kept = packed[stops[i], here], packed[stops[i] + 1, here], solution[i, here]
            for l in range(LANES):
                kept[l] = rest[i, l]
                result[i, l] = mean[l] + rest[i, l]
                logs[l] -= log_d[l]
        _turn_out(result, x, at)
        log_det[here] = logs


@kept
@compiled
def solve_gradient(
    z, packed, starts, stops, columns, scale, solution, by_x, by_log, by_z, by_packed, start, stop
):
    """Fill by_z and by_packed, shaped as z and packed, from derivatives by x and log_det of `solve`.

    With s = x - mean, g = dl/dx = dl/dmean and L^T h = g, solved from the last row to the first:

        dl/dL_ij = -h_i s_j,    dl/dz_i = h_i / D_i,    dl/dlog D_i = -z_i dl/dz_i - dl/dlog_det.

    `pull` is g, then row by row h.
    """
    n = z.shape[1]
    latent, pull = np.empty((n, LANES), F), np.empty((n, LANES), F)
    for block in range(start, stop, LANES):
        at = min(block, len(z) - LANES)
        here = slice(at, at + LANES)
        logs = by_log[here]
        _turn_in(z, at, latent)
        _turn_in(by_x, at, pull)
        for i in range(n):
            by_mean = by_packed[stops[i] + 1, here]
            for l in range(LANES):
                by_mean[l] = pull[i, l]
        for i in range(n - 1, -1, -1):
            for k in range(starts[i], stops[i]):
                _times(pull[i], solution[columns[k], here], F(-1.0), by_packed[k, here])
                _subtract_product(packed[k, here], pull[i], pull[columns[k]])
            d, by_log_d = scale[i, here], by_packed[stops[i], here]
            for l in range(LANES):
                pulled = pull[i, l] * d[l]
                by_log_d[l] = -pulled * latent[i, l] - logs[l]
                latent[i, l] = pulled
        _turn_out(latent, by_z, at)
