"""Internal coordinates: z-matrices, their geometry, and the scaled coordinates that flows work in."""
