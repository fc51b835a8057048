"""One module for each topic that is measured; modules with a `main` are commands, see README.md."""
