"""Chains of two scalar layers with `DropoutNoise` at the second layer, or at both; true values are by quadrature."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from layerbits._base import Doubles
from layerbits.calibration.tasks.channels import REACH, Channel, normal_density
from layerbits.calibration.tasks.hidden_channels import Signals, hidden_nodes, mixture_density
from layerbits.calibration.tasks.module_task import Function, ModuleTask, chain
from layerbits.calibration.tasks.quadrature import quadrature_truths
from layerbits.calibration.tasks.scalar_tasks import Values, alternating, column, on_values
from layerbits.networks import DropoutNoise


def dropout_channel(
    means: Doubles,
    deviations: Doubles,
    signals: Signals,
    noise: DropoutNoise,
    *,
    slope: float,
    kinks: Sequence[float] = (),
) -> Channel:
    """Return the channel T = signals(U) (1 + alpha E) + sigma Z with U ~ N(mean, deviation^2), given the input.

    `means` and `deviations` have the shape (n,), `slope` is the largest |derivative| of `signals`, and `kinks` are the
    points where `signals` is not smooth. The hidden integral is that of `hidden_channel`.
    """
    lower, upper = (means - REACH * deviations).min(), (means + REACH * deviations).max()
    narrowest = float(deviations.min())
    # `hidden_nodes` reaches REACH of its deviations beyond the means.
    ends = np.array([lower, upper]) + REACH * narrowest * np.array([1, -1])

    def channel(steps: int) -> tuple[Doubles, float]:
        nodes, weights = hidden_nodes(ends, narrowest, noise.sigma / slope, kinks, steps)
        probabilities = normal_density(nodes - means[:, None], deviations[:, None]) * weights
        centers = signals(nodes)
        scales = _deviations(centers, noise)
        step = noise.sigma / steps
        axis = np.arange((centers - REACH * scales).min(), (centers + REACH * scales).max() + step, step)
        return mixture_density(probabilities, centers, scales, axis), step

    return channel


def _deviations(signals: Doubles, noise: float | DropoutNoise) -> Doubles:
    """Return the standard deviations of the noise of signals."""
    if isinstance(noise, DropoutNoise):
        scales: Doubles = np.hypot(noise.alpha * signals, noise.sigma)
        return scales
    return np.full_like(signals, noise)


@dataclasses.dataclass(frozen=True)
class _SecondLayer:
    """The function f of T = f(T_1) plus noise, a bound of its derivative, and the points where it is not smooth."""

    function: Function
    slope: float
    kinks: tuple[float, ...] = ()


def _chain(
    name: str, description: str, inputs: Values, noise: tuple[float | DropoutNoise, DropoutNoise], second: _SecondLayer
) -> ModuleTask:
    """Make T_1 = tanh(x) plus noise and T = f(T_1) plus noise."""
    values, labels = column(inputs), alternating(len(inputs))

    def channel() -> Channel:
        means = np.tanh(values[:, 0])
        scales = _deviations(means, noise[0])
        return dropout_channel(
            means,
            scales,
            lambda nodes: on_values(second.function, nodes),
            noise[1],
            slope=second.slope,
            kinks=second.kinks,
        )

    return ModuleTask(
        name,
        description,
        lambda: quadrature_truths(channel(), labels=labels),
        values,
        labels,
        lambda: chain(torch.tanh, second.function),
        dict(zip("01", noise, strict=True)),
        "1",
    )


def _tanh(gain: float) -> _SecondLayer:
    return _SecondLayer(lambda t: torch.tanh(gain * t), gain)


_INPUTS, _NOISE = np.linspace(-1.5, 1.5, 8), DropoutNoise(0.5, 0.2)
DROPOUT = (
    _chain("dropout-tanh", "two tanh layers with dropout", _INPUTS, (_NOISE, _NOISE), _tanh(2)),
    _chain(
        "dropout-relu",
        "a ReLU with dropout behind a tanh layer with dropout",
        _INPUTS,
        (_NOISE, _NOISE),
        _SecondLayer(lambda t: torch.relu(3 * t + 0.5), 3, (-0.5 / 3,)),
    ),
    _chain(
        "dropout-behind-gaussian", "a tanh layer with dropout behind Gaussian noise", _INPUTS, (0.3, _NOISE), _tanh(3)
    ),
    _chain(
        "dropout-strong",
        "a deviation of twice the signal",
        _INPUTS,
        (DropoutNoise(0.3, 0.2), DropoutNoise(2.0, 0.05)),
        _tanh(2),
    ),
    _chain(
        "dropout-clusters",
        "2 clusters 6.5 deviations apart",
        [-1.3, -0.7, 0.7, 1.3],
        (DropoutNoise(0.1, 0.1), DropoutNoise(0.25, 0.18)),
        _tanh(40),
    ),
)
