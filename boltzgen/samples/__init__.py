"""Weighted conformations: in memory, in files, and as other programs read them."""
