"""Entropy of a layer of a noisy network that classifies the arms of a spiral."""
