"""`LineGaussians`: a density on the line for each input, whose sums take a time that grows with n + m, not with n m.

The density of an input is a mixture of two Gaussians around its mean, whose variances are members of one geometric
progression, with weights that give it its variance. The Gaussians of one variance are an isotropic mixture, whose sums
on the line are fast. Any densities are a valid decoder. With variances a and 2a, that of the density varies by up to
1/8 of its square, so the excess kurtosis k is at most 3/8, and the divergence from a Gaussian about k^2 / 48 = 0.003
nats.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Doubles, Integers
from layerbits.estimators.classes import Classes
from layerbits.estimators.decoder import Decoder
from layerbits.estimators.log_densities import Queries, log_sum, log_sums_by_class
from layerbits.kernels import as_sigma, isotropic_log_sums
from layerbits.statistics import ByCondition

# An isotropic sum at a point takes about as long as this number of terms with variances of their own.
_TERMS = 64


class LineGaussians(Decoder):
    """A density for each input, with mean (N, 1) and positive variance (N,)."""

    name = "Gaussian"

    def __init__(self, means: Tensor, variances: Tensor, classes: Classes, sigma: float) -> None:
        super().__init__(classes)
        self._means, self._sigma = means, sigma
        values = variances.numpy(force=True)
        steps = np.log2(values / values.min())
        self._steps = steps.astype(np.int64)  # of the smaller variance
        self._weights = np.exp2(steps - self._steps) - 1  # of the larger one
        self._deviations = np.sqrt(values.min() * np.exp2(np.arange(self._steps.max() + 2)))

    def _log_sums(self, queries: Queries) -> ByCondition[Doubles]:
        points = queries.points.flatten(0, 1)

        def log_sums_over(inputs: Integers | slice) -> Doubles:
            return log_sum(np.stack(list(parts(np.arange(len(self._steps))[inputs])))).reshape(queries.shape)

        def parts(inputs: Integers) -> Iterator[Doubles]:
            for step, deviation in enumerate(self._deviations):
                weights = self._weights_of(step, inputs)
                members = inputs[weights > 0]
                if len(members):
                    centers = self._means[members].to(points.dtype)
                    of_members = torch.from_numpy(weights[weights > 0]).to(centers)
                    log_sums = isotropic_log_sums(points, centers, as_sigma(deviation), of_members, queries.workers)
                    yield log_sums + math.log(self._sigma / deviation)

        class_log_sums, all_log_sums = log_sums_by_class(queries, self._classes, log_sums_over)
        return ByCondition(self._own_log_densities(queries), class_log_sums, all_log_sums)

    def _weights_of(self, step: int, inputs: Integers) -> Doubles:
        """Return the weights of the variance with this number in the densities of some inputs."""
        steps, weights = self._steps[inputs], self._weights[inputs]
        of_variance: Doubles = np.where(steps == step, 1 - weights, np.where(steps + 1 == step, weights, 0.0))
        return of_variance

    def _own_log_densities(self, queries: Queries) -> Doubles:
        """Return the log densities (n, q) of the inputs of the queries."""
        inputs = queries.inputs
        distances = (queries.points.double() - self._means[inputs][:, None])[..., 0].numpy(force=True)
        log_densities = []
        for number, weights in enumerate((1 - self._weights[inputs], self._weights[inputs])):
            deviations = self._deviations[self._steps[inputs] + number][:, None]
            with np.errstate(divide="ignore"):  # the weight of the larger variance may be 0
                log_densities.append(
                    np.log(weights)[:, None] + np.log(self._sigma / deviations) - (distances / deviations) ** 2 / 2
                )
        own: Doubles = np.logaddexp(*log_densities)
        return own


def are_faster(variances: Tensor, classes: Classes) -> bool:
    """Return whether sums over the variances of `LineGaussians`, for each class, are faster than over all inputs."""
    n_variances = math.log2(float(variances.max() / variances.min())) + 2
    return n_variances * len(classes.members) * _TERMS < classes.n_inputs
