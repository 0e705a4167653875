"""What a molecule is: its system, bonds, torsions, rotamers and basins."""
