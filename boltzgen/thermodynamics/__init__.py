"""Free energies of molecules from generators: between Hamiltonians, absolute, and of constrained molecules."""
