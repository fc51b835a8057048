"""Histogram of pairwise distances, within and between classes.

The kernel compares squared distances with squared edges, so that no pair needs a square root. An edge becomes the
smallest square whose rounded root reaches the edge; every pair therefore falls into the bin in which `numpy.histogram`
puts its rounded distance. A cosine distance is half the squared distance of unit vectors, so the same kernel computes
it, and small angles keep their digits.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Array, Doubles, Integers, check_count, data_frame, data_set, html_histogram, shown_repr
from layerbits.geometry.matrices import as_matrix
from layerbits.kernels import Group, Processes, check_metric, shared_distance_histogram, shared_largest_distance
from layerbits.statistics import class_numbers

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.axes import Axes

MAX_BINS = 2**23  # the kernel takes at most 2^24 - 2 edges


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class DistanceHistogram:
    """Counts of pairs of rows by their distance; an unordered pair counts once.

    Attributes
    ----------
    edges : float64 array of shape (bins + 1,)
        Bin b is ``edges[b] <= distance < edges[b + 1]``; the last bin includes its upper edge, as in `numpy.histogram`.
    within, between : int64 array of shape (bins,)
        Pairs with equal labels and pairs with different labels.
    outside : int
        Pairs, with equal or different labels, whose distance lies below the first or above the last edge.
    metric : str
        ``"euclidean"`` or ``"cosine"``.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> histogram = lb.pairwise_distance_histogram(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1]), bins=3)
    >>> histogram.edges.tolist(), histogram.within.tolist(), histogram.between.tolist()
    ([0.0, 1.0, 2.0, 3.0], [0, 1, 0], [0, 0, 2])
    """

    edges: Doubles
    within: Integers
    between: Integers
    outside: int
    metric: str

    @property
    def overlap(self) -> float:
        """Overlap of the distributions of distances within and between classes: 0 for no common bin, 1 if equal.

        The overlap is the histogram intersection (Swain and Ballard, Color Indexing, 1991) of the counts, each divided
        by its sum. Finer bins can only lower the overlap. The overlap is NaN if no pair within a class, or no pair
        between classes, is in a bin.
        """
        if not self.within.any() or not self.between.any():
            return math.nan
        return float(np.minimum(self.within / self.within.sum(), self.between / self.between.sum()).sum())

    def to_pandas(self) -> pandas.DataFrame:
        """Return a `pandas.DataFrame` with a row for each bin: its edges and its pairs.

        Raises
        ------
        UsageError
            pandas is not installed; it is in the extra `frames`.
        """
        columns = ["lower", "upper", "within", "between"]
        bins = zip(self.edges[:-1], self.edges[1:], self.within, self.between, strict=True)
        return data_frame([dict(zip(columns, values, strict=True)) for values in bins], columns)

    def to_xarray(self) -> xarray.Dataset:
        """Return an `xarray.Dataset` over the bins: their edges and their pairs.

        Raises
        ------
        UsageError
            xarray is not installed; it is in the extra `frames`.
        """
        return data_set(self.to_pandas().rename_axis("bin").reset_index(), ("bin",))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the shares of pairs by distance, by `layerbits.plots.distances`."""
        from layerbits.plots import distances  # imported here: plots imports geometry

        return distances(self, ax=ax)

    def _repr_html_(self) -> str:
        """Return a picture of the pairs within classes, and of those between classes if there are any."""
        counts = {"within classes": self.within, "between classes": self.between}
        shown = {kind: pairs for kind, pairs in counts.items() if pairs.any()} or counts
        outside = f"<div>outside these distances: {self.outside} pairs</div>" if self.outside else ""
        table = html_histogram(f"{self.metric} distance", shown, self.edges[0], self.edges[-1])
        return f"{table}{outside}"

    def __repr__(self) -> str:
        return (
            f"DistanceHistogram(metric={self.metric!r}, bins={len(self.within)}, within={self.within.sum()}, "
            f"between={self.between.sum()}, outside={self.outside})"
        )


def pairwise_distance_histogram(
    points: Array,
    labels: Array | None = None,
    bins: int = 100,
    metric: str = "euclidean",
    *,
    range: Sequence[float] | None = None,
    group: Group = None,
) -> DistanceHistogram:
    """Count the distances of all pairs of rows, within and between classes, without a matrix of distances.

    Parameters
    ----------
    points : tensor or array of shape (n, d)
        Activations, one row for each input; float32 or float64, finite. Fewer than two rows have no pairs. The
        distances of a tensor on a CUDA device are computed there.
    labels : integer tensor or array of shape (n,), optional
        Classes; without labels, all rows are in one class.
    bins : int
        Number of evenly spaced bins, from 1 to 2^23.
    metric : {"euclidean", "cosine"}
        "cosine" is one minus the cosine of the angle; no row may be zero.
    range : (float, float), optional
        First and last edge. The default is 0 to 2 for "cosine", and otherwise 0 to the largest distance (to 1 if it is
        0), which takes a further pass over all pairs. Pass a range to compare layers or epochs.
    group : torch.distributed.ProcessGroup, optional
        Processes that make this call together, with the same arguments, and share its work. All get the result,
        which has the same bits for any number of processes on CPUs. By default this process works alone.

    Returns
    -------
    DistanceHistogram
        Counts as NumPy arrays, the same for any number of threads and any order of the rows. A distance is rounded to
        the dtype of `points` before the comparison with the edges. With eps of that dtype, its error is at most
        (11 + d/1024) eps distance for distances that exceed 1e-17 (float64: 1e-150) times the largest coordinate; a
        cosine distance c is off by at most (40 + d/60) eps c + 2 eps sqrt(c) + eps^2.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type, dtype, device, shape or value; the message names the argument.
    GroupError
        Another process of the group failed, made another call, or did not take part within the group's time-out.

    Notes
    -----
    The histogram shows the clustering that accompanies compression: Goldfeld et al., Estimating Information Flow in
    Deep Neural Networks (ICML 2019).

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> points = np.array([[0.0], [1.0], [10.0], [11.0]])
    >>> histogram = lb.pairwise_distance_histogram(points, np.array([0, 0, 1, 1]), bins=4)
    >>> histogram.within.tolist(), histogram.between.tolist(), histogram.overlap
    ([2, 0, 0, 0], [0, 0, 0, 4], 0.0)
    """
    processes = Processes(group)
    with processes.call("pairwise_distance_histogram"):
        options = {"bins": bins, "metric": metric, "range": range}
        processes.check_equal("pairwise_distance_histogram", points=points, labels=labels, **options)
        rows = as_matrix("points", points)
        metric = check_metric(metric)
        bin_count = check_count("bins", bins, minimum=1, maximum=MAX_BINS)
        classes = None if labels is None else torch.from_numpy(class_numbers(labels, len(rows))).to(rows.device)
        lower, upper = _default_range(rows, metric, processes) if range is None else _check_range(range)
        edges = np.linspace(lower, upper, bin_count + 1)
        counts = shared_distance_histogram(
            rows, torch.from_numpy(edges), labels=classes, metric=metric, processes=processes
        ).numpy(force=True)
        histogram = DistanceHistogram(
            edges=edges,
            within=counts[1:-1, 1].copy(),
            between=counts[1:-1, 0].copy(),
            outside=int(counts[[0, -1]].sum()),
            metric=metric,
        )
        return processes.check_result("pairwise_distance_histogram", histogram)


def _default_range(rows: Tensor, metric: str, processes: Processes) -> tuple[float, float]:
    if metric == "cosine":
        return 0.0, 2.0
    diameter = shared_largest_distance(rows, metric=metric, processes=processes)
    if diameter == math.inf:
        raise ValueError("points: got distances that overflow, wanted smaller values; scale the points down")
    return 0.0, diameter or 1.0


def _check_range(range_: Sequence[float]) -> tuple[float, float]:
    if isinstance(range_, str) or not isinstance(range_, Sequence) or len(range_) != 2:
        raise TypeError(f"range: got {shown_repr(range_)}, wanted a pair of numbers (first edge, last edge)")
    if not all(isinstance(end, numbers.Real) and not isinstance(end, bool) for end in range_):
        raise TypeError(f"range: got {shown_repr(range_)}, wanted a pair of numbers")
    lower, upper = range_
    if not -math.inf < lower < upper < math.inf:
        raise ValueError(f"range: got {shown_repr(range_)}, wanted two finite numbers, the smaller one first")
    return float(lower), float(upper)
