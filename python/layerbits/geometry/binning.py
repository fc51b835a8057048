"""Entropy of binned activations, H(Bin(T)), which is not I(X;T).

Activations are binned on the host; tensors on a device are copied there. `layerbits.geometry.bins` defines the bins.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from layerbits._base import Array, Doubles, check_count, check_positive
from layerbits.geometry.baseline_estimate import BaselineEstimate
from layerbits.geometry.bins import Bins, edge_bins, even_bins
from layerbits.geometry.matrices import as_finite_matrix
from layerbits.statistics import class_numbers

_CHUNK = 2**16  # activations that are binned at once, so that temporary arrays stay in the cache
_DEFAULT_BIN_SIZE = 0.1
_MOST_BINS = 2**23  # as many as `pairwise_distance_histogram` takes


def binned_entropy(activations: Array, bin_size: float | None = None, *, edges: Array | None = None) -> float:
    """Compute the entropy H(Bin(T)) of the binned rows, each row of equal weight, in nats.

    Parameters
    ----------
    activations : tensor or array of shape (n, d)
        float32 or float64, finite; n >= 1.
    bin_size : float, optional
        Size b of the bins (k b, (k + 1) b] for all integers k, with k b rounded to float64. The default is 0.1, unless
        `edges` are passed.
    edges : tensor or array of shape (bins - 1,), optional
        Inner edges of the bins, in place of `bin_size`: float32 or float64, in ascending order. The outer bins are
        unbounded; ``[0.]`` makes the two bins (-inf, 0] and (0, inf). See `szt_edges` and `quantile_edges`.

    Returns
    -------
    float
        Between 0 and log n nats. At log n every row is alone in its bin, and finer bins change nothing.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type, dtype, device, shape or value; the message names the argument.

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> activations = np.array([[0.12], [0.18], [0.55], [0.58]])
    >>> round(lb.binned_entropy(activations, bin_size=0.1), 6)
    0.693147
    """
    return entropy_of_numbers(_row_numbers(activations, bin_size, edges))


def binned_information(
    activations: Array, bin_size: float | None = None, *, labels: Array | None = None, edges: Array | None = None
) -> BaselineEstimate:
    """Compute H(Bin(T)) and, with labels, I(Bin(T);Y), in nats.

    For a deterministic network and X uniform over the inputs, H(Bin(T)) = I(X;Bin(T)), which binning estimators report
    as I(X;T). The true I(X;T) of such a network is log n if all rows differ. H(Bin(T)) measures how the activations
    cluster at the scale of a bin.

    Parameters
    ----------
    activations, bin_size, edges
        As for `binned_entropy`.
    labels : integer tensor or array of shape (n,), optional
        Classes Y.

    Returns
    -------
    BaselineEstimate
        `value` is H(Bin(T)). `label_information` is I(Bin(T);Y) of the empirical distribution, which is biased upwards
        where bins hold few rows: it is H(Y) if every row is alone in its bin.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type, dtype, device, shape or value; the message names the argument.

    Notes
    -----
    Sources: Shwartz-Ziv and Tishby (2017), 30 bins on [-1, 1]; Saxe et al. (ICLR 2018), bins of equal size; Chelombiev,
    Houghton and O'Donnell (ICLR 2019), bins at quantiles; Goldfeld et al. (ICML 2019), its meaning.

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> activations = np.array([[0.12], [0.18], [0.55], [0.58]])
    >>> estimate = lb.binned_information(activations, labels=np.array([0, 0, 1, 1]))
    >>> estimate.quantity, round(estimate.bits.value, 6), round(estimate.bits.label_information, 6)
    ('H(Bin(T))', 1.0, 1.0)
    """
    numbers = _row_numbers(activations, bin_size, edges)
    if edges is None:
        estimator = f"bins of {_DEFAULT_BIN_SIZE if bin_size is None else float(bin_size):g}"
    else:
        estimator = f"{len(edges) + 1} bins"
    entropy = entropy_of_numbers(numbers)
    return BaselineEstimate("H(Bin(T))", estimator, entropy, information_about_labels(numbers, entropy, labels))


def szt_edges(bins: int = 30) -> Doubles:
    """Return the inner edges, shape (bins - 1,), of equal bins on [-1, 1]; the outer bins are unbounded.

    Parameters
    ----------
    bins : int
        Number of bins, from 1 to 2^23.

    Raises
    ------
    TypeError, ValueError
        `bins` is no integer in this range.

    Notes
    -----
    Source: Shwartz-Ziv and Tishby, Opening the Black Box of Deep Neural Networks via Information (2017), with 30 bins.

    Examples
    --------
    >>> import layerbits as lb
    >>> lb.szt_edges(4).tolist()
    [-0.5, 0.0, 0.5]
    """
    return np.linspace(-1, 1, check_count("bins", bins, minimum=1, maximum=_MOST_BINS) + 1)[1:-1]


def quantile_edges(activations: Array, bins: int = 30) -> Doubles:
    """Return inner edges, shape (bins - 1,), at equally spaced quantiles of the distinct activations of a layer.

    Parameters
    ----------
    activations : tensor or array of shape (n, d)
        float32 or float64, finite; n >= 1.
    bins : int
        Number of bins, from 1 to 2^23.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type, dtype, device, shape or value; the message names the argument.

    Notes
    -----
    Source: Chelombiev, Houghton and O'Donnell, Adaptive Estimators Show Information Compression in Deep Neural Networks
    (ICLR 2019).

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> lb.quantile_edges(np.array([[0.0], [0.0], [1.0], [5.0]]), bins=2).tolist()
    [1.0]
    """
    levels = np.linspace(0, 1, check_count("bins", bins, minimum=1, maximum=_MOST_BINS) + 1)[1:-1]
    values = as_finite_matrix("activations", activations).numpy(force=True)
    return np.quantile(np.unique(values).astype(np.float64), levels)


def _row_numbers(activations: Array, bin_size: float | None, edges: Array | None) -> npt.NDArray[Any]:
    """Return a number for each row, shape (n,); rows with the same bins in every unit have the same number."""
    rows = as_finite_matrix("activations", activations).numpy(force=True)
    if bin_size is not None and edges is not None:
        raise ValueError("bin_size: got bin_size and edges, wanted one of them; leave one out")
    bins: Bins
    if edges is None:
        bins = even_bins(_DEFAULT_BIN_SIZE if bin_size is None else check_positive("bin_size", bin_size), rows)
    else:
        bins = edge_bins(edges, rows.dtype)
    return numbers_of_rows(rows, bins.numbers)


def numbers_of_rows(
    rows: npt.NDArray[Any], values: Callable[[npt.NDArray[Any]], npt.NDArray[Any]] = np.asarray
) -> npt.NDArray[Any]:
    """Return a number 0, 1, ... for each row, shape (n,); rows with equal bytes of `values(rows)` have the same number.

    `values` maps some rows (m, d) to the rows that are compared.
    """
    # Digests take less memory than the values. At 128 bits, two of a million rows collide with probability < 1e-26.
    step = max(1, _CHUNK // rows.shape[1])
    digests = [
        hashlib.blake2b(row, digest_size=16).digest()
        for start in range(0, len(rows), step)
        for row in np.ascontiguousarray(values(rows[start : start + step]))
    ]
    numbers: npt.NDArray[Any] = np.unique(np.array(digests, "V16"), return_inverse=True)[1]
    return numbers


def entropy_of_numbers(numbers: npt.NDArray[Any]) -> float:
    """Compute the entropy of the empirical distribution of integers, in nats."""
    counts = np.unique(numbers, return_counts=True)[1]
    # In this form the entropy of distinct rows is exactly log n.
    return float(math.log(len(numbers)) - (counts * np.log(counts)).sum() / len(numbers))


def information_about_labels(numbers: npt.NDArray[Any], entropy: float, labels: Array | None) -> float | None:
    """Return the information, in nats, of numbers of this entropy about the labels; None without labels."""
    if labels is None:
        return None
    classes = class_numbers(labels, len(numbers))
    joint_entropy = entropy_of_numbers(numbers * (int(classes.max()) + 1) + classes)
    return max(0.0, entropy + entropy_of_numbers(classes) - joint_entropy)
