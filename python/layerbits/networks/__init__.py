"""Noisy networks: selection of layers, their noise, and passes that record signals and activations."""

from layerbits.networks.gaussian_noise import GaussianNoise
from layerbits.networks.layer_selection import LayerCall, Layers, choose_layers
from layerbits.networks.noisy_module import NoisyModule, noisify
from layerbits.networks.propagation import (
    View,
    evaluating,
    layer_activations,
    propagate,
    record,
    rows_per_pass,
    wanted_layers,
)

__all__ = [
    "GaussianNoise",
    "LayerCall",
    "Layers",
    "NoisyModule",
    "View",
    "choose_layers",
    "evaluating",
    "layer_activations",
    "noisify",
    "propagate",
    "record",
    "rows_per_pass",
    "wanted_layers",
]
