"""`boltzgen free-energy`: a file for each of its commands."""

HELP = "Free energies with error bars: of states, and between force fields."
#: In the order of the help.
COMMANDS = ("states", "difference")
