"""The names of the objectives: without what they are made of, so that they can be listed at once."""

from typing import Literal

#: What a run may minimise on energies; `boltzgen.training.objectives` has the objectives themselves.
ObjectiveName = Literal["hierarchical_kl", "reverse_kl", "reverse_kl_path"]
