"""Residual sums, parallel branches and tied layers."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor, nn

from layerbits._base import Doubles
from layerbits.calibration.tasks.channels import TanhUnit, normal_density, tanh_chain_channel
from layerbits.calibration.tasks.hidden_channels import hidden_channel, hidden_nodes
from layerbits.calibration.tasks.module_task import BETWEEN, Function, ModuleTask, Network, Pointwise
from layerbits.calibration.tasks.quadrature import quadrature_truths
from layerbits.calibration.tasks.scalar_tasks import (
    alternating,
    between_neighbours,
    bypass_task,
    chain_task,
    channel_truths,
    column,
    on_values,
)
from layerbits.calibration.tasks.task import Truth, Truths
from layerbits.mixtures import noise_entropy


def _residual(t: Tensor) -> Tensor:
    return t - torch.tanh(2 * t)


def _parallel(name: str, description: str, pair: tuple[str, str]) -> ModuleTask:
    """Make T = tanh(2 (A + B)) + Z of two noisy branches A = tanh(2x) + Z_a and B = tanh(x/2 - 1) + Z_b."""
    inputs, labels, sigma = column(np.linspace(-1, 1.5, 6)), alternating(6), 0.25

    def first(x: Tensor) -> Tensor:
        return torch.tanh(2 * x)

    def second(x: Tensor) -> Tensor:
        return torch.tanh(x / 2 - 1)

    def third(t: Tensor) -> Tensor:
        return torch.tanh(2 * t)

    def compute_truths() -> Truths:
        means = on_values(lambda x: first(x) + second(x), inputs[:, 0])
        tau = 2**0.5 * sigma
        return channel_truths(hidden_channel(means, tau, lambda nodes: on_values(third, nodes), sigma, slope=2), labels)

    return ModuleTask(
        name,
        description,
        compute_truths,
        inputs,
        labels,
        lambda: Network(lambda layers, x: layers["c"](layers["a"](x) + layers["b"](x)), a=first, b=second, c=third),
        dict.fromkeys("abc", sigma),
        "c",
        pair,
    )


class _Repeated(nn.Module):
    """One layer that is called three times."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.cell = Pointwise(function)

    def forward(self, x: Tensor) -> Tensor:
        """Run the three calls."""
        output: Tensor = self.cell(self.cell(self.cell(x)))
        return output


def _tied(name: str, description: str, first: str) -> ModuleTask:
    """Make three calls of tanh(1.6 t + .2); I(T_k;T_l) is that of the call `first` and the third."""
    inputs, labels, sigma, unit = column(np.linspace(-1.2, 1, 5)), alternating(5), 0.3, TanhUnit(1.6, 0.2)

    def compute_truths() -> Truths:
        truths = quadrature_truths(tanh_chain_channel(inputs[:, 0], [unit] * 3, sigma), labels=labels)
        if first == "cell@2":
            return {**truths, BETWEEN: between_neighbours(truths["h(T)"], noise_entropy(1, sigma))}
        coarse, fine = (_from_first_call(unit(inputs[:, 0]), unit, sigma, order) for order in (8, 16))
        error = fine.error + abs(fine.value - coarse.value)
        return {**truths, BETWEEN: dataclasses.replace(fine, error=error)}

    return ModuleTask(
        name,
        description,
        compute_truths,
        inputs,
        labels,
        lambda: _Repeated(lambda t: torch.tanh(unit.gain * t + unit.bias)),
        dict.fromkeys(("cell", "cell@2", "cell@3"), sigma),
        "cell@3",
        (first, "cell@3"),
    )


def _from_first_call(means: Doubles, unit: TanhUnit, sigma: float, order: int) -> Truth:
    """Compute I(T_1;T_3) from nodes of T_1, which take the place of inputs with weights."""
    nodes, weights = hidden_nodes(means, sigma, sigma, (), order)
    probabilities = normal_density(nodes - means[:, None], sigma).mean(0) * weights
    return quadrature_truths(tanh_chain_channel(nodes, [unit] * 2, sigma), weights=probabilities)["I(X;T)"]


BRANCHES = (
    chain_task(
        "residual-stream",
        "noise on the sums of a residual network: a chain",
        np.linspace(-1.5, 1.5, 6),
        (_residual, _residual),
        (0.3, 0.2),
        slope=1,
    ),
    bypass_task(
        "residual-branch",
        "noise in the branch of a residual sum: no chain",
        np.linspace(-1.5, 1.5, 6),
        torch.tanh,
        lambda t, x: x / 2 + torch.tanh(2 * t),
        (0.3, 0.2),
        slope=2,
    ),
    _parallel("parallel", "2 noisy branches that a third layer adds", ("a", "c")),
    _parallel("parallel-siblings", "2 noisy branches, which are no chain of each other", ("a", "b")),
    _tied("tied", "3 calls of one layer", "cell@2"),
    _tied("tied-distant", "the first and the last of 3 calls of one layer", "cell"),
)
