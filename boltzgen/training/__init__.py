"""Training: losses, objectives, the loop that minimises them, and runs that can be resumed."""
