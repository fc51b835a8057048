"""`LineGaussians`: a density on the line for each input; sums over m inputs at n points take time like n + m, not n m.

The density of an input is a mixture of two Gaussians around its mean. Their variances are neighbours in one geometric
progression, and their weights give the density the variance of the input. The Gaussians of one variance are an
isotropic mixture, whose sums on the line are fast. Any densities are a valid decoder. A variance that is random, a or
2a, has a variance of at most 1/8 of its squared mean, so the excess kurtosis k is at most 3/8, and the divergence from
a Gaussian about k^2 / 48 = 0.003 nats.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Doubles, Integers, log_add_exp, log_sum_exp
from layerbits.estimators.classes import Classes
from layerbits.estimators.decoder import Decoder
from layerbits.estimators.log_densities import Queries, log_sums_by_class
from layerbits.kernels import GRID_TOLERANCE, as_sigma, log_sum_exp_isotropic
from layerbits.statistics import ByCondition

# An isotropic sum at a point takes about as long as this number of terms with variances of their own.
_TERMS = 64


class LineGaussians(Decoder):
    """A density for each input, with mean (N, 1) and positive variance (N,)."""

    name = "Gaussian"

    def __init__(self, means: Tensor, variances: Tensor, classes: Classes, sigma: float) -> None:
        super().__init__(classes)
        self._means, self._sigma = means.double(), sigma
        self._origin = self._means.mean()
        values = variances.numpy(force=True)
        steps = np.log2(values / values.min())
        self._steps = steps.astype(np.int64)  # index of the smaller variance
        self._weights = np.exp2(steps - self._steps) - 1  # weight of the larger variance
        self._deviations = np.sqrt(values.min() * np.exp2(np.arange(self._steps.max() + 2)))
        # All Gaussians, those of one variance in sequence.
        both_steps = np.concatenate([self._steps, self._steps + 1])
        both_weights = np.concatenate([1 - self._weights, self._weights])
        order = np.argsort(both_steps, kind="stable")
        order = order[both_weights[order] > 0]
        self._all_steps, self._all_weights = both_steps[order], both_weights[order]
        self._all_inputs = order % len(steps)

    def _log_sums(self, queries: Queries) -> ByCondition[Doubles]:
        points = queries.points.double().flatten() - self._origin
        deviations = torch.from_numpy(self._deviations).to(points)

        def log_sums_over(inputs: Integers | slice) -> Doubles:
            # The Gaussians of one variance are a group, with their deviation as the unit.
            is_input = np.zeros(len(self._steps), bool)
            is_input[inputs] = True
            members = is_input[self._all_inputs]
            steps, counts = np.unique(self._all_steps[members], return_counts=True)
            centers = self._means[self._all_inputs[members]] - self._origin
            log_sums = log_sum_exp_isotropic(
                (points / deviations[steps, None]).reshape(-1, 1),
                centers / deviations[self._all_steps[members], None],
                as_sigma(1.0),
                weights=torch.from_numpy(self._all_weights[members]).to(points),
                point_offsets=torch.arange(len(steps) + 1) * len(points),
                center_offsets=torch.from_numpy(np.append(0, np.cumsum(counts))),
                tolerance=GRID_TOLERANCE,
            ).numpy(force=True)
            volumes = np.log(self._sigma / self._deviations[steps])
            return log_sum_exp(log_sums.reshape(len(steps), *queries.shape) + volumes[:, None, None])

        class_log_sums, all_log_sums = log_sums_by_class(queries, self._classes, log_sums_over)
        return ByCondition(self._own_log_densities(queries), class_log_sums, all_log_sums)

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
        return log_add_exp(*log_densities)


def are_faster(variances: Tensor, classes: Classes) -> bool:
    """Return whether sums over the variances of `LineGaussians`, for each class, are faster than over all inputs."""
    n_variances = math.log2(float(variances.max() / variances.min())) + 2
    return n_variances * len(classes.members) * _TERMS < classes.n_inputs
