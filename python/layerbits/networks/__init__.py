"""Noisy networks: their layers, the noise of layers, and noisy passes that record signals.

A forward hook adds noise to the output of a module; a function mode adds noise to the output of a function. A network
stays the object, the class and the `state_dict` that it was. Ordinary passes draw noise from torch's generators. A
measurement runs a shadow of the network, a copy that shares its parameters, in which a channel takes the place of the
noise of each layer; so the measurement changes nothing that another thread could see. If the layers have not been
observed yet, the call first installs their noise.

Layers are observed in a real pass rather than traced, because any code may stand in a forward method. A layer is one
call of a module, or of an activation function that forward calls.
"""

from layerbits.networks.gaussian_noise import GaussianNoise, RelativeSigma, Sigma
from layerbits.networks.layer_calls import LayerCall
from layerbits.networks.layer_selection import Layers, choose_layers
from layerbits.networks.layer_table import LayerRow, LayerTable, layers
from layerbits.networks.measured_network import MeasuredNetwork, network_without_noise, noisy_network
from layerbits.networks.noise_hooks import is_noisy
from layerbits.networks.noisy_layers import noise_of, noise_off, noisify, remove_noise
from layerbits.networks.pass_arguments import Inputs, check_module, input_tensors, rows_per_pass
from layerbits.networks.propagation import layer_activations, propagate
from layerbits.networks.recording import Passes, View, evaluating, record

__all__ = [
    "GaussianNoise",
    "Inputs",
    "LayerCall",
    "LayerRow",
    "LayerTable",
    "Layers",
    "MeasuredNetwork",
    "Passes",
    "RelativeSigma",
    "Sigma",
    "View",
    "check_module",
    "choose_layers",
    "evaluating",
    "input_tensors",
    "is_noisy",
    "layer_activations",
    "layers",
    "network_without_noise",
    "noise_of",
    "noise_off",
    "noisify",
    "noisy_network",
    "propagate",
    "record",
    "remove_noise",
    "rows_per_pass",
]
