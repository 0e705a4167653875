"""Compiled kernels for forces, splines and triangular matrices, and the one runtime that calls them.

Each module here takes and returns torch tensors and can be imported without numba; what numba compiles for it
is in the module of the same name in `compiled`, which it imports at its first call.
"""
