"""The error that each method promises, and the comparison of results with true values.

A log-sum of ours with an error beyond the contract of the core ends a run. A log-sum of a rival with an error beyond
the promise of the rival is marked.
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

_OURS = ("layerbits", "dense", "pruned", "auto")
_RELATIVE_ERRORS = {"scikit-learn": TOLERANCE, "mlpack": TOLERANCE, "mlpack 5%": MLPACK_DEFAULT}


class ResultError(AssertionError):
    """A result differs from its expected value by more than its bound."""


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """The largest error over the checked rows, in nats, and whether every error is within the promise of the method."""

    error: float
    within: bool

    def __str__(self) -> str:
        return f"{self.error:.1e}{'' if self.within else '!'}"


def measure_accuracy(
    method: str, values: Tensor | Doubles, problem: LogSumProblem, true: TrueLogSums, dtype: torch.dtype
) -> Accuracy:
    """Compare log densities, or log-sums of groups, with their true values.

    Raises
    ------
    ResultError
        If `method` is ours and an error is larger than its bound.
    """
    computed = torch.as_tensor(values).numpy()[true.rows].astype(np.longdouble)
    error = np.abs(computed - (true.log_sums - log_normalizer(problem))).astype(np.float64)
    eps = float(torch.finfo(dtype).eps)
    bound = _contract(problem, true) if method in _OURS else _bound_of_expanded_squares(problem, true)
    # The result and the two normalizers are rounded too; the normalizers may cancel.
    normalizers = sum(map(abs, _normalizers(problem)))
    allowed = eps * (bound + np.abs(computed).astype(np.float64) + 2 * normalizers)
    allowed += -math.log1p(-_RELATIVE_ERRORS.get(method, 0.0))
    if method in _OURS and not (error <= allowed).all():
        worst = int(np.argmax(error / allowed))
        raise ResultError(
            f"{method} on {problem.name}: the error of row {true.rows[worst]} is {error[worst]:.2e} nats, "
            f"wanted at most {allowed[worst]:.2e}"
        )
    return Accuracy(float(error.max()), bool((error <= allowed).all()))


def check_gradients(gradients: Sequence[Tensor], expected: Sequence[Tensor], problem: LogSumProblem) -> None:
    """Raise ResultError if gradients of points and centers differ from the expected ones by more than a bound.

    The bound, relative to the largest gradient, is twice the error bound of the exponents.
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


def log_normalizer(problem: LogSumProblem) -> float:
    """Return log-sum minus log density; 0 for groups, whose log-sums are compared."""
    return sum(_normalizers(problem))


def _normalizers(problem: LogSumProblem) -> tuple[float, float]:
    if problem.is_grouped:
        return 0.0, 0.0
    return math.log(len(problem.centers)), problem.dim / 2 * math.log(2 * math.pi * problem.sigma**2)


def _contract(problem: LogSumProblem, true: TrueLogSums) -> Doubles:
    """Return the error that the contract of the core allows at its default error tolerance, in units of eps."""
    bound: Doubles = (4 + problem.dim / 64) * (1 + true.mean_exponent) + 0.5
    return bound


def _bound_of_expanded_squares(problem: LogSumProblem, true: TrueLogSums) -> Doubles:
    """Return an error bound for distances by |a|^2 + |b|^2 - 2ab, in units of eps; it also holds for direct distances.

    Each of the three sums of d products has an error of at most d eps (|a| + |b|)^2 / 2; 32 covers exp and the sum of
    terms.
    """
    a = problem.points.double().norm(dim=1)[torch.from_numpy(true.rows)].numpy()
    b = float(problem.centers.double().norm(dim=1).max())
    bound: Doubles = (2 * problem.dim + 32) * (1 + (a + b) ** 2 / (2 * problem.sigma**2) + true.largest_exponent)
    return bound
