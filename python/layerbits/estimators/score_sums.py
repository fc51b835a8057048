"""Log-sums over the rows of a matrix of log scores, (queries, inputs), as decoders need them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Doubles, Integers
from layerbits.estimators.classes import Classes
from layerbits.estimators.log_densities import Queries
from layerbits.statistics import ByCondition


def score_log_sums(
    queries: Queries, classes: Classes, size: int, scores: Callable[[Tensor], Tensor]
) -> ByCondition[Doubles]:
    """Return the score of the query's input, and the log-sums over its class and over all inputs, each (n, q).

    `scores(points)` returns the log scores (m, N) at m <= `size` points (m, d). The score of the query's own input is
    an entry of the matrix that is summed, so no rounding can raise its share of the sum above 1.
    """
    points, inputs = queries.points.flatten(0, 1), queries.inputs.repeat(queries.shape[1])
    blocks = [slice(start, start + size) for start in range(0, len(points), size)]
    sums = [_log_sums(scores(points[block]).double(), inputs[block], classes) for block in blocks]
    if not sums:
        return ByCondition(*[np.empty(queries.shape)] * 3)
    own, in_class, total = (np.concatenate(parts) for parts in zip(*sums, strict=True))
    return ByCondition(own, in_class, total).map(lambda values: values.reshape(queries.shape))


def _log_sums(scores: Tensor, inputs: Integers, classes: Classes) -> tuple[Doubles, Doubles, Doubles]:
    """Return scores and log-sums (m,) of log scores (m, N) at queries of the given inputs (m,)."""
    own = scores[torch.arange(len(scores)), torch.from_numpy(inputs)]
    total = scores.logsumexp(1)
    if len(classes.members) == 1:
        in_class = total
    else:
        in_class = torch.full_like(total, -math.inf)
        numbers = classes.numbers[inputs]
        for number in np.unique(numbers):
            rows, columns = torch.from_numpy(np.flatnonzero(numbers == number)), classes.members[number]
            in_class[rows] = scores[rows][:, torch.from_numpy(columns)].logsumexp(1)
    own_scores, class_sums, total_sums = (values.numpy(force=True) for values in (own, in_class, total))
    return own_scores, class_sums, total_sums
