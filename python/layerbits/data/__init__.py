"""Data sets that the experiments use; each is generated or read from files that the user names, never downloaded."""
