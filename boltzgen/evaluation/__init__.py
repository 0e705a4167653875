"""A generator against a reference ensemble."""
