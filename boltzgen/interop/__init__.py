"""Other packages' flows, energies and coordinates as ours, and ours as theirs. No science is done here."""
