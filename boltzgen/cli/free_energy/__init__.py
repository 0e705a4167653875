"""`boltzgen free-energy`: a file for each of its commands."""

HELP = "Free energies with error bars: states, profiles, temperatures, force fields, absolute."
#: In the order of the help.
COMMANDS = ("states", "pmf", "temperature", "difference", "absolute")
