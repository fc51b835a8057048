"""The packages of the extra `bench`, each called as its users would; what is not installed is named and left out.

Every call returns log densities in nats. The trees of scikit-learn and mlpack are built in the call, as ours is.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from benchmarks.problems import Problem
from benchmarks.rivals import Doubles

# Relative error of a density that the trees are asked for. mlpack's own default is 0.05.
TOLERANCE = 1e-4
MLPACK_DEFAULT = 0.05

_MODULES = {"KeOps": "pykeops", "scikit-learn": "sklearn", "mlpack": "mlpack", "mlpack 5%": "mlpack"}
NAMES = tuple(_MODULES)
TREES = ("scikit-learn", "mlpack", "mlpack 5%")

# Its unrolled code reaches some 1e5 pairs a second at 4096 dimensions.
KEOPS_MOST_DIM = 784


def installed(names: Sequence[str] = NAMES) -> tuple[str, ...]:
    """Return those of `names` that can be imported here."""
    return tuple(name for name in names if importlib.util.find_spec(_MODULES[name]) is not None)


def keops_log_density(problem: Problem) -> Tensor:
    """The reduction is compiled at the first call with a dimension and a dtype, and kept in the home folder."""
    with contextlib.redirect_stdout(io.StringIO()):  # it announces every compilation, and that there is no CUDA
        from pykeops.torch import LazyTensor

        x, y = LazyTensor(problem.points[:, None, :]), LazyTensor(problem.centers[None, :, :])
        log_sums: Tensor = (-((x - y) ** 2).sum(-1) * (1 / (2 * problem.sigma**2))).logsumexp(dim=1)
    n, d = problem.centers.shape
    return log_sums[:, 0] - math.log(n) - d / 2 * math.log(2 * math.pi * problem.sigma**2)


def scikit_learn_log_density(problem: Problem) -> Doubles:
    from sklearn.neighbors import KernelDensity

    tree = KernelDensity(bandwidth=problem.sigma, kernel="gaussian", algorithm="kd_tree", rtol=TOLERANCE, atol=0)
    scores: Doubles = tree.fit(problem.centers.numpy()).score_samples(problem.points.numpy())
    return scores


def mlpack_log_density(problem: Problem, relative_error: float = TOLERANCE) -> Doubles:
    """Two trees, walked together. kde reorders arrays that own their memory; those of a tensor it copies."""
    from mlpack import kde

    found = kde(
        reference=problem.centers.numpy(),
        query=problem.points.numpy(),
        bandwidth=problem.sigma,
        kernel="gaussian",
        tree="kd-tree",
        algorithm="dual-tree",
        rel_error=relative_error,
    )
    with np.errstate(divide="ignore"):  # a density below the least double is 0
        log_density: Doubles = np.log(found["predictions"]).reshape(-1)
    return log_density


def tree_calls(problem: Problem, names: Sequence[str]) -> dict[str, Callable[[], Doubles]]:
    """Return the installed ones of `names`; `problem` is in float64, the only dtype that they know."""
    calls: dict[str, Callable[[], Doubles]] = {
        "scikit-learn": lambda: scikit_learn_log_density(problem),
        "mlpack": lambda: mlpack_log_density(problem),
        "mlpack 5%": lambda: mlpack_log_density(problem, MLPACK_DEFAULT),
    }
    return {name: calls[name] for name in installed(names) if name in calls}
