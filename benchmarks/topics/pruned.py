"""Pruned log densities on layers of a network in training, beside the dense kernel and the trees of other packages."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import Rounds, Spread, Target, measure, ratio
from benchmarks.methods import TREES, MeasuredError, measure_accuracy, tree_calls
from benchmarks.problems import LayerProblem, LogSumProblem, TrueLogSums, true_log_sums
from layerbits._base import Doubles
from layerbits.mixtures import mixture_log_density

WANTED_OVER_DENSE = {2: 5.0, 3: 5.0, 4: 5.0, 5: 3.0}  # by layer
WANTED_AUTO_OVER_DENSE = 0.9
WANTED_OVER_TREES = 30.0

_METHODS = ("dense", "pruned", "auto")


@dataclasses.dataclass(frozen=True)
class PrunedRow:
    """Results of one layer at one epoch.

    `speedup_over_dense` is the time of the dense kernel over the times of pruned and auto; `speedup_over_trees` is the
    time of each tree over the time of auto.
    """

    layer: int
    epoch: int
    dim: int
    n: int
    m: int
    dense_rate: float
    speedup_over_dense: dict[str, Spread]
    speedup_over_trees: dict[str, Spread]
    accuracy: dict[str, MeasuredError]


def measure_pruned(layer: LayerProblem, packages: Sequence[str], *, rounds: Rounds) -> PrunedRow:
    """Check all methods, then time them: layerbits in the float32 of the signals, the trees in float64."""
    problem = layer.problem
    true = true_log_sums_of_all_rows(problem)
    errors: dict[str, MeasuredError] = {}

    def check(results: dict[str, Tensor | Doubles]) -> None:
        for name, values in results.items():
            dtype = torch.float64 if name in TREES else torch.float32
            errors[name] = measure_accuracy(name, values, problem, true, dtype)

    calls: dict[str, Callable[[], Tensor | Doubles]] = {
        method: partial(mixture_log_density, problem.points, problem.centers, problem.sigma, method=method)
        for method in _METHODS
    }
    seconds = measure(calls | tree_calls(problem.to(torch.float64), packages), check, rounds=rounds)
    return PrunedRow(
        layer.layer,
        layer.epoch,
        problem.dim,
        n=len(problem.centers),
        m=len(problem.points),
        dense_rate=problem.pairs / statistics.median(seconds["dense"]),
        speedup_over_dense={name: ratio(seconds["dense"], seconds[name]) for name in _METHODS[1:]},
        speedup_over_trees={name: ratio(seconds[name], seconds["auto"]) for name in TREES if name in seconds},
        accuracy=errors,
    )


def true_log_sums_of_all_rows(problem: LogSumProblem) -> TrueLogSums:
    """Return log-sums of all rows by the dense kernel in float64, checked against long double in some rows.

    All rows are needed because pruning may fail in few rows. The exponents e_k with softmax weights p_k of entropy H
    have sum_k p_k |e_k| = H - log-sum <= log n - log-sum. This bound is also passed as `largest_exponent`, which it
    understates: `_bound_of_expanded_squares` becomes stricter.
    """
    doubles = problem.to(torch.float64)
    density = mixture_log_density(doubles.points, doubles.centers, doubles.sigma, method="dense")
    measure_accuracy("dense", density, problem, true_log_sums(problem), torch.float64)
    log_sums = density.numpy() + problem.log_normalizer
    mean_bound = math.log(len(problem.centers)) - log_sums
    return TrueLogSums(np.arange(len(log_sums)), log_sums.astype(np.longdouble), mean_bound, mean_bound)


def targets(rows: Sequence[PrunedRow]) -> Iterator[Target]:
    for row in rows:
        if row.layer in WANTED_OVER_DENSE:
            pruned = row.speedup_over_dense["pruned"].median
            yield Target(f"{_name(row)}, pruned over dense", pruned, WANTED_OVER_DENSE[row.layer])
        yield Target(f"{_name(row)}, auto over dense", row.speedup_over_dense["auto"].median, WANTED_AUTO_OVER_DENSE)
        for name in ("scikit-learn", "mlpack"):
            if name in row.speedup_over_trees:
                yield Target(f"{_name(row)}, auto over {name}", row.speedup_over_trees[name].median, WANTED_OVER_TREES)


def lines(rows: Sequence[PrunedRow]) -> Iterator[str]:
    yield f"SZT layers in training, n = {rows[0].n} centers, m = {rows[0].m} points, sigma = 0.005. Trees are built"
    yield "within the call. layerbits computes in float32, the dtype of the signals; scikit-learn and mlpack compute in"
    yield "float64, their only dtype, with a relative error of 1e-4 (mlpack 5%: its default). ! marks a larger error."
    heads = [f"dense / {name}" for name in _METHODS[1:]] + [f"{name} / auto" for name in TREES]
    yield f"{'layer, epoch':<20}{'d':>3}{'dense G pairs/s':>17}" + "".join(f"{head:>26}" for head in heads)
    for row in rows:
        cells = [*row.speedup_over_dense.values(), *(row.speedup_over_trees.get(name, "-") for name in TREES)]
        rate = f"{row.dense_rate / 1e9:.3f}"
        yield f"{_name(row):<20}{row.dim:>3}{rate:>17}" + "".join(f"{cell!s:>26}" for cell in cells)
    yield ""
    yield f"{'largest error, nats':<23}" + "".join(f"{name:>13}" for name in (*_METHODS, *TREES))
    for row in rows:
        errors = (row.accuracy.get(name, "-") for name in (*_METHODS, *TREES))
        yield f"{_name(row):<23}" + "".join(f"{error!s:>13}" for error in errors)


def _name(row: PrunedRow) -> str:
    return f"layer {row.layer}, epoch {row.epoch}"
