"""Compare the results of the methods with true values.

An error of layerbits above the contract of the core raises ResultError; a rival's error above its bound is printed with
"!".
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.methods.packages import MLPACK_DEFAULT, TOLERANCE
from benchmarks.problems import LogSumProblem, TrueLogSums, true_log_sums
from layerbits._base import Doubles

_LAYERBITS_METHODS = ("layerbits", "dense", "pruned", "auto")
_RELATIVE_ERRORS = {"scikit-learn": TOLERANCE, "mlpack": TOLERANCE, "mlpack 5%": MLPACK_DEFAULT}


class ResultError(AssertionError):
    """A result differs from its expected value by more than its bound."""


@dataclasses.dataclass(frozen=True)
class MeasuredError:
    """The largest error over the checked rows, in nats, and whether every error is allowed."""

    error: float
    is_allowed: bool

    def __str__(self) -> str:
        return f"{self.error:.1e}{'' if self.is_allowed else '!'}"


def measure_accuracy(
    method: str, values: Tensor | Doubles, problem: LogSumProblem, true: TrueLogSums, dtype: torch.dtype
) -> MeasuredError:
    """Compare log densities, or log-sums of groups, with their true values.

    Raises
    ------
    ResultError
        If `method` is a method of layerbits and an error is not allowed.
    """
    computed = torch.as_tensor(values).numpy()[true.rows].astype(np.longdouble)
    error = np.abs(computed - (true.log_sums - problem.log_normalizer)).astype(np.float64)
    eps = float(torch.finfo(dtype).eps)
    bound = _contract(problem, true) if method in _LAYERBITS_METHODS else _bound_of_expanded_squares(problem, true)
    # The result and the two normalizers are rounded too; the normalizers may cancel.
    normalizers = sum(map(abs, problem.normalizers))
    allowed = eps * (bound + np.abs(computed).astype(np.float64) + 2 * normalizers)
    allowed += -math.log1p(-_RELATIVE_ERRORS.get(method, 0.0))
    if method in _LAYERBITS_METHODS and not (error <= allowed).all():
        worst = int(np.argmax(error / allowed))
        raise ResultError(
            f"{method} on {problem.name}: the error of row {true.rows[worst]} is {error[worst]:.2e} nats, "
            f"wanted at most {allowed[worst]:.2e}"
        )
    return MeasuredError(float(error.max()), bool((error <= allowed).all()))


def check_gradients(gradients: Sequence[Tensor], expected: Sequence[Tensor], problem: LogSumProblem) -> None:
    """Raise ResultError if the gradients of points or centers are wrong.

    The largest error divided by the largest gradient may be twice the error bound of the exponents.
    """
    eps = float(torch.finfo(problem.points.dtype).eps)
    allowed = 2 * eps * float(_bound_of_expanded_squares(problem, true_log_sums(problem)).max())
    for argument, gradient, wanted in zip(("points", "centers"), gradients[:2], expected[:2], strict=True):
        error = float((gradient.double() - wanted.double()).abs().max() / wanted.double().abs().max())
        if not error <= allowed:
            raise ResultError(
                f"layerbits on {problem.name}: gradients of {argument} differ by {error:.2e} of the largest, "
                f"wanted at most {allowed:.2e}"
            )


def _contract(problem: LogSumProblem, true: TrueLogSums) -> Doubles:
    """Return the error that the contract of the core allows at its default error tolerance, in units of eps."""
    bound: Doubles = (4 + problem.dim / 64) * (1 + true.mean_exponent) + 0.5
    return bound


def _bound_of_expanded_squares(problem: LogSumProblem, true: TrueLogSums) -> Doubles:
    """Return an error bound of log-sums, in units of eps, for distances by |a|^2 + |b|^2 - 2ab or by differences.

    Each of the three sums of d products has an error of at most d eps (|a| + |b|)^2 / 2; 32 covers exp and the sum of
    terms.
    """
    a = problem.points.double().norm(dim=1)[torch.from_numpy(true.rows)].numpy()
    b = float(problem.centers.double().norm(dim=1).max())
    bound: Doubles = (2 * problem.dim + 32) * (1 + (a + b) ** 2 / (2 * problem.sigma**2) + true.largest_exponent)
    return bound
