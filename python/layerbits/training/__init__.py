"""Training of noisy networks: the loop, its records and checkpoints, and the monitor that measures on the way."""
