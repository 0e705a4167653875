"""The forces of OpenMM's standard classes, batched."""
