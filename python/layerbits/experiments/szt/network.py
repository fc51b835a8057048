"""The network of Shwartz-Ziv and Tishby, with and without noise."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils import skip_init

from layerbits.experiments.szt.settings import SztSettings
from layerbits.networks import noisify

Activation = Callable[[], nn.Module]  # makes the module of an activation function


def plain_network(settings: SztSettings, activation: Activation | None = nn.Tanh) -> nn.Sequential:
    """Make the untrained network without noise: hidden layers of the given widths, and two logits.

    The modules are ``linear1``, ``tanh1``, ``linear2`` and so on, with the lower-case name of the class of the
    activation function. Without an activation function, the hidden layers are linear. Weights are normal with standard
    deviation 1 / sqrt(inputs of the layer), truncated at two standard deviations, and biases are zero, as in the code
    of Shwartz-Ziv and Tishby.
    """
    sizes = (12, *settings.widths, 2)
    generator = torch.Generator().manual_seed(settings.seed)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        # skip_init, because torch's own initialization would use the global generator.
        linear: nn.Linear = skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
        std = inputs**-0.5
        nn.init.trunc_normal_(linear.weight, std=std, a=-2 * std, b=2 * std, generator=generator)
        nn.init.zeros_(linear.bias)
        layers[f"linear{number}"] = linear
        if activation is not None and number <= len(settings.widths):
            module = activation()
            layers[f"{type(module).__name__.lower()}{number}"] = module
    return nn.Sequential(layers)


def noisy_network(settings: SztSettings, sigma: float, activation: Activation | None = nn.Tanh) -> nn.Module:
    """Make the untrained network with noise on every hidden unit."""
    network = plain_network(settings, activation)
    # Linear maps and activation functions alternate; the last module gives the logits.
    names = [name for name, _ in network.named_children()][:-1]
    hidden_names = names if activation is None else names[1::2]
    return noisify(network, sigma=sigma, layers=hidden_names, inputs=torch.zeros(1, 12))
