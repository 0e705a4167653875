"""Training: objectives, annealing, and the loop that a run goes through."""
