"""Compiled loops: forces, splines and triangular matrices, and the one runtime that calls them."""
