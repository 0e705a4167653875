"""OpenMM's Custom forces, batched: expressions, tables, and what they apply to."""
