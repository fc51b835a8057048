"""Rare events: units that are active, or clusters that are left, in few passes of 1000, and outliers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from layerbits.calibration.tasks.channels import leaky_relu_channel, line_channel
from layerbits.calibration.tasks.module_task import ModuleTask
from layerbits.calibration.tasks.scalar_tasks import Values, chain_of_channel, chain_task, column


def _relu(
    name: str, description: str, inputs: Values, weight: float, bias: float, sigma: float, slope: float = 0.0
) -> ModuleTask:
    """Make T_1 = x + Z_1 and T = max(U, slope U) + Z with U = weight T_1 + bias."""
    values = column(inputs)

    def second(t: Tensor) -> Tensor:
        return nn.functional.leaky_relu(weight * t + bias, slope)

    return chain_of_channel(
        name,
        description,
        values,
        (lambda x: x, second),
        (sigma, sigma),
        lambda: leaky_relu_channel(values[:, 0], weight, bias, slope, sigma),
    )


def _outlier(name: str, description: str, inputs: Values) -> ModuleTask:
    """Make two linear layers."""
    values, sigma = column(inputs), 0.25
    return chain_of_channel(
        name,
        description,
        values,
        (lambda x: x, lambda t: 1.5 * t),
        (sigma, sigma),
        lambda: line_channel(1.5 * values[:, 0], sigma * np.hypot(1, 1.5)),
    )


def _flips(name: str, description: str, deviations: float) -> ModuleTask:
    """Make 2 clusters that a pass leaves where its noise is beyond `deviations`."""
    functions = (lambda t: t), (lambda t: torch.tanh(40 * t))
    return chain_task(name, description, [-1, 1], functions, (1 / deviations, 0.2), slope=40)


# P(T_1 > 1.7) is 1/100 for x = 1 and 1/770 on average over 8 inputs.
_SIGMA, _BIAS = 0.3, -1.7
RARE_EVENTS = (
    _relu("relu-rare", "a ReLU that is active in one pass of 800", np.linspace(-1, 1, 8), 20, 20 * _BIAS, _SIGMA),
    _relu("relu-rare-of-64", "a rare ReLU, 64 inputs", np.linspace(-1, 1, 64), 20, 20 * _BIAS, _SIGMA),
    _relu("relu-outliers", "a rare ReLU with signals of 300 sigmas", np.linspace(-1, 1, 8), 1000, 1000 * _BIAS, _SIGMA),
    _relu("leaky-relu", "a leaky ReLU", np.linspace(-1, 1, 8), 2, 0.3, _SIGMA, 0.1),
    _flips("flips-3.1", "a sign that flips in one pass of 1000", 3.1),
    _flips("flips-3.7", "a sign that flips in one pass of 10,000", 3.7),
    _outlier("outlier", "an input 500 sigmas from 31 others", [*np.linspace(-1, 1, 31), 150]),
    _outlier("outlier-of-8", "an input 500 sigmas from 7 others", [*np.linspace(-1, 1, 7), 150]),
)
