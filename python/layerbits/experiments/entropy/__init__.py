"""Experiments on the estimation of entropies and of information."""
