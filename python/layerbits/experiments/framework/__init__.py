"""The framework of the experiments: base class, settings, folder of a run, tables."""
