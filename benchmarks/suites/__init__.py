"""Runs of many topics: the comparison, the speed guard, and the files of `pytest benchmarks`."""
