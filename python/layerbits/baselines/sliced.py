"""Sliced mutual information by counts of neighbours: the mean information of one-dimensional random projections."""

from __future__ import annotations

import numpy as np

from layerbits._base import Array, Doubles, check_count
from layerbits.baselines.label_information import as_rows
from layerbits.baselines.neighbours import check_rows, class_information, pair_information
from layerbits.geometry import BaselineEstimate
from layerbits.kernels import RandomStream, stream
from layerbits.statistics import class_numbers

_MOST_SLICES = 100_000


def sliced_ksg_information(
    activations: Array,
    *,
    inputs: Array,
    labels: Array | None = None,
    slices: int = 128,
    neighbours: int = 3,
    seed: int = 0,
) -> BaselineEstimate:
    """Estimate SI(X;T) = E I(a^T X; b^T T), in nats, over random unit vectors a and b, by counts of neighbours.

    Both X and T are projected, so SI(X;T) is another quantity than SI_1(X;T) of `RandomSlices`, which projects T alone;
    SI(X;T) is at most SI_1(X;T). With labels, estimate SI(T;Y) = E I(b^T T; Y), the quantity of Wongso, Ghosh and
    Motani. The value has no interval, and these biases:

    - Each term has the bias of `ksg_information`: for strongly dependent projections the estimate is too small, unless
      there are very many rows. If X and T have one dimension each, a deterministic layer has infinite SI(X;T), and the
      estimate grows like log n.
    - The rows are a sample. The error does not fall with more slices, because all slices share it.
    - The standard error of the vectors is the standard deviation of the terms over sqrt(slices).

    Rows that coincide have projections that coincide, so a dead layer has the value 0. Each projection is divided by
    its standard deviation, which changes no information.

    Parameters
    ----------
    activations : tensor or array of shape (n, d)
        float32 or float64, finite; more than `neighbours` rows, and with `labels` in every class.
    inputs : tensor or array of shape (n, e)
        X, float32 or float64, finite.
    labels : integer tensor or array of shape (n,), optional
        Classes Y.
    slices : int
        Number of pairs of unit vectors, at least 1.
    neighbours : int
        The index k of the neighbour, at least 1.
    seed : int
        Seed of the vectors.

    Returns
    -------
    BaselineEstimate
        ``"SI(X;T)"`` in nats; it may be negative.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type, dtype, device, shape or value; the message names the argument.

    Notes
    -----
    Sources: Goldfeld and Greenewald, Sliced Mutual Information (2021); Wongso, Ghosh and Motani, Using Sliced Mutual
    Information to Study Memorization and Generalization in Deep Neural Networks (2023); the estimators of
    `ksg_information` for each pair of projections. Division by the standard deviation is a choice of layerbits.

    Examples
    --------
    >>> import numpy as np
    >>> import layerbits as lb
    >>> x, z = np.random.default_rng(0).standard_normal((2, 1000, 2))
    >>> estimate = lb.baselines.sliced_ksg_information(x + z, inputs=x)
    >>> truth = -np.log((1 + np.sqrt(1 / 2)) / 2)  # in two dimensions, with a correlation of sqrt(1/2)
    >>> bool(abs(estimate.value - truth) < 0.1)
    True
    """
    rows, input_rows = as_rows("activations", activations), as_rows("inputs", inputs)
    n, k = len(rows), check_count("neighbours", neighbours, minimum=1)
    n_slices = check_count("slices", slices, minimum=1, maximum=_MOST_SLICES)
    if len(input_rows) != n:
        raise ValueError(f"inputs: got {len(input_rows)} rows, wanted {n}, one for each row of activations")
    check_rows(k, n)
    random = stream(check_count("seed", seed, minimum=0), RandomStream.BASELINE_SLICES)
    projected = _projections(rows, n_slices, random)
    projected_inputs = _projections(input_rows, n_slices, random)
    value = np.mean([pair_information(t, x, k, random) for t, x in zip(projected, projected_inputs, strict=True)])
    label_information = None
    if labels is not None:
        classes = class_numbers(labels, n)
        label_information = float(np.mean([class_information(t, classes, k, random) for t in projected]))
    return BaselineEstimate("SI(X;T)", f"sliced KSG, {n_slices} slices, k = {k}", float(value), label_information)


def _projections(rows: Doubles, count: int, random: np.random.Generator) -> Doubles:
    """Return projections (count, n, 1) of rows (n, d) on random unit vectors, with a standard deviation of 1 or 0.

    Rows that coincide are projected once, because a matrix product may round equal rows differently.
    """
    directions = random.standard_normal((count, rows.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    distinct, places = np.unique(rows, axis=0, return_inverse=True)
    values = (distinct @ directions.T)[places.reshape(-1)]
    deviations = values.std(axis=0) if len(distinct) > 1 else np.zeros(count)
    scaled: Doubles = (values / np.where(deviations > 0, deviations, 1.0)).T[:, :, None]
    return scaled
