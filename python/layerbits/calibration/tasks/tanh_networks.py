"""Tanh networks whose signals lie on a line in each layer, so that quadrature gives their information."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from torch import nn

from layerbits._base import Doubles, Integers
from layerbits.calibration.tasks.channels import TanhUnit, tanh_chain_channel
from layerbits.calibration.tasks.quadrature import quadrature_truths, with_noise_dimensions
from layerbits.calibration.tasks.task import NetworkTask, Truths


@dataclasses.dataclass(frozen=True)
class TanhLayer:
    """A layer whose units have equal weights and biases, with signs +, -, +, -, ..."""

    gain: float
    bias: float = 0.0
    width: int = 1

    @property
    def signs(self) -> Doubles:
        """The signs of the units, shape (width,)."""
        return np.where(np.arange(self.width) % 2, -1.0, 1.0)


@dataclasses.dataclass(frozen=True)
class TanhNetwork:
    """A chain of tanh layers; the signals of a layer depend on one projection of the layer before.

    The units of the first layer depend on the sum of the input's coordinates; the units of a later layer depend on the
    mean of the signed units of the layer before. The signals of a layer therefore lie on a line, along its signs.

    Attributes
    ----------
    inputs : array of shape (n,) or (n, d)
        The inputs.
    layers : sequence of TanhLayer
        The layers.
    sigma : float
        Standard deviation of the noise.
    labels : sequence of int, optional
        Classes; by default whether the sum of the input's coordinates is positive.
    """

    inputs: Sequence[float] | Doubles
    layers: Sequence[TanhLayer]
    sigma: float
    labels: Sequence[int] | None = None

    def task(self, name: str, description: str) -> NetworkTask:
        """Make the task."""
        inputs = np.array(self.inputs, float).reshape(len(self.inputs), -1)
        sums = inputs.sum(1)
        labels = (sums > 0).astype(np.int64) if self.labels is None else np.array(self.labels)
        weights_before = [np.ones(inputs.shape[1]), *(layer.signs / layer.width for layer in self.layers[:-1])]
        return NetworkTask(
            name=name,
            description=description,
            sigma=self.sigma,
            compute_truths=lambda: self._truths(sums, labels),
            inputs=inputs,
            labels=labels,
            matrices=tuple(
                np.outer(layer.gain * layer.signs, weights)
                for layer, weights in zip(self.layers, weights_before, strict=True)
            ),
            biases=tuple(layer.bias * layer.signs for layer in self.layers),
            activation=nn.Tanh,
        )

    def _truths(self, sums: Doubles, labels: Integers) -> Truths:
        widths_before = [1, *(layer.width for layer in self.layers[:-1])]
        units = [
            TanhUnit(layer.gain / math.sqrt(width_before), layer.bias, math.sqrt(layer.width))
            for layer, width_before in zip(self.layers, widths_before, strict=True)
        ]
        truths = quadrature_truths(tanh_chain_channel(sums, units, self.sigma), labels=labels)
        return with_noise_dimensions(truths, self.layers[-1].width - 1, self.sigma)
