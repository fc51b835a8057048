"""Seeded noisy networks with wide layers, and their inputs."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import torch
from torch import Tensor, nn

from layerbits.data import mnist_dataset
from layerbits.networks import noisify

_TRAINING_IMAGES, _BATCH = 20_000, 200


@dataclasses.dataclass(frozen=True)
class WideNetwork:
    """A noisy network, its inputs, and the names of its layers behind noise.

    Attributes
    ----------
    model : Module
        The network.
    inputs : Tensor of shape (N, ...)
        The inputs.
    layers : tuple of str
        The layers behind noise.
    truth : tuple of Tensor, optional
        For a linear network, the means (N, d) and the covariance (d, d) of the last layer given the input.
    """

    model: nn.Module
    inputs: Tensor
    layers: tuple[str, ...]
    truth: tuple[Tensor, Tensor] | None = None


def tanh_network(width: int, n_inputs: int, scale: float = 1.0) -> WideNetwork:
    """Make an untrained tanh network 20-width-width-width-10 with sigma = .6; `scale` multiplies the inner weights."""
    torch.manual_seed(0)
    sizes = (20, width, width, width)
    linears = [nn.Linear(*pair) for pair in itertools.pairwise(sizes)]
    modules = [module for linear in linears for module in (linear, nn.Tanh())]
    model = nn.Sequential(*modules, nn.Linear(width, 10))
    inputs = torch.randn(n_inputs, 20)
    with torch.no_grad():
        for linear in linears[1:]:
            linear.weight.mul_(scale)
    return WideNetwork(noisify(model, sigma=0.6), inputs, ("3", "5"))


def linear_network(width: int, n_inputs: int = 1000) -> WideNetwork:
    """Make a linear network 10-width-width with sigma = .5, whose second layer is Gaussian given the input."""
    torch.manual_seed(width)
    first, second = nn.Linear(10, width, bias=False), nn.Linear(width, width, bias=False)
    model = nn.Sequential(first, nn.Identity(), second, nn.Identity(), nn.Linear(width, 2))
    with torch.no_grad():
        second.weight.mul_(1.5)
    inputs = torch.randn(n_inputs, 10)
    weight = second.weight.detach().double()
    means = inputs.double() @ first.weight.detach().double().T @ weight.T
    covariance = 0.25 * (weight @ weight.T + torch.eye(width, dtype=torch.float64))
    return WideNetwork(noisify(model, sigma=0.5, layers=["1", "3"]), inputs, ("3",), (means, covariance))


def mnist_mlp(folder: Path, width: int, sigma: float) -> WideNetwork:
    """Train a noisy ReLU network 784-width-width-width-10 for three epochs; the inputs are 1000 training images."""
    torch.manual_seed(0)
    sizes = (784, width, width, width)
    modules = [module for pair in itertools.pairwise(sizes) for module in (nn.Linear(*pair), nn.ReLU())]
    model = noisify(nn.Sequential(nn.Flatten(), *modules, nn.Linear(width, 10)), sigma=sigma)
    return WideNetwork(model, _trained(model, folder, epochs=3), ("4", "6"))


def mnist_cnn(folder: Path, sigma: float) -> WideNetwork:
    """Train a noisy network of two convolutions and a dense layer, with tanh, for two epochs."""
    torch.manual_seed(0)
    first, second = (nn.Conv2d(*channels, 3, stride=2, padding=1) for channels in ((1, 8), (8, 16)))
    dense = (nn.Flatten(), nn.Linear(784, 128), nn.Tanh(), nn.Linear(128, 10))
    model = noisify(nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), *dense), sigma=sigma)
    return WideNetwork(model, _trained(model, folder, epochs=2), ("3", "6"))


def _trained(model: nn.Module, folder: Path, epochs: int) -> Tensor:
    """Train a network, and return 1000 of the images."""
    train, _ = mnist_dataset(folder)
    images, labels = train.inputs[:_TRAINING_IMAGES], train.labels[:_TRAINING_IMAGES]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(images)), _BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    model.eval()
    return images[:1000]
