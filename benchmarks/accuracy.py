"""What each method may be off by, and the check that it is not more: speed is not to be bought with accuracy.

A wrong result of ours ends the run; that of a rival stands in the table with a mark.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.peers import MLPACK_DEFAULT, TOLERANCE
from benchmarks.problems import Problem, Truth, truth
from layerbits.kernels import reference

Doubles = npt.NDArray[np.float64]

OURS = ("layerbits", "dense", "pruned", "auto")
_RELATIVE_ERRORS = {"scikit-learn": TOLERANCE, "mlpack": TOLERANCE, "mlpack 5%": MLPACK_DEFAULT}


class ResultError(AssertionError):
    """A method of ours returned a value that is off by more than its contract."""


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """The largest error over the checked rows in nats, and whether all are within what the method promises."""

    error: float
    within: bool

    def __str__(self) -> str:
        return f"{self.error:.1e}{'' if self.within else '!'}"


def accuracy(name: str, values: Tensor | Doubles, problem: Problem, exact: Truth, dtype: torch.dtype) -> Accuracy:
    """Compare with the truth; ResultError where one of OURS is off by more than its bound."""
    shift = log_normalizer(problem)
    found = torch.as_tensor(values).numpy()[exact.rows].astype(np.longdouble)
    error = np.abs(found - (exact.log_sums - shift)).astype(np.float64)
    eps = float(torch.finfo(dtype).eps)
    relative = _contract(problem, exact) if name in OURS else _expanded_squares(problem, exact)
    # The rest is the rounding of the result and of what is subtracted from the log-sum: its two parts may cancel.
    subtracted = sum(map(abs, _normalizers(problem)))
    allowed = eps * (relative + np.abs(found).astype(np.float64) + 2 * subtracted)
    allowed += -math.log1p(-_RELATIVE_ERRORS.get(name, 0.0))
    if name in OURS and not (error <= allowed).all():
        worst = int(np.argmax(error / allowed))
        raise ResultError(
            f"{name} on {problem.name}: row {exact.rows[worst]} is off by {error[worst]:.2e} nats, "
            f"wanted at most {allowed[worst]:.2e}"
        )
    return Accuracy(float(error.max()), bool((error <= allowed).all()))


def true_gradients(problem: Problem) -> tuple[Tensor, Tensor]:
    """Gradients of the sum of all log-sums by the slow twin: of points and centers, in float64."""
    points, centers = problem.points.numpy(), problem.centers.numpy()
    gradients = reference.log_sum_exp_isotropic_gradient(points, centers, problem.sigma, np.ones(len(points)))
    return torch.from_numpy(gradients[0]), torch.from_numpy(gradients[1])


def check_gradients(found: Sequence[Tensor], expected: Sequence[Tensor], problem: Problem) -> None:
    """Raise ResultError where ours differ by more than the exponents' errors make of the largest gradient."""
    eps = float(torch.finfo(problem.points.dtype).eps)
    allowed = 2 * eps * float(_expanded_squares(problem, truth(problem)).max())
    for argument, one, other in zip(("points", "centers"), found[:2], expected[:2], strict=True):
        error = float((one.double() - other.double()).abs().max() / other.double().abs().max())
        if not error <= allowed:
            raise ResultError(
                f"layerbits on {problem.name}: gradients of {argument} differ by {error:.2e} of the largest, "
                f"wanted at most {allowed:.2e}"
            )


def log_normalizer(problem: Problem) -> float:
    """Return what a log density subtracts from its log-sum; the groups are compared by their log-sums."""
    return sum(_normalizers(problem))


def _normalizers(problem: Problem) -> tuple[float, float]:
    if problem.is_grouped:
        return 0.0, 0.0
    return math.log(len(problem.centers)), problem.dim / 2 * math.log(2 * math.pi * problem.sigma**2)


def _contract(problem: Problem, exact: Truth) -> Doubles:
    """The contract of the core with its default tolerance, in units of eps."""
    bound: Doubles = (4 + problem.dim / 64) * (1 + exact.mean_exponent) + 0.5
    return bound


def _expanded_squares(problem: Problem, exact: Truth) -> Doubles:
    """The bound of distances by |a|^2 + |b|^2 - 2ab, which direct ones meet as well, in units of eps.

    Three sums of d products, each wrong by d eps of at most (|a| + |b|)^2 / 2; 32 for what exp and the sums add.
    """
    a = problem.points.double().norm(dim=1)[torch.from_numpy(exact.rows)].numpy()
    b = float(problem.centers.double().norm(dim=1).max())
    bound: Doubles = (2 * problem.dim + 32) * (1 + (a + b) ** 2 / (2 * problem.sigma**2) + exact.largest_exponent)
    return bound
