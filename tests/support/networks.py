"""Small networks for several test files; all densities of `ScalarChain` and `LinearChain` are known."""

from itertools import pairwise

import numpy as np
import torch
from torch import nn

from layerbits import noisify
from tests.support.answers import grid, normal
from tests.support.random_arrays import normal_tensor


def tanh_mlp(*widths, seed=1, dtype=torch.float32):
    """Make linear layers from each width to the next, with tanh between them; the modules are named 0, 1, 2, ..."""
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for inputs, outputs in pairwise(widths):
        linear = nn.Linear(inputs, outputs, dtype=dtype)
        with torch.no_grad():
            for parameter in linear.parameters():
                parameter.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def noisy_identities(count, sigma=0.5, **options):
    """Make layers that only add noise: each signal is the input plus the noise of the layers before."""
    return noisify(nn.Sequential(*(nn.Identity() for _ in range(count))), sigma=sigma, layers=nn.Identity, **options)


def dense(weight, bias=None):
    """Make a linear layer in float64 with a copy of `weight`, and the same bias for every unit."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(weight))
        if bias is not None:
            layer.bias.fill_(bias)
    return layer


def tanh_network(sigma=0.1):
    """Make a network of 4 input dimensions with the noisy layers "1" and "3", of 3 units each."""
    first, second = dense(normal_tensor(3, 4, seed=7) / 2), dense(normal_tensor(3, 3, seed=8) / 2)
    return noisify(nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), dense(normal_tensor(2, 3))), sigma=sigma)


def three_tanh_layers(sigma=0.3):
    """Make a chain of noisy layers "1", "3" and "5" of 3, 3 and 2 units, on 4 input dimensions."""
    sizes = [(3, 4), (3, 3), (2, 3)]
    layers = [(dense(1.5 * normal_tensor(*size, seed=seed)), nn.Tanh()) for seed, size in enumerate(sizes)]
    return noisify(nn.Sequential(*(module for pair in layers for module in pair)), sigma=sigma, layers=nn.Tanh)


# Inputs of `tanh_network` and their classes.
INPUTS, LABELS = normal_tensor(20, 4, seed=3), torch.arange(20) % 3


class Jitter(nn.Module):
    """A module that uses random numbers in evaluation."""

    def forward(self, x):
        return x + torch.rand_like(x)


class Twice(nn.Module):
    """A network that calls one module twice."""

    def __init__(self):
        super().__init__()
        self.module = nn.Tanh()

    def forward(self, x):
        return self.module(self.module(x))


class ScalarChain:
    """Layers of one unit, T_l = tanh(gain_l T_(l-1)) + Z, with all densities by quadrature; layers count from 1."""

    def __init__(self, values, *, gains=(2.0, 2.0), sigma=0.25):
        self.values, self.gains, self.sigma = np.asarray(values, float), gains, sigma
        self.axis = grid(-1, 1, sigma)
        self.step = self.axis[1] - self.axis[0]

    def kernel(self, layer):
        """Return p(t_(layer+1) | t_layer) on the axis, (points, points)."""
        return normal(self.axis - np.tanh(self.gains[layer] * self.axis)[:, None], self.sigma)

    def densities(self, layer):
        """Return p(t_layer | x) of each input, (inputs, points)."""
        densities = normal(self.axis - np.tanh(self.gains[0] * self.values)[:, None], self.sigma)
        for previous_layer in range(1, layer):
            densities = densities @ self.kernel(previous_layer) * self.step
        return densities

    def inputs(self, copies=1):
        """Return the values as inputs (copies * n, 1); copies add queries and no information."""
        return torch.from_numpy(self.values.repeat(copies)[:, None])

    def noisy(self):
        """Return the network, whose noisy layer l is named 2 l - 1."""
        layers = [layer for gain in self.gains for layer in (dense(np.full((1, 1), gain)), nn.Tanh())]
        return noisify(nn.Sequential(*layers), sigma=self.sigma, layers=nn.Tanh)


class LinearChain:
    """Three noisy linear layers and fixed inputs: each layer is Gaussian given the input or an earlier layer."""

    sigma = 0.6
    weights = normal_tensor(3, 4, seed=1) / 2, normal_tensor(3, 3, seed=2) / 2, normal_tensor(2, 3, seed=3)
    values = normal_tensor(30, 4, seed=4)

    def covariance(self, first, last):
        """Return the covariance of T_last given T_first, or given the input, which is layer 0."""
        width = self.weights[first].shape[1]
        covariance = torch.zeros(width, width).double()
        for weight in self.weights[first:last]:
            covariance = weight @ covariance @ weight.T + self.sigma**2 * torch.eye(len(weight))
        return covariance.numpy()

    def means(self, last):
        """Return the mean of T_last given each input, (30, d)."""
        means = self.values
        for weight in self.weights[:last]:
            means = means @ weight.T
        return means.numpy()

    def inputs(self, copies=1):
        """Return the values as inputs (copies * 30, 4); copies add queries and no information."""
        return self.values.repeat(copies, 1)

    def noisy(self):
        """Return the network, whose noisy layer l is named l - 1."""
        return noisify(nn.Sequential(*map(dense, self.weights)), sigma=self.sigma, layers=nn.Linear)
