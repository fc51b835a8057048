"""Two units with correlated noise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from layerbits._base import Doubles
from layerbits.calibration.tasks.channels import plane_channel
from layerbits.calibration.tasks.hidden_channels import hidden_channel
from layerbits.calibration.tasks.module_task import BETWEEN, Function, ModuleTask, chain
from layerbits.calibration.tasks.quadrature import quadrature_truths, with_log_volume, with_noise_dimensions
from layerbits.calibration.tasks.scalar_tasks import alternating, between_neighbours
from layerbits.calibration.tasks.task import Truths
from layerbits.mixtures import noise_entropy

_COVARIANCES = np.array([[0.16, 0.14], [0.14, 0.25]]), np.array([[0.09, -0.05], [-0.05, 0.04]])
_ANGLES = np.arange(6) * 2 * math.pi / 6
_INPUTS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_LABELS = alternating(len(_INPUTS))


def _linear() -> ModuleTask:
    """Make T_1 = x + Z_1 and T = B T_1 + Z, a mixture in the plane: T given x is N(Bx, B C_1 B^T + C)."""
    matrix = np.array([[1.0, -0.5], [0.5, 1.0]])
    first, second = _COVARIANCES

    def compute_truths() -> Truths:
        root: Doubles = np.linalg.cholesky(matrix @ first @ matrix.T + second)
        whitened = np.linalg.solve(root, matrix @ _INPUTS.T).T
        truths = quadrature_truths(plane_channel(whitened, 1.0), labels=_LABELS)
        return _with_between(with_log_volume(truths, _log_volume(root)), second)

    return _task(
        "correlated-linear",
        "2 linear layers of 2 units with correlated noise",
        compute_truths,
        lambda t: t @ torch.tensor(matrix).T,
    )


def _tanh() -> ModuleTask:
    """Make T_1 = x + Z_1 and T = v tanh(2 a^T T_1) + Z.

    The noise of T is whitened by the root R of its covariance: R^-1 T is a signal along R^-1 v plus standard noise.
    """
    readout, direction = np.array([1.0, -0.7]), np.array([0.8, 1.0])
    first, second = _COVARIANCES

    def compute_truths() -> Truths:
        root: Doubles = np.linalg.cholesky(second)
        length = float(np.linalg.norm(np.linalg.solve(root, direction)))
        channel = hidden_channel(
            _INPUTS @ readout,
            math.sqrt(readout @ first @ readout),
            lambda nodes: length * np.tanh(2 * nodes),
            1.0,
            slope=2 * length,
        )
        truths = with_noise_dimensions(quadrature_truths(channel, labels=_LABELS), 1, 1.0)
        return _with_between(with_log_volume(truths, _log_volume(root)), second)

    return _task(
        "correlated-tanh",
        "a layer of 2 tanh units behind 2 units, with correlated noise",
        compute_truths,
        lambda t: torch.tanh(2 * t @ torch.tensor(readout))[:, None] * torch.tensor(direction),
    )


def _log_volume(root: Doubles) -> float:
    return float(np.log(np.diag(root)).sum())


def _with_between(truths: Truths, covariance: Doubles) -> Truths:
    noise = noise_entropy(2, 1.0) + float(np.linalg.slogdet(covariance)[1]) / 2
    return {**truths, BETWEEN: between_neighbours(truths["h(T)"], noise)}


def _task(name: str, description: str, compute_truths: Callable[[], Truths], second: Function) -> ModuleTask:
    return ModuleTask(
        name,
        description,
        compute_truths,
        _INPUTS,
        _LABELS,
        lambda: chain(lambda x: x, second),
        dict(zip("01", _COVARIANCES, strict=True)),
        "1",
        ("0", "1"),
    )


CORRELATED_NOISE = (_linear(), _tanh())
