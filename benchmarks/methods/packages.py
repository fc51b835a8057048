"""The packages of the extra `bench`: KeOps, scikit-learn and mlpack, called as their users would.

Every call returns log densities in nats and includes the construction of trees, as a pruned call of layerbits does.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from torch import Tensor

from benchmarks.problems import LogSumProblem
from layerbits._base import Doubles

TOLERANCE = 1e-4
"""Relative error of a density, allowed in scikit-learn and mlpack."""
MLPACK_DEFAULT = 0.05
"""The default relative error of mlpack."""

_MODULES = {"KeOps": "pykeops", "scikit-learn": "sklearn", "mlpack": "mlpack", "mlpack 5%": "mlpack"}
PACKAGES = tuple(_MODULES)
TREES = ("scikit-learn", "mlpack", "mlpack 5%")

# Beyond this dimension KeOps is too slow: its unrolled code computes about 1e5 pairs a second at 4096 dimensions.
KEOPS_MAX_DIM = 784


def installed(names: Sequence[str] = PACKAGES) -> tuple[str, ...]:
    """Return the elements of `names` whose modules are installed."""
    return tuple(name for name in names if importlib.util.find_spec(_MODULES[name]) is not None)


def keops_log_density(problem: LogSumProblem) -> Tensor:
    """Compute log densities by KeOps, which compiles code for each new pair of dimension and dtype."""
    with contextlib.redirect_stdout(io.StringIO()):  # KeOps prints a line for each compilation and for missing CUDA
        from pykeops.torch import LazyTensor

        x, y = LazyTensor(problem.points[:, None, :]), LazyTensor(problem.centers[None, :, :])
        log_sums: Tensor = (-((x - y) ** 2).sum(-1) * (1 / (2 * problem.sigma**2))).logsumexp(dim=1)
    return log_sums[:, 0] - problem.log_normalizer


def tree_calls(problem: LogSumProblem, names: Sequence[str]) -> dict[str, Callable[[], Doubles]]:
    """Return the calls of the installed trees in `names`; `problem` is in float64, the only dtype of the trees."""
    calls: dict[str, Callable[[], Doubles]] = {
        "scikit-learn": partial(_scikit_learn_log_density, problem),
        "mlpack": partial(_mlpack_log_density, problem, TOLERANCE),
        "mlpack 5%": partial(_mlpack_log_density, problem, MLPACK_DEFAULT),
    }
    return {name: calls[name] for name in installed(names) if name in calls}


def _scikit_learn_log_density(problem: LogSumProblem) -> Doubles:
    from sklearn.neighbors import KernelDensity

    tree = KernelDensity(bandwidth=problem.sigma, kernel="gaussian", algorithm="kd_tree", rtol=TOLERANCE, atol=0)
    scores: Doubles = tree.fit(problem.centers.numpy()).score_samples(problem.points.numpy())
    return scores


def _mlpack_log_density(problem: LogSumProblem, relative_error: float) -> Doubles:
    """Compute log densities by two trees.

    mlpack reorders arrays that own their memory; `.numpy()` returns views that do not, so mlpack copies them.
    """
    from mlpack import kde

    output = kde(
        reference=problem.centers.numpy(),
        query=problem.points.numpy(),
        bandwidth=problem.sigma,
        kernel="gaussian",
        tree="kd-tree",
        algorithm="dual-tree",
        rel_error=relative_error,
    )
    with np.errstate(divide="ignore"):  # a density below the smallest double is 0
        log_density: Doubles = np.log(output["predictions"]).reshape(-1)
    return log_density
