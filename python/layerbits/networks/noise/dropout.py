"""The distribution of Gaussian dropout with additive noise: noise that grows with the signal."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from layerbits._base import check_positive
from layerbits.networks.noise.gaussian import GaussianNoise
from layerbits.networks.noise.sigma_checks import check_range, check_resolution


@dataclasses.dataclass(frozen=True)
class DropoutNoise:
    """Gaussian dropout with additive noise: T = S (1 + alpha E) + sigma Z, with E and Z standard normal for each unit.

    Given the signal s, T ~ N(s, diag(alpha^2 s^2 + sigma^2)). `noisify`, `layer_information` and `Monitor` take it as
    their argument `sigma`: ``noisify(model, sigma=DropoutNoise(0.3, 0.1))``.

    Parameters
    ----------
    alpha : float
        Standard deviation of the noise relative to the signal, positive. Dropout that drops a unit with probability p
        and divides the others by 1 - p has alpha = sqrt(p / (1 - p)).
    sigma : float
        Standard deviation of the noise of a unit whose signal is 0, from 1e-37 to 1e37, in the units of the signal.

    Raises
    ------
    TypeError, ValueError
        `alpha` or `sigma` is not a positive finite number, or `sigma` is not from 1e-37 to 1e37.

    Notes
    -----
    Sources: Srivastava et al., Dropout (JMLR 2014), section 10, for the multiplicative Gaussian noise; Kingma, Salimans
    and Welling, Variational Dropout and the Local Reparameterization Trick (2015). The additive noise is not in these
    sources: without it, a unit with the signal 0 would have no noise, and I(X;T) could be infinite.

    An ordinary pass generates the values of E for the whole signal, then those of Z. The sum is computed in float32, or
    in the signal's wider dtype, and rounded to the dtype of the signal.

    `layer_information` measures a layer with this noise, a token of the layer, or a mean over tokens or positions,
    wherever the layer lies. Slices are refused: the covariance of their noise would depend on the signal. Behind other
    noise no unit is left out, so the signals of all draws must fit into `max_memory`.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    >>> model = lb.noisify(model, sigma=lb.DropoutNoise(alpha=0.5, sigma=0.1), inputs=torch.zeros(1, 4))
    >>> lb.noise_of(model)["1"]
    DropoutNoise(alpha=0.5, sigma=0.1)
    """

    alpha: float
    sigma: float

    # Number of standard normal values for each value of the signal.
    n_normals: ClassVar[int] = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", check_positive("alpha", self.alpha))
        if not isinstance(self.sigma, bool | Tensor | np.ndarray) and self.sigma == 0:
            raise ValueError(
                "sigma: got 0, wanted a positive number: a unit whose signal is 0 would have no noise, and I(X;T) "
                "could be infinite"
            )
        object.__setattr__(self, "sigma", check_positive("sigma", self.sigma))
        check_range("sigma", self.sigma, self.sigma)

    def __mul__(self, factor: float) -> DropoutNoise:
        """Return noise with `factor` times the standard deviation of each unit.

        Raises
        ------
        TypeError, ValueError
            `factor` is not a positive finite number, or sigma is then not from 1e-37 to 1e37.
        """
        factor = check_positive("factor", factor)
        return DropoutNoise(self.alpha * factor, self.sigma * factor)

    __rmul__ = __mul__

    @property
    def least_deviation(self) -> float:
        """The standard deviation of the noise of a unit whose signal is 0."""
        return self.sigma

    @property
    def least_scale(self) -> float:
        """A number c with D(p(t|s) || p(t|s')) <= |s - s'|^2 / (2 c^2), in nats, for small changes of s.

        The variance v at s' is at least 2 alpha sigma |s'|, so its relative change x is about alpha |s - s'| / sigma at
        most; the divergence of a unit is (s - s')^2 / 2v + (x - log(1 + x)) / 2, and x - log(1 + x) is at most x^2.
        """
        return self.sigma / math.hypot(1, self.alpha)

    def check(self, layer: str, shape: Sequence[int]) -> None:
        """Accept signals of any shape."""

    def check_resolution(self, layer: str, step: float, dtype: torch.dtype) -> None:
        """Raise ValueError if rounding to multiples of `step` distorts the noise of a signal of 0."""
        check_resolution(layer, self.sigma, step, dtype)

    def of_mean(self, n_averaged: int) -> DropoutNoise:
        """Return the noise of the mean of `n_averaged` signals, whose scale is their root mean square."""
        return DropoutNoise(self.alpha / math.sqrt(n_averaged), self.sigma / math.sqrt(n_averaged))

    def per_unit(self, shape: Sequence[int]) -> DropoutNoise:
        """Return the noise itself, which is the same for every unit."""
        return self

    def repeated(self, times: int) -> DropoutNoise:
        """Return the noise itself, which is the same for every unit."""
        return self

    def divergence(self, signals: Tensor, other_signals: Tensor) -> Tensor:
        """Compute D(p(t|s) || p(t|s')), in nats, for each row s of signals (n, d) and the same row s' of the others."""
        variances = (self.alpha * other_signals).square() + self.sigma**2
        change = signals - other_signals
        # The relative change of the variances, without the rounding error of their difference.
        variance_change = self.alpha**2 * change * (signals + other_signals) / variances
        return (change.square() / variances + variance_change - variance_change.log1p()).sum(1) / 2

    def add(self, signal: Tensor, *normals: Tensor) -> Tensor:
        """Add noise to a signal, from the values of E and those of Z, of the same shape and device.

        The sum is computed in the dtype of the normal values and rounded to that of the signal.
        """
        factors, normal = normals
        values = signal.to(normal.dtype)
        scaled_values = torch.add(values, values * factors, alpha=self.alpha)
        return torch.add(scaled_values, normal, alpha=self.sigma).to(signal.dtype)


class NoiseByInput(DropoutNoise):
    """Noise of variance sigma^2 + (alpha c)^2 for each unit, where the scale c is a function of the input.

    The mean over the tokens that a mask keeps has such noise: c depends on the number of tokens.
    """

    def __repr__(self) -> str:
        return "noise that differs by input"


# The distribution of the noise of a layer.
Noise = GaussianNoise | DropoutNoise
