"""Signals far from zero: a large offset in float64 and in float32, where sigma may lie below the resolution."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from layerbits._base import Doubles
from layerbits.calibration.tasks.channels import line_channel
from layerbits.calibration.tasks.module_task import ModuleTask, chain
from layerbits.calibration.tasks.scalar_tasks import alternating, chain_task, channel_truths
from layerbits.calibration.tasks.task import Truth, Truths


def _one_layer(name: str, description: str, offset: float, sigma: float, dtype: type, *, refused: bool) -> ModuleTask:
    """Make T = offset + 100 sigma tanh(1.5 x) + Z, in one layer."""
    inputs: Doubles = np.linspace(-1, 1, 16)[:, None].astype(dtype)
    labels, scale = alternating(16), 100 * sigma

    def compute_truths() -> Truths:
        truths = channel_truths(line_channel(scale * np.tanh(1.5 * inputs[:, 0].astype(float)), sigma), labels)
        # Where float32 is too coarse, an estimate that is not refused must be that of float64.
        rounding = np.float64 if refused else dtype
        return {name: _rounded(truth, offset, sigma, rounding) for name, truth in truths.items()}

    return ModuleTask(
        name,
        description,
        compute_truths,
        inputs,
        labels,
        lambda: chain(lambda x: offset + scale * torch.tanh(1.5 * x)),
        {"0": sigma},
        "0",
        may_be_refused=refused,
    )


def _rounded(truth: Truth, offset: float, sigma: float, dtype: type) -> Truth:
    """Add the effect of the rounding of signals by the network to the error.

    A change of every signal by at most delta changes h(T), and the entropies given Y, by at most delta / sigma: the
    root of the Fisher information of signal plus noise is at most 1 / sigma. An information is a difference of two.
    """
    # Half a unit in the last place for the sum, and less than one and a half for the scaled tanh, which is at most a
    # quarter of the offset.
    delta = 2 * float(np.spacing(dtype(1.25 * offset)))
    return dataclasses.replace(truth, error=truth.error + 2 * delta / sigma)


OFFSETS = (
    _one_layer("offset-float64", "1000 + S in float64, sigma 1e-5", 1e3, 1e-5, np.float64, refused=False),
    _one_layer("offset-float32", "100 + S in float32, sigma 1/4", 100, 0.25, np.float32, refused=False),
    _one_layer("offset-below-float32", "1000 + S in float32, sigma 1e-5", 1e3, 1e-5, np.float32, refused=True),
    chain_task(
        "offset-chain",
        "2 layers, 1000 + S in float64",
        np.linspace(-1, 1, 6),
        ((lambda x: 1e3 + x), (lambda t: 1e3 + torch.tanh(2 * (t - 1e3)))),
        (0.3, 0.2),
        slope=2,
    ),
)
