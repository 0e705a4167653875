"""Normalizing flows over resampled bases."""
