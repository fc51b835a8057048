"""The networks of V1: neurons, scalar chains, populations, wide layers and the two extremes of information."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from layerbits._base import Doubles
from layerbits.calibration.tasks.linear_networks import linear_cube, linear_line, linear_plane, linear_wide
from layerbits.calibration.tasks.mixtures import cube_corners
from layerbits.calibration.tasks.tanh_networks import TanhLayer, TanhNetwork
from layerbits.calibration.tasks.task import NetworkTask


def _neuron(weight: float, sigma: float) -> NetworkTask:
    """Make the single neuron of Goldfeld et al. (ICML 2019), with one of four inputs in class 1."""
    network = TanhNetwork([-3, -1, 1, 3], [TanhLayer(weight, -2 * weight)], sigma, labels=[0, 0, 0, 1])
    return network.task(f"neuron-{weight:g}", f"tanh({weight:g} (x - 2)) of 4 inputs")


def _chain(
    name: str, description: str, inputs: Sequence[float] | Doubles, gains: Sequence[float], sigma: float
) -> NetworkTask:
    """Make a chain of single units without biases."""
    return TanhNetwork(inputs, [TanhLayer(gain) for gain in gains], sigma).task(name, description)


NETWORKS = (
    _neuron(0.05, 0.05),
    _neuron(0.2, 0.1),
    _neuron(1, 0.1),
    _neuron(5, 0.05),
    _chain("scalar-2", "2 layers, 2 inputs, much noise", [-1, 1], [1, 1], 0.3),
    _chain("scalar-2-of-8", "2 layers, 8 inputs", np.linspace(-2, 2, 8), [2, 2], 0.1),
    _chain("scalar-2-of-32", "2 layers, 32 inputs, little noise", np.linspace(-2, 2, 32), [1.5, 3], 0.05),
    _chain("scalar-2-steep", "the second layer amplifies the noise of the first", [-1, -0.4, 0.5, 1], [0.5, 8], 0.2),
    _chain("scalar-2-flips", "rare noise flips the sign of the second layer", [-1, 1], [math.atanh(0.6), 20], 0.2),
    TanhNetwork(
        np.linspace(-2, 2, 8), [TanhLayer(2), TanhLayer(2), TanhLayer(2)], 0.1, labels=[0, 1, 2, 0, 1, 2, 0, 1]
    ).task("scalar-3", "3 layers, 8 inputs, 3 classes"),
    _chain("scalar-3-steep", "3 layers, the last two amplify noise", [-1, -0.3, 0.1, 0.6, 1], [1, 5, 5], 0.15),
    _chain("scalar-3-of-32", "3 layers, 32 inputs, little noise", np.linspace(-2, 2, 32), [1.5, 2, 3], 0.05),
    TanhNetwork([-2, 0, 1], [TanhLayer(1, 0.5), TanhLayer(2, -0.8), TanhLayer(-3, 1)], 0.2).task(
        "scalar-3-biased", "3 layers with biases"
    ),
    TanhNetwork(cube_corners(6), [TanhLayer(0.4, width=16)], 0.5).task(
        "population", "16 units that depend on the sum of 6 bits"
    ),
    TanhNetwork(cube_corners(5), [TanhLayer(0.4, width=9), TanhLayer(4)], 0.3).task(
        "population-readout", "a unit that depends on the mean of 9 such units"
    ),
    TanhNetwork([-1, 0, 1, 2], [TanhLayer(1), TanhLayer(1, width=64)], 0.3).task(
        "broadcast-64", "64 units that depend on one noisy unit"
    ),
    TanhNetwork([-1, 0, 1, 2], [TanhLayer(1), TanhLayer(0.05, width=1000)], 0.3).task(
        "broadcast-1000", "1000 weak units that depend on one noisy unit"
    ),
    linear_line("linear-line", "2 linear layers of 1 unit", np.linspace(-3, 3, 16), [1.5, 0.8], 0.3),
    linear_line("ladder", "32 inputs 6 sigmas apart: rare confusions", np.arange(-93.0, 94, 6), [1.0], 1.0),
    linear_plane(),
    linear_cube(4, depth=2, gain=0.8, sigma=0.5),
    linear_cube(6, depth=3, gain=0.9, sigma=0.5),
    linear_wide(),
    _chain("saturated", "2 steep layers, 2 inputs: slightly below log 2", [-1, 1], [3, 3], 0.05),
    _chain("equal-inputs", "8 equal inputs, and a second layer that amplifies the noise: 0", [0.5] * 8, [1, 6], 0.3),
    _chain("dead", "a second layer of weight 0: 0", [-2, -1, 1, 2], [2, 0], 0.2),
)
