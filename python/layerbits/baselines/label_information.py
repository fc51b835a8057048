"""I(T;Y) from an entropy estimator, as the entropy of all rows minus the mean entropy of the classes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from torch import Tensor

from layerbits._base import Array, Doubles
from layerbits.geometry import BaselineEstimate, as_finite_matrix
from layerbits.statistics import class_numbers

_LARGEST_VALUE = 1e150  # sums of squares of 10^7 such values are finite


def as_rows(name: str, array: Array) -> Doubles:
    """Return finite rows (n, d) as a float64 array on the host; errors name the argument."""
    return _host_rows(name, as_finite_matrix(name, array))


def _host_rows(name: str, matrix: Tensor) -> Doubles:
    rows: Doubles = matrix.double().numpy(force=True)
    if np.abs(rows).max() > _LARGEST_VALUE:
        raise ValueError(f"{name}: got values whose squares overflow, wanted at most {_LARGEST_VALUE:g}; scale them")
    return rows


def estimate_from_entropy(
    entropy: Callable[[Doubles], float], estimator: str, activations: Array, labels: Array | None
) -> BaselineEstimate:
    """Apply a differential entropy to all rows and, with labels, to each class: I(T;Y) = h(T) - sum_y p(y) h(T|y).

    If more than d rows lie in a subspace of R^d, h(T) is -inf, and I(T;Y) that of the coordinates in the subspace. The
    note says so, and how many rows coincide.
    """
    matrix = as_finite_matrix("activations", activations)
    rows = _host_rows("activations", matrix)
    n, d = rows.shape
    directions = _directions(rows, float(np.finfo(matrix.detach().cpu().numpy().dtype).eps))
    rank, notes = len(directions), []
    value = entropy(rows)
    if rank < d and n > d:
        value = -math.inf
        notes.append(f"the rows lie in a subspace of {rank} of {d} dimensions, where they have no density")
    elif rank < d:
        notes.append(
            f"{n} rows span {rank} of {d} dimensions, so that the value has no meaning: pass more than {d} rows"
        )
    _, counts = np.unique(rows, axis=0, return_counts=True)
    coinciding = int(counts[counts > 1].sum())
    if coinciding:
        notes.append(
            f"{coinciding} of {n} rows ({coinciding / n:.2g} of all) coincide with others, so that they have no "
            "density, and a finite value has no meaning"
        )
    estimate = BaselineEstimate("h(T)", estimator, value, note="; ".join(notes))
    if labels is None:
        return estimate
    within = rows @ directions.T if 0 < rank < d < n else rows
    classes = class_numbers(labels, n)
    frequencies = (np.bincount(classes) / n).tolist()
    conditional = math.fsum(
        frequency * entropy(within[classes == label]) for label, frequency in enumerate(frequencies)
    )
    return dataclasses.replace(estimate, label_information=entropy(within) - conditional)


def _directions(rows: Doubles, eps: float) -> Doubles:
    """Return orthonormal directions (rank, d) that span the differences of rows (n, d), up to rounding.

    Rounding of the rows to a relative error eps / 2 changes singular values by at most eps / 2 times the largest entry
    and sqrt(n d) (Weyl); a linear map that is computed in this precision has errors some times larger.
    """
    deviations = rows - rows.mean(0)
    deviations -= deviations.mean(0)  # the rounding of the first mean, the same in all rows, would be a direction
    if len(rows) > rows.shape[1]:
        deviations = np.linalg.qr(deviations, mode="r")  # the same singular values and directions, in less time
    _, values, directions = np.linalg.svd(deviations, full_matrices=False)
    rounding = 4 * eps * float(np.abs(rows).max()) * math.sqrt(rows.size)
    kept: Doubles = directions[values > rounding]
    return kept
