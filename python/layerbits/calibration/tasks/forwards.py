"""Networks with random numbers of their own, and networks whose values leave torch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Doubles
from layerbits.calibration.tasks.channels import grid, leaky_relu_channel, normal_density
from layerbits.calibration.tasks.module_task import ModuleTask, Network, chain
from layerbits.calibration.tasks.scalar_tasks import alternating, channel_truths, column
from layerbits.calibration.tasks.task import Truths


def _own_flips(name: str, description: str, probability: float) -> ModuleTask:
    """Make T = x + Z, where the network itself flips the sign of x with a small probability."""
    inputs, labels, sigma = column([-1.2, -0.3, 0.6, 1.5]), alternating(4), 0.2

    def channel(steps: int) -> tuple[Doubles, float]:
        step = sigma / steps
        axis = grid(np.concatenate([inputs, -inputs]), sigma, step)
        plain, flipped = normal_density(axis - inputs, sigma), normal_density(axis + inputs, sigma)
        return (1 - probability) * plain + probability * flipped, step

    def flip(x: Tensor) -> Tensor:
        return torch.where(torch.rand_like(x) < probability, -x, x)

    return ModuleTask(
        name,
        description,
        lambda: channel_truths(channel, labels),
        inputs,
        labels,
        lambda: chain(flip),
        {"0": sigma},
        "0",
    )


def _numpy_relu() -> ModuleTask:
    """Make T_1 = x + Z_1 and T = max(0, 20 T_1 - 34) + Z by NumPy, with the deeper layer registered first."""
    inputs, labels, sigma, weight, bias = column(np.linspace(-1, 1, 8)), alternating(8), 0.3, 20.0, -34.0

    def compute_truths() -> Truths:
        return channel_truths(leaky_relu_channel(inputs[:, 0], weight, bias, 0.0, sigma), labels)

    def relu(t: Tensor) -> Tensor:
        return torch.tensor(np.maximum(weight * t.numpy() + bias, 0))

    return ModuleTask(
        "numpy-relu-rare",
        "a rare ReLU of NumPy",
        compute_truths,
        inputs,
        labels,
        lambda: Network(lambda layers, x: layers["b"](layers["a"](x)), b=relu, a=lambda x: x),
        {"a": sigma, "b": sigma},
        "b",
    )


FORWARDS = (
    _own_flips("own-flips", "random numbers of the network flip the input in one pass of 10", 0.1),
    _own_flips("own-flips-rare", "random numbers of the network flip the input in one pass of 1000", 0.001),
    _numpy_relu(),
)
