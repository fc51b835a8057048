"""Networks of one unit per layer, the task that they learn, and their true information by quadrature."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from layerbits._base import Doubles
from layerbits.calibration import Channel, quadrature_truths
from layerbits.networks import noisify

Parameters = Sequence[tuple[float, float]]  # weight and bias of each neuron, from the first layer to the last


@dataclasses.dataclass(frozen=True)
class ScalarTask:
    """Data and activation function of a network of scalar neurons.

    Attributes
    ----------
    inputs, targets : tuple of float
        The equally likely values of X, and the output that the network learns for each: one of two numbers.
    activation : callable
        Makes the module of the activation function.
    channels : callable
        Returns the channel from X to each neuron, from inputs, parameters and sigma.
    """

    inputs: tuple[float, ...]
    targets: tuple[float, ...]
    activation: Callable[[], nn.Module]
    channels: Callable[[Doubles, Parameters, float], Sequence[Channel]]

    def data(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return inputs and targets, shape (n, 1) each, and labels, shape (n,)."""
        inputs, targets = (torch.tensor(values, dtype=torch.float64)[:, None] for values in (self.inputs, self.targets))
        return inputs, targets, (targets[:, 0] > targets.mean()).long()

    def information(self, parameters: Parameters, sigma: float, *, neuron: int = 0) -> float:
        """Compute I(X;T) of a neuron in nats by quadrature."""
        channel = self.channels(np.array(self.inputs), parameters, sigma)[neuron]
        return quadrature_truths(channel)["I(X;T)"].value

    def network(self, parameters: Parameters, sigma: float) -> nn.Module:
        """Make the neurons in float64, each with noise; the layers are called ``neuron1``, ``neuron2``, ..."""
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, (weight, bias) in enumerate(parameters, start=1):
            # skip_init, because torch's own initialization would use the global generator.
            linear: nn.Linear = skip_init(nn.Linear, 1, 1, dtype=torch.float64)  # type: ignore[no-untyped-call]
            nn.init.constant_(linear.weight, weight)
            nn.init.constant_(linear.bias, bias)
            layers |= {f"linear{number}": linear, f"neuron{number}": self.activation()}
        inputs, _, _ = self.data()
        return noisify(nn.Sequential(layers), sigma=sigma, layers="neuron*", inputs=inputs[:1])


def parameters_of(network: nn.Module) -> Parameters:
    """Return weight and bias of each neuron of a network from `ScalarTask.network`."""
    values = [parameter.item() for parameter in network.parameters()]
    return list(zip(values[::2], values[1::2], strict=True))
