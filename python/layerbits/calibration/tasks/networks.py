"""The networks of version 1: single neurons, scalar chains, populations and wide layers, linear ones, and both ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from torch import nn

from layerbits.calibration.tasks.mixtures import axes_of, cube, line_truths
from layerbits.calibration.tasks.quadrature import (
    Unit,
    among_noise,
    in_plane,
    independent,
    on_line,
    stretched,
    through_units,
    told_apart,
    truths_of,
)
from layerbits.calibration.tasks.task import Floats, Integers, NetworkTask, Truths


def _tanh(
    name: str,
    description: str,
    inputs: Sequence[float] | Floats,
    gains: Sequence[float],
    sigma: float,
    *,
    biases: Sequence[float] | None = None,
    widths: Sequence[int] | None = None,
    labels: Sequence[int] | None = None,
) -> NetworkTask:
    """Make a network whose layers are made of units that are equal but for their signs.

    Those of the first layer see the sum of the inputs, those behind it the mean of the signed units before them. What
    a layer knows then lies on one line, along the signs. Labels are the signs of the sums unless they are given.
    """
    rows = np.array(inputs, float).reshape(len(inputs), -1)
    values = rows.sum(1)
    shifts, sizes = biases or [0.0] * len(gains), widths or [1] * len(gains)
    signs = [np.where(np.arange(size) % 2, -1.0, 1.0) for size in sizes]
    classes = (values > 0).astype(np.int64) if labels is None else np.array(labels)
    units = [
        Unit(gain / math.sqrt(seen), bias, math.sqrt(size))
        for gain, bias, seen, size in zip(gains, shifts, [1, *sizes], sizes, strict=False)
    ]
    before = [np.ones(rows.shape[1]), *(some / len(some) for some in signs)]
    return NetworkTask(
        name,
        description,
        sigma,
        lambda: among_noise(truths_of(through_units(values, units, sigma), labels=classes), sizes[-1] - 1, sigma),
        rows,
        classes,
        tuple(np.outer(gain * some, others) for gain, some, others in zip(gains, signs, before, strict=False)),
        tuple(bias * some for bias, some in zip(shifts, signs, strict=True)),
        nn.Tanh,
    )


def _neuron(weight: float, sigma: float) -> NetworkTask:
    """Make the single neuron of the paper, in which one input is in class 1."""
    return _tanh(
        f"neuron-{weight:g}",
        f"tanh({weight:g} (x - 2)) of 4 inputs",
        [-3, -1, 1, 3],
        [weight],
        sigma,
        biases=[-2 * weight],
        labels=[0, 0, 0, 1],
    )


def _linear_line(name: str, description: str, values: Floats, gains: Sequence[float], sigma: float) -> NetworkTask:
    """Make linear layers of one unit; labels are the signs of the inputs."""
    labels = (values > 0).astype(np.int64)
    noise = sigma * math.sqrt(sum(math.prod(gains[layer:]) ** 2 for layer in range(1, len(gains) + 1)))
    channel = on_line(math.prod(gains) * values, noise)
    matrices = [np.array([[gain]]) for gain in gains]
    return _linear(
        name, description, values[:, None], matrices, sigma, lambda: truths_of(channel, labels=labels), labels
    )


def _linear(
    name: str,
    description: str,
    inputs: Floats,
    matrices: Sequence[Floats],
    sigma: float,
    find_truths: Callable[[], Truths],
    labels: Integers | None = None,
) -> NetworkTask:
    biases = tuple(np.zeros(len(matrix)) for matrix in matrices)
    return NetworkTask(name, description, sigma, find_truths, inputs, labels, tuple(matrices), biases, nn.Identity)


def _linear_plane() -> NetworkTask:
    """Make T = B (A x + Z_1) + Z_2, which given x is N(B A x, sigma^2 (B B' + I)): whitened, a mixture in the plane."""
    angles, sigma = np.arange(7) * 2 * math.pi / 7, 0.4
    inputs, labels = np.stack([np.cos(angles), np.sin(angles)], axis=1), (np.arange(7) % 3 == 0).astype(np.int64)
    first, second = np.array([[1.5, 0.5], [-0.5, 1.0], [0.0, 1.0]]), np.array([[1.0, -1.0, 0.5], [0.5, 1.0, 1.0]])
    root = np.linalg.cholesky(second @ second.T + np.eye(2))
    whitened = np.linalg.solve(root, (inputs @ first.T @ second.T).T).T

    def find() -> Truths:
        return stretched(truths_of(in_plane(whitened, sigma), labels=labels), float(np.log(np.diag(root)).sum()))

    return _linear("linear-plane", "2 linear layers, 2-3-2", inputs, [first, second], sigma, find, labels)


def _linear_cube(bits: int, depth: int, gain: float, sigma: float) -> NetworkTask:
    """Make rotations and noise: a bit is as good as alone, behind all the noise that has come together."""
    noise = sigma * math.sqrt(sum(gain ** (2 * layer) for layer in range(depth)))

    def find() -> Truths:
        bit = line_truths([-(gain**depth), gain**depth], noise)
        rest = independent(bit, bits - 1)["I(X;T)"]
        return {**independent(bit, bits), "I(T;Y)": bit["I(X;T)"], "I(X;T|Y)": rest}

    inputs = cube(bits)
    return _linear(
        f"linear-cube-{bits}",
        f"{bits} bits through {depth} rotations; Y is the first bit",
        inputs,
        [gain * axes_of(bits, bits)] * depth,
        sigma,
        find,
        (inputs[:, 0] > 0).astype(np.int64),
    )


def _linear_wide() -> NetworkTask:
    count, dim, length, sigma = 64, 1000, 3.0, 0.1
    return _linear(
        "linear-wide",
        "64 inputs told apart by 1000 units: log 64",
        np.eye(count),
        [length * axes_of(dim, count).T],
        sigma,
        lambda: among_noise(told_apart(count, math.sqrt(2) * length / sigma), dim, sigma),
    )


NETWORKS = (
    _neuron(0.05, 0.05),
    _neuron(0.2, 0.1),
    _neuron(1, 0.1),
    _neuron(5, 0.05),
    _tanh("scalar-2", "2 layers, 2 inputs, much noise", [-1, 1], [1, 1], 0.3),
    _tanh("scalar-2-of-8", "2 layers, 8 inputs", np.linspace(-2, 2, 8), [2, 2], 0.1),
    _tanh("scalar-2-of-32", "2 layers, 32 inputs, little noise", np.linspace(-2, 2, 32), [1.5, 3], 0.05),
    _tanh("scalar-2-steep", "the second layer amplifies the noise of the first", [-1, -0.4, 0.5, 1], [0.5, 8], 0.2),
    _tanh(
        "scalar-2-flips", "the second layer turns rare noise into the other sign", [-1, 1], [math.atanh(0.6), 20], 0.2
    ),
    _tanh(
        "scalar-3",
        "3 layers, 8 inputs, 3 classes",
        np.linspace(-2, 2, 8),
        [2, 2, 2],
        0.1,
        labels=[0, 1, 2, 0, 1, 2, 0, 1],
    ),
    _tanh("scalar-3-steep", "3 layers that amplify noise twice", [-1, -0.3, 0.1, 0.6, 1], [1, 5, 5], 0.15),
    _tanh("scalar-3-of-32", "3 layers, 32 inputs, little noise", np.linspace(-2, 2, 32), [1.5, 2, 3], 0.05),
    _tanh("scalar-3-biased", "3 layers off the centre", [-2, 0, 1], [1, 2, -3], 0.2, biases=[0.5, -0.8, 1]),
    _tanh("population", "16 units that see the sum of 6 bits", cube(6), [0.4], 0.5, widths=[16]),
    _tanh("population-readout", "a unit that sees the mean of 9 such units", cube(5), [0.4, 4], 0.3, widths=[9, 1]),
    _tanh("broadcast-64", "64 units that see one noisy unit", [-1, 0, 1, 2], [1, 1], 0.3, widths=[1, 64]),
    _tanh("broadcast-1000", "1000 weak units that see one noisy unit", [-1, 0, 1, 2], [1, 0.05], 0.3, widths=[1, 1000]),
    _linear_line("linear-line", "2 linear layers of 1 unit", np.linspace(-3, 3, 16), [1.5, 0.8], 0.3),
    _linear_line(
        "ladder", "32 inputs 6 sigmas apart: neighbours are confused rarely", np.arange(-93.0, 94, 6), [1.0], 1.0
    ),
    _linear_plane(),
    _linear_cube(4, depth=2, gain=0.8, sigma=0.5),
    _linear_cube(6, depth=3, gain=0.9, sigma=0.5),
    _linear_wide(),
    _tanh("saturated", "2 steep layers, 2 inputs: hardly less than log 2", [-1, 1], [3, 3], 0.05),
    _tanh("equal-inputs", "8 equal inputs of which the second layer amplifies the noise: 0", [0.5] * 8, [1, 6], 0.3),
    _tanh("dead", "a second layer that sees nothing: 0", [-2, -1, 1, 2], [2, 0], 0.2),
)
