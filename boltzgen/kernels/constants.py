"""Numbers that compiled kernels share with what calls them and with the same in torch's operations."""

import math

#: Elements of the batch that a kernel takes together, one in each lane of the processor's vectors.
LANES = 64

#: Least width and height of a spline's bin, as a share of the whole, and least derivative at a knot.
MIN_SIZE = 1e-3
MIN_DERIVATIVE = 1e-3
#: softplus(UNIT) + MIN_DERIVATIVE = 1, so that parameters of zero give the identity.
UNIT = math.log(math.expm1(1.0 - MIN_DERIVATIVE))
