"""Small molecules: from SMILES, SDF or mol2 to atoms, a conformer and an OpenFF force field.

RDKit does the chemistry; parameters and charges come from the OpenFF packages. Both are the extra `ligands`.
"""
