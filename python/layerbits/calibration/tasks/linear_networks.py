"""Linear networks: T of the last layer is a Gaussian mixture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from torch import nn

from layerbits._base import Doubles, Integers
from layerbits.calibration.tasks.channels import line_channel, plane_channel
from layerbits.calibration.tasks.mixtures import Line, cube_corners, orthonormal_rows
from layerbits.calibration.tasks.quadrature import (
    independent_copies,
    quadrature_truths,
    separated_truths,
    with_log_volume,
    with_noise_dimensions,
)
from layerbits.calibration.tasks.task import NetworkTask, Truths


class _LinearNetwork(NamedTuple):
    inputs: Doubles
    matrices: Sequence[Doubles]
    sigma: float
    labels: Integers | None = None

    def task(self, name: str, description: str, compute_truths: Callable[[], Truths]) -> NetworkTask:
        return NetworkTask(
            name=name,
            description=description,
            sigma=self.sigma,
            compute_truths=compute_truths,
            inputs=self.inputs,
            labels=self.labels,
            matrices=tuple(self.matrices),
            biases=tuple(np.zeros(len(matrix)) for matrix in self.matrices),
            activation=nn.Identity,
        )


def linear_line(name: str, description: str, inputs: Doubles, gains: Sequence[float], sigma: float) -> NetworkTask:
    """Make linear layers of one unit; the label of an input is whether it is positive."""
    labels = (inputs > 0).astype(np.int64)
    total_sigma = sigma * math.sqrt(sum(math.prod(gains[layer:]) ** 2 for layer in range(1, len(gains) + 1)))
    channel = line_channel(math.prod(gains) * inputs, total_sigma)
    network = _LinearNetwork(inputs[:, None], [np.array([[gain]]) for gain in gains], sigma, labels)
    return network.task(name, description, lambda: quadrature_truths(channel, labels=labels))


def linear_plane() -> NetworkTask:
    """Make T = B (A x + Z_1) + Z_2, a mixture in the plane after whitening: T given x is N(BAx, sigma^2 (BB^T + I))."""
    angles, sigma = np.arange(7) * 2 * math.pi / 7, 0.4
    inputs, labels = np.stack([np.cos(angles), np.sin(angles)], axis=1), (np.arange(7) % 3 == 0).astype(np.int64)
    a, b = np.array([[1.5, 0.5], [-0.5, 1.0], [0.0, 1.0]]), np.array([[1.0, -1.0, 0.5], [0.5, 1.0, 1.0]])
    root = np.linalg.cholesky(b @ b.T + np.eye(2))
    whitened = np.linalg.solve(root, (inputs @ a.T @ b.T).T).T

    def compute_truths() -> Truths:
        log_volume = float(np.log(np.diag(root)).sum())
        return with_log_volume(quadrature_truths(plane_channel(whitened, sigma), labels=labels), log_volume)

    network = _LinearNetwork(inputs, [a, b], sigma, labels)
    return network.task("linear-plane", "2 linear layers, 2-3-2", compute_truths)


def linear_cube(bits: int, depth: int, gain: float, sigma: float) -> NetworkTask:
    """Make a chain of scaled rotations of the corners of a cube; Y is the first bit."""
    total_sigma = sigma * math.sqrt(sum(gain ** (2 * layer) for layer in range(depth)))

    def compute_truths() -> Truths:
        bit = Line([-(gain**depth), gain**depth], total_sigma).truths()
        given_class = independent_copies(bit, bits - 1)["I(X;T)"]
        return {**independent_copies(bit, bits), "I(T;Y)": bit["I(X;T)"], "I(X;T|Y)": given_class}

    inputs = cube_corners(bits)
    matrices = [gain * orthonormal_rows(bits, bits)] * depth
    network = _LinearNetwork(inputs, matrices, sigma, (inputs[:, 0] > 0).astype(np.int64))
    description = f"{bits} bits through {depth} rotations; Y is the first bit"
    return network.task(f"linear-cube-{bits}", description, compute_truths)


def linear_wide() -> NetworkTask:
    """Make a layer of 1000 units that separates all inputs."""
    count, dim, length, sigma = 64, 1000, 3.0, 0.1

    def compute_truths() -> Truths:
        return with_noise_dimensions(separated_truths(count, math.sqrt(2) * length / sigma), dim, sigma)

    network = _LinearNetwork(np.eye(count), [length * orthonormal_rows(count, dim).T], sigma)
    return network.task("linear-wide", "64 inputs, separated by 1000 units: log 64", compute_truths)
