"""Signals of plain dense networks for given noises, written without the package: S_l = f(W_l T_(l-1) + b_l)."""

import dataclasses
import math

import torch
from torch import Tensor

from tests.support.random_arrays import normal_tensor

# Activation functions, and their derivatives as functions of their own values.
ACTIVATIONS = {
    "identity": (lambda values: values, torch.ones_like),
    "tanh": (torch.tanh, lambda values: 1 - values.square()),
    "relu": (torch.relu, lambda values: (values > 0).double()),
}


@dataclasses.dataclass
class DenseSignals:
    """The last layer of a dense network; every layer, including the last, has the noise N(0, sigma^2 I).

    Attributes
    ----------
    inputs : Tensor of shape (N, D)
    weights, biases : lists of Tensor, (units, inputs) and (units,), in float64
    activation : str
        A key of `ACTIVATIONS`.
    sigma : float
    rows_seen : int
        Number of rows of all passes.
    """

    inputs: Tensor
    weights: list
    biases: list
    activation: str
    sigma: float
    rows_seen: int = 0

    def __post_init__(self):
        self._first = self._values(self.inputs, 0)

    @property
    def n_inputs(self):
        return len(self.inputs)

    @property
    def n_units(self):
        return len(self.weights[-1])

    @property
    def noise_size(self):
        return sum(len(weight) for weight in self.weights[:-1])

    @property
    def log_volume(self):
        return self.n_units * math.log(self.sigma)

    @property
    def signals_range(self):
        return math.sqrt(self.n_units) / self.sigma if self.activation == "tanh" else math.inf

    def _values(self, values, layer):
        return ACTIVATIONS[self.activation][0](values @ self.weights[layer].T + self.biases[layer])

    def _layers(self, rows, noises):
        """Return the signals of all layers."""
        values = [self._first[rows]]
        for layer, noise in enumerate(noises.split([len(weight) for weight in self.weights[:-1]], dim=1), start=1):
            values.append(self._values(values[-1] + self.sigma * noise, layer))
        return values

    def signals(self, rows, noises, *, are_typical=True):
        self.rows_seen += len(rows)
        return self._layers(rows, noises)[-1] / self.sigma

    def jacobians(self, rows, noises):
        values = self._layers(rows, noises)
        blocks, product = [], torch.eye(self.n_units, dtype=torch.float64).expand(len(rows), -1, -1)
        for layer in range(len(self.weights) - 1, 0, -1):
            slopes = ACTIVATIONS[self.activation][1](values[layer])
            product = (product * slopes[:, None]) @ self.weights[layer]
            blocks.append(product)
        return torch.cat(blocks[::-1], dim=2)

    def pushforward(self, rows, noises, tangents):
        return self.jacobians(rows, noises) @ tangents

    def pullback(self, rows, noises, cotangents):
        return self.jacobians(rows, noises).mT @ cotangents

    def residual_products(self, rows, noises, points):
        signals = self.signals(rows, noises, are_typical=False)
        return signals, self.pullback(rows, noises, (points - signals)[..., None])[..., 0]


def dense_signals(widths, n_inputs, *, sigma=0.5, activation="tanh", scale=1.0, seed=0):
    """Make a network of random weights N(0, scale^2 / inputs) with normal inputs; widths begin with the inputs."""
    sizes = list(zip(widths[1:], widths[:-1], strict=True))
    weights = [
        scale * normal_tensor(units, inputs, seed=seed + 10 + layer) / math.sqrt(inputs)
        for layer, (units, inputs) in enumerate(sizes)
    ]
    biases = [torch.zeros(units, dtype=torch.float64) for units, _ in sizes]
    return DenseSignals(normal_tensor(n_inputs, widths[0], seed=seed), weights, biases, activation, sigma)
