"""One module for each measured topic; modules with a `main` are commands, see README.md."""
