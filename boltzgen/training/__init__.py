"""Training: objectives, cooling, and the loop that a run goes through."""
