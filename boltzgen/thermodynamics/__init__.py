"""Free energies from generators: between Hamiltonians, absolute ones, and of constrained molecules."""
