"""Noisy networks: their layers, the noise of layers, and noisy passes that record signals.

A forward hook adds noise to the output of a module; a function mode adds noise to the output of a function. The network
stays the same object, with the same class and `state_dict`. Ordinary passes take noise from torch's generators.

A measurement runs a shadow of the network, a copy that shares its parameters or, where another thread may train the
network, has copies of one moment. In the shadow, a channel takes the place of the noise of each layer, so the modules
and buffers of the network do not change. In one case a measurement changes the network: if noise waits for the first
call, the measurement first installs that noise.

Layers are observed in a real pass rather than traced, because a forward method may contain any code. A layer is one
call of a module, or of an activation function that forward calls.

A subpackage imports only subpackages below it in this list:

    passes        the passes of layerbits: the table of layers, `propagate`, recorded signals, readouts
    noise         the distribution of a layer's noise, and the hooks that add it to ordinary passes
    observation   the layers: calls in a real pass, and their selection
    inputs        the forms of inputs and labels that a measurement accepts
    execution     how torch runs a network: arguments, copies, checkpoints, compilation
"""

from layerbits.networks.execution.arguments import (
    MAX_MEMORY,
    check_max_memory,
    check_module,
    naming_memory,
    rows_per_pass,
)
from layerbits.networks.execution.global_generators import global_states_restored
from layerbits.networks.execution.module_state import evaluating
from layerbits.networks.execution.own_hooks import own_hooks
from layerbits.networks.execution.shadow import check_can_have_noise, copy_with_weights
from layerbits.networks.execution.sharding import source_of, unsharded
from layerbits.networks.inputs.input_reader import read_inputs
from layerbits.networks.inputs.pass_inputs import Inputs, Labels, PassInputs
from layerbits.networks.noise.dropout import DropoutNoise, Noise
from layerbits.networks.noise.gaussian import Deviations, GaussianNoise, gaussian_noise
from layerbits.networks.noise.hooks import is_noisy
from layerbits.networks.noise.network_noise import noise_of, noise_off, noisify, remove_noise
from layerbits.networks.noise.relative import RelativeSigma
from layerbits.networks.noise.sigma_by_layer import Sigma
from layerbits.networks.observation.dependence_graph import DependenceGraph
from layerbits.networks.observation.layer_calls import LayerCall
from layerbits.networks.observation.layer_selection import Layers, choose_layers
from layerbits.networks.observation.signal_values import unit_in_last_place
from layerbits.networks.observation.sources import INPUT
from layerbits.networks.passes.channel_hooks import network_without_noise, noisy_network
from layerbits.networks.passes.frame_views import FrameView, RandomFramesView
from layerbits.networks.passes.given_noises import GivenNoises
from layerbits.networks.passes.layer_parts import LayerPart, layer_parts
from layerbits.networks.passes.layer_table import LayerRow, LayerTable, layers
from layerbits.networks.passes.measured_layers import measured_layers
from layerbits.networks.passes.measured_network import MeasuredNetwork
from layerbits.networks.passes.planned_passes import Passes, View
from layerbits.networks.passes.propagation import layer_activations, propagate
from layerbits.networks.passes.readouts import Channels, Readouts, Tokens, as_readouts
from layerbits.networks.passes.recording import Recording, record, record_draws
from layerbits.networks.passes.rows import check_rows, differ_beyond_rounding
from layerbits.networks.passes.slices import LearntSlices, PrincipalSlices, RandomSlices, Slices

__all__ = [
    "INPUT",
    "MAX_MEMORY",
    "Channels",
    "DependenceGraph",
    "Deviations",
    "DropoutNoise",
    "FrameView",
    "GaussianNoise",
    "GivenNoises",
    "Inputs",
    "Labels",
    "LayerCall",
    "LayerPart",
    "LayerRow",
    "LayerTable",
    "Layers",
    "LearntSlices",
    "MeasuredNetwork",
    "Noise",
    "PassInputs",
    "Passes",
    "PrincipalSlices",
    "RandomFramesView",
    "RandomSlices",
    "Readouts",
    "Recording",
    "RelativeSigma",
    "Sigma",
    "Slices",
    "Tokens",
    "View",
    "as_readouts",
    "check_can_have_noise",
    "check_max_memory",
    "check_module",
    "check_rows",
    "choose_layers",
    "copy_with_weights",
    "differ_beyond_rounding",
    "evaluating",
    "gaussian_noise",
    "global_states_restored",
    "is_noisy",
    "layer_activations",
    "layer_parts",
    "layers",
    "measured_layers",
    "naming_memory",
    "network_without_noise",
    "noise_of",
    "noise_off",
    "noisify",
    "noisy_network",
    "own_hooks",
    "propagate",
    "read_inputs",
    "record",
    "record_draws",
    "remove_noise",
    "rows_per_pass",
    "source_of",
    "unit_in_last_place",
    "unsharded",
]
