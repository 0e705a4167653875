"""From a user's molecule to a system folder: reading, checking, building peptides, minimising, writing."""
