"""True values by quadrature, and the true values of channels that are derived from one another.

Integrals are sums over even grids (the trapezoidal rule), whose error falls exponentially in 1 / step for these smooth,
decaying integrands. Every integral is computed on two grids, the second twice as fine, and the difference is
reported as the error.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from layerbits._base import Doubles, Integers, check_vector
from layerbits.calibration.tasks.channels import Channel
from layerbits.calibration.tasks.task import Truth, Truths
from layerbits.mixtures import noise_entropy
from layerbits.statistics import class_numbers

# Steps per sigma. If two densities lie g sigmas apart, log p(t) has a singularity at the distance pi/g from the real
# axis, where p is exp(-g^2/8). The error exp(-g^2/8 - 2 pi^2 steps/g) is below 1e-11 at 8 steps for every g.
_COARSE, _FINE = 8, 16
_ROUNDING = 1e-12


def quadrature_truths(channel: Channel, *, weights: Doubles | None = None, labels: Integers | None = None) -> Truths:
    """Compute I(X;T), h(T), h(T|X) of a channel and, with labels, I(T;Y) and I(X;T|Y), in nats.

    Parameters
    ----------
    channel : callable
        A channel such as `line_channel`.
    weights : array of shape (n,), optional
        Weights of the inputs, proportional to their probabilities; equal by default.
    labels : integer array of shape (n,), optional
        Classes Y.

    Returns
    -------
    mapping of str to Truth
        The quantities by name.

    Raises
    ------
    TypeError, ValueError
        An argument has a wrong type or value.

    Examples
    --------
    >>> import layerbits as lb
    >>> truths = lb.calibration.quadrature_truths(lb.calibration.line_channel([-1.0, 1.0], sigma=1.0))
    >>> round(truths["I(X;T)"].value, 6)
    0.336831
    """
    if not callable(channel):
        raise TypeError(f"channel: got {type(channel).__name__}, wanted a channel, such as that of line_channel")
    n_inputs = len(channel(_COARSE)[0])
    if weights is not None:
        weights = check_vector("weights", weights)
        if len(weights) != n_inputs or (weights < 0).any() or not weights.any():
            raise ValueError(f"weights: got shape {weights.shape}, wanted ({n_inputs},), positive or 0, and not all 0")
    labels = None if labels is None else class_numbers(labels, n_inputs)
    coarse, fine = (_quantities(*channel(steps), weights, labels) for steps in (_COARSE, _FINE))
    return {
        name: Truth(value, abs(value - coarse[name][0]) + _ROUNDING, spread, "quadrature")
        for name, (value, spread) in fine.items()
    }


def independent_copies(truths: Truths, copies: int) -> Truths:
    """Return the true values of independent copies of a channel, taken together."""
    return {
        name: Truth(copies * truth.value, copies * truth.error, math.sqrt(copies) * truth.spread, truth.source)
        for name, truth in truths.items()
    }


def with_log_volume(truths: Truths, log_volume: float) -> Truths:
    """Return the true values after an invertible linear map of T with this log |det|, in nats."""
    return {
        name: truth if name.startswith("I") else dataclasses.replace(truth, value=truth.value + log_volume)
        for name, truth in truths.items()
    }


def with_noise_dimensions(truths: Truths, dim: int, sigma: float) -> Truths:
    """Return the true values after `dim` further units of T that are pure noise."""
    return with_log_volume(truths, noise_entropy(dim, sigma))


def separated_truths(inputs: int, gap: float) -> Truths:
    """Return the true values, entropies less h(Z), for equally likely signals at least `gap` sigmas apart.

    `with_noise_dimensions` adds the entropy of the noise. With L the sum of the likelihood ratios of the wrong signals,
    log n - I = E log(1 + L) <= E L^(1/2), and each ratio adds at most its Bhattacharyya coefficient exp(-gap^2/8).
    """
    information = Truth(math.log(inputs), (inputs - 1) * math.exp(-(gap**2) / 8) + _ROUNDING, 0.0, "limit")
    return {
        "I(X;T)": information,
        "h(T)": dataclasses.replace(information, spread=math.nan),
        "h(T|X)": Truth(0.0, _ROUNDING, math.nan, "closed form"),
    }


def _quantities(
    densities: Doubles, cell: float, weights: Doubles | None, labels: Integers | None
) -> dict[str, tuple[float, float]]:
    """Compute the value and the spread of each quantity from densities p(t|x) on a grid of cells."""
    probabilities = np.full(len(densities), 1 / len(densities)) if weights is None else weights / weights.sum()
    log_given_input, log_marginal = _log(densities), _log(probabilities @ densities)
    integrands = {"I(X;T)": log_given_input - log_marginal, "h(T)": -log_marginal, "h(T|X)": -log_given_input}
    if labels is not None:
        class_weights = probabilities * (labels == labels[:, None])
        log_given_class = _log(class_weights / class_weights.sum(1, keepdims=True) @ densities)
        integrands |= {"I(T;Y)": log_given_class - log_marginal, "I(X;T|Y)": log_given_input - log_given_class}
    quantities = {}
    for name, integrand in integrands.items():
        means = (densities * integrand).sum(1) * cell
        value = float(probabilities @ means)
        if name.startswith("I"):
            variances = (densities * (integrand - means[:, None]) ** 2).sum(1) * cell
            quantities[name] = max(value, 0.0), math.sqrt(probabilities @ variances)
        else:
            quantities[name] = value, math.nan
    return quantities


def _log(density: Doubles) -> Doubles:
    # The logarithm must be finite where the density underflows to 0: its product with the density is then 0.
    logarithm: Doubles = np.log(np.maximum(density, np.finfo(float).tiny))
    return logarithm
