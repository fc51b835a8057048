"""Matrix-based Renyi entropy, a function of the eigenvalues of a Gram matrix."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigvalsh
from scipy.spatial.distance import pdist, squareform
from scipy.special import logsumexp

from layerbits._base import Array, Doubles, check_positive
from layerbits.baselines.label_information import as_rows
from layerbits.geometry import BaselineEstimate
from layerbits.statistics import class_numbers


def matrix_renyi_entropy(
    activations: Array, *, labels: Array | None = None, alpha: float = 1.01, width: float | None = None
) -> BaselineEstimate:
    """Compute the matrix-based Renyi entropy S_alpha of the normalized Gram matrix of the rows, in nats.

    With A = K / n and K_ij = exp(-|t_i - t_j|^2 / (2 width^2)), S_alpha = log(sum of eigenvalues^alpha) / (1 - alpha).
    Eigenvalues of at most n eps (float64) count as 0, because they are below the rounding error. S_alpha is 0 if all
    rows coincide and log n if all rows are far apart. S_alpha is not the Shannon entropy of a random variable: it
    depends on the width, as a binned entropy depends on the size of the bins. The computation takes O(n^2) memory and
    O(n^3 + n^2 d) time.

    Parameters
    ----------
    activations : tensor or array of shape (n, d)
        float32 or float64, finite; n >= 1.
    labels : integer tensor or array of shape (n,), optional
        Classes Y, for S(A) + S(B) - S(A o B), where B_ij = 1/n for equal labels and A o B is the entrywise product,
        normalized.
    alpha : float
        Order, positive and different from 1; the default is close to 1, as in the source.
    width : float, optional
        Width of the kernel; the default is the median of the positive distances.

    Returns
    -------
    BaselineEstimate
        ``"S_alpha(T)"`` in nats.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type, dtype, device, shape or value; the message names the argument.

    Notes
    -----
    Sources: Giraldo, Rao and Principe, Measures of Entropy from Data Using Infinitely Divisible Kernels (2015);
    Wickstroem et al., Information Plane Analysis of Deep Neural Networks via Matrix-Based Renyi's Entropy and Tensor
    Kernels (2019): alpha = 1.01. Wickstroem et al. tune the width to the labels (not checked against the paper); the
    median is a choice of layerbits.

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> rows = np.array([[0.0], [100.0]])
    >>> round(lb.baselines.matrix_renyi_entropy(rows, width=1.0).bits.value, 6)
    1.0
    """
    rows = as_rows("activations", activations)
    alpha = check_positive("alpha", alpha)
    if alpha == 1:
        raise ValueError("alpha: got 1, wanted a different order, such as 1.01")
    distances = pdist(rows)
    kernel_width = _median_width(distances) if width is None else check_positive("width", width)
    with np.errstate(over="ignore"):  # exp(-inf) is 0
        gram = np.exp(-np.square(squareform(distances) / kernel_width) / 2) / len(rows)
    value = _entropy(gram, alpha)
    label_information = None
    if labels is not None:
        classes = class_numbers(labels, len(rows))
        same_class = np.equal.outer(classes, classes)
        # The eigenvalues of B are the frequencies of the classes.
        frequencies = np.bincount(classes) / len(rows)
        label_entropy = _entropy_of(frequencies, alpha)
        label_information = value + label_entropy - _entropy(gram * same_class, alpha)
    estimator = f"matrix Renyi, alpha = {alpha:g}, width = {kernel_width:.3g}"
    return BaselineEstimate("S_alpha(T)", estimator, value, label_information)


def _median_width(distances: Doubles) -> float:
    positive_distances = distances[distances > 0]
    return float(np.median(positive_distances)) if len(positive_distances) else 1.0


def _entropy(gram: Doubles, alpha: float) -> float:
    """Compute S_alpha of a Gram matrix of trace 1."""
    eigenvalues = eigvalsh(gram).astype(np.float64)
    # The rounding error of an eigenvalue is of the order of n eps, because the largest eigenvalue is at most 1.
    eigenvalues = eigenvalues[eigenvalues > len(gram) * np.finfo(np.float64).eps]
    return _entropy_of(eigenvalues, alpha)


def _entropy_of(probabilities: Doubles, alpha: float) -> float:
    """Compute log(sum of p^alpha) / (1 - alpha), also where every p^alpha underflows."""
    return float(logsumexp(alpha * np.log(probabilities))) / (1 - alpha)
