"""True log-sums by direct summation in long double, and true gradients by `layerbits.kernels.reference`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.problems.log_sums import LogSumProblem
from layerbits.kernels import reference

# Largest number of checked rows, and of coordinate differences in these rows; at least two rows are checked.
_MAX_ROWS, _MAX_DIFFERENCES = 128, 2**26


@dataclasses.dataclass(frozen=True, eq=False)
class TrueLogSums:
    """True log-sums at some rows.

    `largest_exponent` and `mean_exponent` are the largest |exponent| of each row and the mean |exponent| under its
    softmax weights: the error bounds depend on them.
    """

    rows: npt.NDArray[np.int64]
    log_sums: npt.NDArray[np.longdouble]
    largest_exponent: npt.NDArray[np.float64]
    mean_exponent: npt.NDArray[np.float64]


def true_log_sums(problem: LogSumProblem) -> TrueLogSums:
    """Compute the log-sums of evenly spaced rows by their definition, in long double."""
    count = max(2, min(_MAX_ROWS, _MAX_DIFFERENCES // problem.centers.numel()))
    rows = np.unique(np.linspace(0, len(problem.points) - 1, count).astype(np.int64))
    by_row = [_true_log_sum(problem, int(row)) for row in rows]
    log_sums, largest, mean = (np.array(column) for column in zip(*by_row, strict=True))
    return TrueLogSums(rows, log_sums, largest.astype(np.float64), mean.astype(np.float64))


def true_gradients(problem: LogSumProblem) -> tuple[Tensor, Tensor]:
    """Return the gradients of the sum of all log-sums with respect to points and centers, in float64."""
    points, centers = problem.points.numpy(), problem.centers.numpy()
    gradients = reference.log_sum_exp_isotropic_gradient(points, centers, problem.sigma, np.ones(len(points)))
    return torch.from_numpy(gradients[0]), torch.from_numpy(gradients[1])


def _true_log_sum(problem: LogSumProblem, row: int) -> tuple[np.longdouble, np.longdouble, np.longdouble]:
    """Return log-sum, largest and mean |exponent| of a row."""
    difference = _long_double(problem.points[row]) - _long_double(problem.centers[_centers_of(problem, row)])
    exponents = -(difference**2).sum(1) / (2 * np.longdouble(problem.sigma) ** 2)
    terms = np.exp(exponents - exponents.max())
    mean = -(terms @ exponents) / terms.sum()
    return exponents.max() + np.log(terms.sum()), -exponents.min(), mean


def _centers_of(problem: LogSumProblem, row: int) -> slice:
    if problem.point_offsets is None or problem.center_offsets is None:
        return slice(None)
    group = int(torch.searchsorted(problem.point_offsets, row, right=True)) - 1
    return slice(int(problem.center_offsets[group]), int(problem.center_offsets[group + 1]))


def _long_double(tensor: Tensor) -> npt.NDArray[Any]:
    return tensor.numpy().astype(np.longdouble)
