"""Pruned log densities on layers of a network in training, beside our dense ones and the trees of others."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.accuracy import Accuracy, accuracy, log_normalizer
from benchmarks.layers import LayerProblem
from benchmarks.peers import TREES, tree_calls
from benchmarks.problems import Problem, Truth, truth
from benchmarks.rivals import Doubles
from benchmarks.targets import Target
from benchmarks.timing import Rounds, Spread, measure, ratio
from layerbits.mixtures import mixture_log_density

LEAST_OVER_DENSE = {2: 5.0, 3: 5.0, 4: 5.0, 5: 3.0}  # by layer
LEAST_OF_AUTO = 0.9
LEAST_OVER_TREES = 30.0

_METHODS = ("dense", "pruned", "auto")


@dataclasses.dataclass(frozen=True)
class PrunedRow:
    """`over_dense`: our dense time over that of pruned and auto. `over_trees`: theirs over that of auto."""

    layer: int
    epoch: int
    dim: int
    n: int
    m: int
    dense_rate: float
    over_dense: dict[str, Spread]
    over_trees: dict[str, Spread]
    accuracy: dict[str, Accuracy]


def measure_pruned(given: LayerProblem, peers: Sequence[str], *, rounds: Rounds) -> PrunedRow:
    """Check all methods, then time them: ours in the float32 of the signals, the trees in float64."""
    problem = given.problem
    exact = truth_of_all_rows(problem)
    found: dict[str, Accuracy] = {}

    def check(results: dict[str, Tensor | Doubles]) -> None:
        for name, values in results.items():
            found[name] = accuracy(name, values, problem, exact, torch.float64 if name in TREES else torch.float32)

    calls: dict[str, Callable[[], Tensor | Doubles]] = {
        method: partial(mixture_log_density, problem.points, problem.centers, problem.sigma, method=method)
        for method in _METHODS
    }
    seconds = measure(calls | tree_calls(problem.to(torch.float64), peers), check, rounds=rounds)
    return PrunedRow(
        given.layer,
        given.epoch,
        problem.dim,
        n=len(problem.centers),
        m=len(problem.points),
        dense_rate=problem.pairs / statistics.median(seconds["dense"]),
        over_dense={name: ratio(seconds["dense"], seconds[name]) for name in _METHODS[1:]},
        over_trees={name: ratio(seconds[name], seconds["auto"]) for name in TREES if name in seconds},
        accuracy=found,
    )


def truth_of_all_rows(problem: Problem) -> Truth:
    """Return log-sums by our dense kernel in float64, checked against long double: what prunes may fail in few rows.

    With H the entropy of the softmax weights p, sum_k p_k |e_k| = H - log-sum <= log n - log-sum.
    """
    doubles = problem.to(torch.float64)
    density = mixture_log_density(doubles.points, doubles.centers, doubles.sigma, method="dense")
    accuracy("dense", density, problem, truth(problem), torch.float64)
    log_sums = density.numpy() + log_normalizer(problem)
    most = math.log(len(problem.centers)) - log_sums
    return Truth(np.arange(len(log_sums)), log_sums.astype(np.longdouble), largest_exponent=most, mean_exponent=most)


def targets(rows: Sequence[PrunedRow]) -> Iterator[Target]:
    for row in rows:
        where = f"layer {row.layer}, epoch {row.epoch}"
        if row.layer in LEAST_OVER_DENSE:
            pruned = row.over_dense["pruned"].median
            yield Target(f"{where}, pruned over dense", pruned, LEAST_OVER_DENSE[row.layer])
        yield Target(f"{where}, auto over dense", row.over_dense["auto"].median, LEAST_OF_AUTO)
        for name in ("scikit-learn", "mlpack"):
            if name in row.over_trees:
                yield Target(f"{where}, auto over {name}", row.over_trees[name].median, LEAST_OVER_TREES)


def lines(rows: Sequence[PrunedRow]) -> Iterator[str]:
    yield f"SZT layers in training, n = {rows[0].n} centers, m = {rows[0].m} points, sigma = 0.005. Trees are built in"
    yield "the call. Ours in float32, as the signals are; scikit-learn and mlpack in float64, their only dtype, with a"
    yield "relative error of 1e-4 (mlpack 5%: its default). ! is beyond it."
    heads = [f"dense / {name}" for name in _METHODS[1:]] + [f"{name} / auto" for name in TREES]
    yield f"{'layer, epoch':<20}{'d':>3}{'dense G pairs/s':>17}" + "".join(f"{head:>26}" for head in heads)
    for row in rows:
        cells = [*row.over_dense.values(), *(row.over_trees.get(name, "-") for name in TREES)]
        rate = f"{row.dense_rate / 1e9:.3f}"
        yield f"{_name(row):<20}{row.dim:>3}{rate:>17}" + "".join(f"{cell!s:>26}" for cell in cells)
    yield ""
    yield f"{'largest error, nats':<23}" + "".join(f"{name:>13}" for name in (*_METHODS, *TREES))
    for row in rows:
        errors = (row.accuracy.get(name, "-") for name in (*_METHODS, *TREES))
        yield f"{_name(row):<23}" + "".join(f"{error!s:>13}" for error in errors)


def _name(row: PrunedRow) -> str:
    return f"layer {row.layer}, epoch {row.epoch}"
