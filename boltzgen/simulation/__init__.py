"""Reference ensembles by simulation: replica exchange on batched energies, and OpenMM's own dynamics."""
