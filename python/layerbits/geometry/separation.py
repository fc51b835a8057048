"""Separation of classes: distances within and between them, scatter ratio and neural collapse."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Array
from layerbits.geometry.matrices import as_finite_matrix
from layerbits.statistics import class_numbers


@dataclasses.dataclass(frozen=True)
class ClassSeparation:
    """Spread of the rows within classes and between classes.

    Attributes
    ----------
    within, between : float
        Root mean square distance of two rows of the same class and of two rows of different classes. `within` is NaN
        if no class has two rows.
    scatter_ratio : float
        tr S_B / tr S_W, the scatter of the class means divided by the scatter of the rows about their class means
        (Fukunaga, Introduction to Statistical Pattern Recognition, 1990, section 10.2): 0 if the means coincide,
        infinite if each class is a point, NaN if all rows coincide.
    collapse : float
        tr(Sigma_W Sigma_B^+) / classes, where every class has equal weight and Sigma_B^+ is the pseudo-inverse: the
        measure NC1 of neural collapse (Papyan, Han and Donoho, 2020), which falls to 0 as classes become points, is
        infinite if their means coincide, and NaN if all rows coincide.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> separation = lb.class_separation(torch.tensor([[-1.0], [-1.0], [1.0], [1.0]]), torch.tensor([0, 0, 1, 1]))
    >>> separation.within, separation.between, separation.collapse
    (0.0, 2.0, 0.0)
    """

    within: float
    between: float
    scatter_ratio: float
    collapse: float


def class_separation(points: Array, labels: Array) -> ClassSeparation:
    """Measure how far apart classes lie, in O(n d classes) operations.

    Parameters
    ----------
    points : tensor or array of shape (n, d)
        Activations, one row for each input; float32 or float64, finite.
    labels : integer tensor or array of shape (n,)
        Classes, at least two.

    Returns
    -------
    ClassSeparation
        Computed in float64.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type, dtype, device, shape or value; the message names the argument.

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> points = np.array([[-1.25], [-0.75], [0.75], [1.25]])
    >>> separation = lb.class_separation(points, np.array([0, 0, 1, 1]))
    >>> separation.within, separation.scatter_ratio
    (0.5, 16.0)
    """
    rows = as_finite_matrix("points", points)
    classes = class_numbers(labels, len(rows))
    sizes = np.bincount(classes)
    if len(sizes) < 2:
        raise ValueError(f"labels: got {len(sizes)} class, wanted at least 2")
    # Classes are converted to float64 one at a time, because a float64 copy of a wide layer may not fit in memory.
    # Means are relative to one origin, because means far from zero lose digits. The origin, the mean of all rows, is
    # computed from differences, so that it is exactly the common row if all rows coincide.
    members = [np.flatnonzero(classes == label) for label in np.arange(len(sizes))]
    first_row = rows[0].double()
    origin = first_row + torch.stack([(rows[indices] - first_row).sum(0) for indices in members]).sum(0) / len(rows)
    means = torch.stack([(rows[indices] - origin).mean(0) for indices in members])
    axes = _whitening_axes(means)
    scatter = np.zeros(len(sizes))  # sum of squares of each class about its mean
    whitened_scatter = np.zeros(len(sizes))
    for label, indices in enumerate(members):
        deviations = rows[indices] - origin - means[label]
        scatter[label] = float(deviations.square().sum())
        whitened_scatter[label] = float((deviations @ axes).square().sum())
    scatter_of_means = float(sizes @ means.square().sum(1).numpy(force=True))
    n, pairs_within = len(rows), float(sizes @ (sizes - 1)) / 2
    # The sum of |a - b|^2 over pairs is a sum of non-negative multiples of the scatters, so nothing cancels.
    mean_square_within = _ratio(float(sizes @ scatter), pairs_within)
    squares_between = float((n - sizes) @ scatter) + n * scatter_of_means
    return ClassSeparation(
        within=math.sqrt(mean_square_within),
        between=math.sqrt(_ratio(squares_between, n * (n - 1) / 2 - pairs_within)),
        scatter_ratio=_ratio(scatter_of_means, float(scatter.sum())),
        collapse=float((whitened_scatter / sizes).mean())
        if axes.numel()
        else _ratio(float((scatter / sizes).sum()), 0.0),
    )


def _whitening_axes(means: Tensor) -> Tensor:
    """Return axes (d, k) along which class means (classes, d) have unit scatter, k the rank of their differences."""
    _, singular_values, directions = torch.linalg.svd(means - means.mean(0), full_matrices=False)
    threshold = max(means.shape) * torch.finfo(torch.float64).eps * singular_values[0]
    # The rank of centered means is below their number. A further singular value is rounding; its size depends on the
    # SVD routine and may exceed the threshold.
    rank = min(int((singular_values > threshold).sum()), len(means) - 1)
    axes: Tensor = directions[:rank].mT / singular_values[:rank]
    return axes


def _ratio(numerator: float, denominator: float) -> float:
    if denominator == 0:
        return math.inf if numerator > 0 else math.nan
    return numerator / denominator
