"""Comparison of estimators of the entropy of a noisy mixture."""
