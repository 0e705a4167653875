"""Molecular Boltzmann generators: exactly weighted conformations from a force field."""

__version__ = "0.1.0"
