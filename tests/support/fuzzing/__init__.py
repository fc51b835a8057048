"""Random calls of public names, and their verdicts; hypothesis draws the arguments."""
