"""How activations cluster: pairwise distances within and between classes, and what sums them up. Pure functions."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from layerbits._base import Array, check_count
from layerbits.kernels import as_floats, distance_histogram, largest_distance
from layerbits.statistics import class_numbers

Integers = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

MOST_BINS = 2**23  # what the core takes, rounded


@dataclasses.dataclass(frozen=True, eq=False)
class DistanceHistogram:
    """How many pairs of rows have a distance in each bin; an unordered pair counts once.

    Attributes
    ----------
    edges : float64 array of shape (bins + 1,)
        Bin b is ``edges[b] <= distance < edges[b + 1]``, the last bin with its upper edge: as in `numpy.histogram`.
    within, between : int64 array of shape (bins,)
        Pairs of equal labels, and of different ones.
    outside : int
        Pairs of either kind beyond the edges.
    metric : str
        ``"euclidean"`` or ``"cosine"``.
    """

    edges: Doubles
    within: Integers
    between: Integers
    outside: int
    metric: str

    @property
    def overlap(self) -> float:
        """What the two distributions share: 0 where one distance tells them apart, 1 where none does.

        The histogram intersection (Swain and Ballard, Color Indexing, 1991) of the counts, each divided by its sum;
        finer bins can only lower it. NaN where pairs of one kind are missing.
        """
        if not self.within.any() or not self.between.any():
            return math.nan
        return float(np.minimum(self.within / self.within.sum(), self.between / self.between.sum()).sum())


def pairwise_distance_histogram(
    points: Array,
    labels: Array | None = None,
    bins: int = 100,
    metric: str = "euclidean",
    *,
    range: Sequence[float] | None = None,
) -> DistanceHistogram:
    """Histogram of the distances of all pairs of rows, within and between classes, without a matrix of them.

    Parameters
    ----------
    points : tensor or array of shape (n, d)
        float32 or float64, finite: activations, a row an input. Fewer than two rows have no pairs. A tensor on a CUDA
        device is worked on there.
    labels : integer tensor or array of shape (n,), optional
        Without them all rows are of one class.
    bins : int
        Number of bins, evenly spaced; at least 1.
    metric : {"euclidean", "cosine"}
        "cosine" is one minus the cosine of the angle; no row may be zero.
    range : (float, float), optional
        First and last edge. By default from 0 to the largest distance, for which all pairs are visited once more (to 1
        where that is 0), or to 2 under "cosine". Give it to compare layers or epochs.

    Returns
    -------
    DistanceHistogram
        Counts in NumPy arrays, the same for any number of threads and any order of the rows. A distance is rounded to
        the dtype of `points` before it is held against the edges. Its error, with eps of that dtype, is at most
        (11 + d/1024) eps distance; under "cosine" (40 + d/60) eps c + 2 eps sqrt(c) + eps^2 at a distance of c.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device, shape or value than wanted; the message names it.

    Notes
    -----
    A measure of the clusters that compression goes along with: Goldfeld et al., Estimating Information Flow in Deep
    Neural Networks (ICML 2019).
    """
    rows = _rows(points)
    count = check_count("bins", bins, minimum=1)
    if count > MOST_BINS:
        raise ValueError(f"bins: got {count}, wanted at most {MOST_BINS}")
    classes = None if labels is None else torch.from_numpy(class_numbers(labels, len(rows))).to(rows.device)
    low, high = _default_range(rows, metric) if range is None else _checked(range)
    edges = np.linspace(low, high, count + 1)
    counts = distance_histogram(rows, torch.from_numpy(edges), labels=classes, metric=metric).numpy(force=True)
    return DistanceHistogram(
        edges=edges,
        within=counts[1:-1, 1].copy(),
        between=counts[1:-1, 0].copy(),
        outside=int(counts[[0, -1]].sum()),
        metric=metric,
    )


@dataclasses.dataclass(frozen=True)
class ClassSeparation:
    """How far classes lie apart, beside how far their members do.

    Attributes
    ----------
    within, between : float
        Root mean square distance of two rows of one class, and of two rows of different classes. `within` is NaN where
        no class has two rows.
    scatter_ratio : float
        tr S_B / tr S_W, the scatter of the class means over that about them (Fukunaga, Introduction to Statistical
        Pattern Recognition, 1990, section 10.2): 0 where the means coincide, infinite where each class is a point.
    collapse : float
        tr(Sigma_W Sigma_B^+) / classes, every class of equal weight, with Sigma_B^+ the pseudo-inverse: the measure NC1
        of neural collapse (Papyan, Han and Donoho, 2020). It falls to 0 as classes become points; infinite where their
        means coincide.
    """

    within: float
    between: float
    scatter_ratio: float
    collapse: float


def class_separation(points: Array, labels: Array) -> ClassSeparation:
    """Measure how far classes lie apart, in O(n d).

    Parameters
    ----------
    points : tensor or array of shape (n, d)
        float32 or float64, finite: activations, a row an input.
    labels : integer tensor or array of shape (n,)
        Of at least two classes.

    Returns
    -------
    ClassSeparation
        Computed in float64.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device, shape or value than wanted; the message names it.
    """
    rows = _rows(points)
    classes = class_numbers(labels, len(rows))
    if not rows.isfinite().all():
        raise ValueError("points: got NaN or infinity, wanted finite numbers")
    sizes = np.bincount(classes)
    if len(sizes) < 2:
        raise ValueError(f"labels: got {len(sizes)} class, wanted at least 2")
    # A class at a time, for a wide layer leaves no room for a copy in float64; and deviations from one point, for far
    # from zero the means themselves would lose digits.
    members = [np.flatnonzero(classes == one) for one in np.arange(len(sizes))]
    origin = torch.stack([rows[mine].double().sum(0) for mine in members]).sum(0) / len(rows)
    means = torch.stack([(rows[mine] - origin).mean(0) for mine in members])
    axes = _whitening(means)
    scatter = np.zeros(len(sizes))  # of each class about its mean
    whitened = np.zeros(len(sizes))  # the same in units of the spread of the means
    for one, mine in enumerate(members):
        deviations = rows[mine] - origin - means[one]
        scatter[one] = float(deviations.square().sum())
        whitened[one] = float((deviations @ axes).square().sum())
    scatter_of_means = float(sizes @ means.square().sum(1).numpy(force=True))
    n, pairs_within = len(rows), float(sizes @ (sizes - 1)) / 2
    # Of a sum of |a - b|^2 over pairs each deviation and each mean has its share; no difference of sums is needed.
    within = _ratio(float(sizes @ scatter), pairs_within)
    between = _ratio(float((n - sizes) @ scatter) + n * scatter_of_means, n * (n - 1) / 2 - pairs_within)
    return ClassSeparation(
        within=math.sqrt(within),
        between=math.sqrt(between),
        scatter_ratio=_ratio(scatter_of_means, float(scatter.sum())),
        collapse=float((whitened / sizes).mean()) if axes.numel() else _ratio(float((scatter / sizes).sum()), 0.0),
    )


def _whitening(means: Tensor) -> Tensor:
    """Return axes (d, k) that give class means (classes, d) unit scatter in all directions in which they differ."""
    _, spread, directions = torch.linalg.svd(means - means.mean(0), full_matrices=False)
    known_to = max(means.shape) * torch.finfo(torch.float64).eps * spread[0]
    # Never as many as there are means: what is left then is rounding, the size of which depends on who decomposes.
    rank = min(int((spread > known_to).sum()), len(means) - 1)
    axes: Tensor = directions[:rank].mT / spread[:rank]
    return axes


def _ratio(part: float, whole: float) -> float:
    if whole == 0:
        return math.inf if part > 0 else math.nan
    return part / whole


def _rows(points: Array) -> Tensor:
    tensor = as_floats("points", points).detach()
    if tensor.ndim != 2:
        raise ValueError(
            f"points: got shape {tuple(tensor.shape)}, wanted (n, d); flatten maps, for instance by .flatten(1)"
        )
    return tensor


def _default_range(rows: Tensor, metric: str) -> tuple[float, float]:
    if metric == "cosine":
        return 0.0, 2.0
    largest = largest_distance(rows, metric=metric)
    if largest == math.inf:
        raise ValueError("points: got distances beyond the largest number, wanted smaller values; scale them down")
    return 0.0, largest or 1.0


def _checked(range_: Sequence[float]) -> tuple[float, float]:
    if isinstance(range_, str) or not isinstance(range_, Sequence) or not len(range_) == 2:
        raise TypeError(f"range: got {range_!r}, wanted a pair of numbers")
    low, high = range_
    for end in range_:
        if not isinstance(end, numbers.Real) or isinstance(end, bool):
            raise TypeError(f"range: got {range_!r}, wanted a pair of numbers")
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"range: got {range_!r}, wanted two finite numbers, the first below the second")
    return float(low), float(high)
