"""Frames of leading principal axes, and upper bounds of the information of every slice from variances."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from layerbits.networks import GaussianNoise

# Rows and columns of the largest matrix whose eigenvalues are computed: about two seconds.
_LARGEST_GRAM = 2048


def principal_frame(signals: Tensor, size: int) -> Tensor:
    """Return the leading principal axes (d, size) of signals (m, d); arbitrary axes follow if the signals span fewer.

    The largest entry of an axis by absolute value is positive.
    """
    rows = signals[:: math.ceil(len(signals) / _LARGEST_GRAM)] if min(signals.shape) > _LARGEST_GRAM else signals
    deviations = rows - rows.mean(0)
    missing = size - len(deviations)
    if missing > 0:
        deviations = torch.cat([deviations, deviations.new_zeros(missing, deviations.shape[1])])
    if len(deviations) >= deviations.shape[1]:
        axes = torch.linalg.eigh(deviations.mT @ deviations).eigenvectors.flip(1)[:, :size]
    else:
        axes = torch.linalg.svd(deviations, full_matrices=False).Vh[:size].mT
    axes = axes * torch.where(axes.gather(0, axes.abs().argmax(0, keepdim=True)) < 0, -1.0, 1.0)
    frame: Tensor = torch.linalg.qr(axes).Q  # without the rounding errors of axes of nearly equal variances
    oriented: Tensor = frame * (frame * axes).sum(0).sign()
    return oriented


def slice_ceiling(signals: Tensor, noise: GaussianNoise, size: int) -> float:
    """Return an upper bound of I(X; A^T T) for every frame A of this size, in nats.

    `signals` (n, d) are those of all inputs of a layer behind no noise. The bound is 1/2 sum_i log(1 + v_i / sigma^2)
    over the largest variances v_i along the principal axes of the whitened signals. For matrices with more than 2048
    rows and columns, only the trace is computed.
    """
    whitened = noise.whiten(signals[:, None])[:, 0] / noise.whitened_sigma
    deviations = whitened - whitened.mean(0)
    if min(deviations.shape) > _LARGEST_GRAM:
        return ceiling_of_trace(float(deviations.square().sum()) / len(deviations), size)
    wide = deviations.shape[0] < deviations.shape[1]
    gram = deviations @ deviations.mT if wide else deviations.mT @ deviations
    variances = torch.linalg.eigvalsh(gram / len(deviations)).flip(0)[:size].clamp(min=0)
    return float(variances.log1p().sum()) / 2


def ceiling_of_trace(trace: float, size: int) -> float:
    """Return the largest 1/2 log det(I + C) of a covariance C (size, size) of at most this trace, in noise variances.

    If all signals lie in a centrally symmetric body, the trace is at most the square of half of its diameter.
    """
    return size / 2 * math.log1p(trace / size)
