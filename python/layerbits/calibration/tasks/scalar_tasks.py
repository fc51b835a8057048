"""Tasks with one hidden noisy unit T_1: chains T = f(T_1) + Z, and T = f(T_1, x) + Z, where x acts on T directly."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Doubles, Integers
from layerbits.calibration.tasks.channels import Channel
from layerbits.calibration.tasks.hidden_channels import hidden_channel
from layerbits.calibration.tasks.module_task import BETWEEN, Function, ModuleTask, Network, chain
from layerbits.calibration.tasks.quadrature import quadrature_truths
from layerbits.calibration.tasks.task import Truth, Truths
from layerbits.mixtures import noise_entropy

Values = Sequence[float] | Doubles


def chain_task(
    name: str,
    description: str,
    inputs: Values,
    functions: tuple[Function, Function],
    sigmas: tuple[float, float],
    *,
    slope: float,
) -> ModuleTask:
    """Make the chain T_1 = f_1(x) + Z_1, T = f_2(T_1) + Z_2; `slope` bounds the derivative of f_2."""
    values = column(inputs)

    def channel() -> Channel:
        means = on_values(functions[0], values[:, 0])
        return hidden_channel(means, sigmas[0], lambda nodes: on_values(functions[1], nodes), sigmas[1], slope=slope)

    return chain_of_channel(name, description, values, functions, sigmas, channel)


def chain_of_channel(
    name: str,
    description: str,
    values: Doubles,
    functions: tuple[Function, Function],
    sigmas: tuple[float, float],
    channel: Callable[[], Channel],
) -> ModuleTask:
    """Make the chain T_1 = f_1(x) + Z_1, T = f_2(T_1) + Z_2 of inputs (n, 1), with the channel from x to T."""
    labels = alternating(len(values))
    return ModuleTask(
        name,
        description,
        lambda: channel_truths(channel(), labels, sigmas[1]),
        values,
        labels,
        lambda: chain(*functions),
        dict(zip("01", sigmas, strict=True)),
        "1",
        ("0", "1"),
    )


def bypass_task(
    name: str,
    description: str,
    inputs: Values,
    first: Function,
    second: Callable[[Tensor, Tensor], Tensor],
    sigmas: tuple[float, float],
    *,
    slope: float,
    kinks: Sequence[float] = (),
) -> ModuleTask:
    """Make T_1 = f_1(x) + Z_1 and T = f_2(T_1, x) + Z_2, which are no chain; `slope` bounds the derivative in T_1."""
    values, labels = column(inputs), alternating(len(inputs))

    def compute_truths() -> Truths:
        def signals(nodes: Doubles) -> Doubles:
            both: Doubles = second(torch.tensor(nodes), torch.tensor(values)).numpy()
            return both

        means = on_values(first, values[:, 0])
        return channel_truths(hidden_channel(means, sigmas[0], signals, sigmas[1], slope=slope, kinks=kinks), labels)

    return ModuleTask(
        name,
        description,
        compute_truths,
        values,
        labels,
        lambda: Network(lambda layers, x: layers["b"](second(layers["a"](x), x)), a=first, b=lambda signal: signal),
        {"a": sigmas[0], "b": sigmas[1]},
        "b",
        ("a", "b"),
    )


def column(values: Values) -> Doubles:
    """Return inputs of shape (n, 1)."""
    return np.array(values, float)[:, None]


def alternating(count: int) -> Integers:
    """Return the labels 0, 1, 1, 0, 0, 1, 1, ...: neither the sign nor the order of the inputs tells the class."""
    return np.resize([0, 1, 1, 0], count)


def on_values(function: Function, values: Doubles) -> Doubles:
    """Apply a function of tensors to an array."""
    results: Doubles = function(torch.tensor(values)).numpy()
    return results


def channel_truths(channel: Channel, labels: Integers, sigma: float | None = None) -> Truths:
    """Compute the true values of a channel; with the deviation of the noise of T, also I(T_k;T_l) of neighbours."""
    truths = quadrature_truths(channel, labels=labels)
    return truths if sigma is None else {**truths, BETWEEN: between_neighbours(truths["h(T)"], noise_entropy(1, sigma))}


def between_neighbours(entropy: Truth, noise_entropy: float) -> Truth:
    """Return I(T_k;T_l) = h(T_l) - h(Z_l): given the layer before in a chain, T_l is a known signal plus noise."""
    return dataclasses.replace(entropy, value=entropy.value - noise_entropy)
