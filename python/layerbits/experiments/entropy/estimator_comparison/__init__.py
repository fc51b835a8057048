"""Estimators of the entropy of a noisy mixture, compared."""
