"""`boltzgen free-energy`: a file for each of its commands."""

HELP = "Free energies with error bars: of states."
#: In the order of the help.
COMMANDS = ("states",)
