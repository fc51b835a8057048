"""Deterministic, noisy and dropout convolutional networks on images."""
