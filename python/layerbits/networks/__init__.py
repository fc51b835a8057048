"""Noisy networks: the choice of layers, their noise, and noisy passes that record signals."""

from layerbits.networks.gaussian_noise import GaussianNoise
from layerbits.networks.layer_selection import LayerCall, Layers, choose_layers
from layerbits.networks.noisy_module import NoisyModule, noisify
from layerbits.networks.pass_arguments import Inputs, check_noisy, input_tensors, rows_per_pass, wanted_layers
from layerbits.networks.propagation import layer_activations, propagate
from layerbits.networks.recording import Passes, View, evaluating, record

__all__ = [
    "GaussianNoise",
    "Inputs",
    "LayerCall",
    "Layers",
    "NoisyModule",
    "Passes",
    "View",
    "check_noisy",
    "choose_layers",
    "evaluating",
    "input_tensors",
    "layer_activations",
    "noisify",
    "propagate",
    "record",
    "rows_per_pass",
    "wanted_layers",
]
