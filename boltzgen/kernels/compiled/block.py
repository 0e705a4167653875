"""A block of `LANES` configurations as the force kernels hold it, one configuration in each lane.

Each atom has one record, rows of `LANES` float32 numbers one after the other: position, gradient, and what
the Born radii need. `w` are rows of scratch, of which the first collects energies until `flush` adds them to
float64 totals. So every innermost loop, over lanes, works on at most four records and `w`, which is few
enough for the compiler to check that they do not overlap and to use vector instructions. This layout is why
bonds, angles and torsions are computed here once more: the functions below take one lane of two records,
without a temporary.
"""

from boltzgen.kernels.compiled.mathematics import F, compiled
from boltzgen.kernels.constants import LANES

#: First lanes of the rows of an atom's record: position, gradient, the sum of Born integrals (later d ln B /
#: dI), 1/B, B, and B dU/dB (later dU/dI).
X, Y, Z, GX, GY, GZ, SUM, INVERSE, BORN, BY_BORN, RECORD = (row * LANES for row in range(11))
#: Rows of scratch.
SCRATCH = 13
_0 = F(0.0)


@compiled
def load(x, start, stop, atoms, total, constant):
    """Positions x (n, n_atoms, 3) of start ... stop - 1 into fresh records, a constant into totals."""
    total[:] = constant
    for i in range(len(atoms)):
        for l in range(LANES):
            # A block that is not full is filled up with copies of the last configuration: every one takes the
            # same way wherever it is.
            row = min(start + l, stop - 1)
            atoms[i, X + l], atoms[i, Y + l], atoms[i, Z + l] = (x[row, i, 0], x[row, i, 1], x[row, i, 2])
            # An atom at infinity would be one without interactions.
            total[l] += 0.0 * x[row, i, 0] + 0.0 * x[row, i, 1] + 0.0 * x[row, i, 2]
        atoms[i, GX:] = _0


@compiled
def difference(atoms, i, j, l):
    """The vector from atom j to atom i in lane l."""
    return (
        atoms[i, X + l] - atoms[j, X + l],
        atoms[i, Y + l] - atoms[j, Y + l],
        atoms[i, Z + l] - atoms[j, Z + l],
    )


@compiled
def dot(a, b):
    """Scalar product of vectors of three numbers."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@compiled
def cross(a, b):
    """Cross product of vectors of three numbers."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@compiled
def flush(w, total):
    """Add the energies in scratch to the totals."""
    for l in range(LANES):
        total[l] += w[l]
        w[l] = _0
