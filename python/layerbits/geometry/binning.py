"""Entropies of binned activations, under the name of what they are: H(Bin(T)), not I(X;T). Pure functions.

One rule of digitisation holds throughout: a bin is (lower, upper], open below and closed above, and a value is compared
as it is. So a zero lies in the bin that ends at 0, as the two bins (-inf, 0] and (0, inf) want it, where np.floor or
np.digitize would put it into the bin that begins there; and float32(0.1), which exceeds 0.1, lies above an edge at 0.1.
All of it happens on the host, to which tensors on a device are copied.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from layerbits._base import Array, check_count, check_positive
from layerbits.kernels import as_floats
from layerbits.statistics import class_numbers

Floats = npt.NDArray[Any]  # float32 or float64
Integers = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]

_CHUNK = 2**16  # activations that are digitised together: temporaries stay in the cache
_BIN_SIZE = 0.1


@dataclasses.dataclass(frozen=True)
class BaselineEstimate:
    """What an estimator that layerbits is compared with says, under the name of what it computes.

    Attributes
    ----------
    quantity : str
        Such as ``"H(Bin(T))"`` or ``"h(T)"``.
    estimator : str
        How it was estimated.
    value : float
        In `unit`.
    label_information : float or None
        What the same estimator takes for I(T;Y), in `unit`; None without labels.
    unit : str
        ``"nats"`` or ``"bits"``.
    """

    quantity: str
    estimator: str
    value: float
    label_information: float | None = None
    unit: str = "nats"

    @property
    def bits(self) -> BaselineEstimate:
        """The same estimate in bits."""
        if self.unit == "bits":
            return self
        labelled = None if self.label_information is None else self.label_information / math.log(2)
        return dataclasses.replace(self, value=self.value / math.log(2), label_information=labelled, unit="bits")


def binned_entropy(activations: Array, bin_size: float | None = None, *, edges: Array | None = None) -> float:
    """Entropy H(Bin(T)) in nats of the binned rows, each row of equal weight.

    Parameters
    ----------
    activations : tensor or array of shape (n, d)
        float32 or float64, finite; n >= 1.
    bin_size : float, optional
        Bins (k b, (k + 1) b] for all integers k, with k b as float64 rounds it; 0.1 unless `edges` are given.
    edges : tensor or array of shape (bins - 1,), optional
        Inner edges of the bins instead, float32 or float64, never falling; the outer bins are unbounded. ``[0.]`` makes
        the two bins (-inf, 0] and (0, inf); see `szt_edges` and `quantile_edges`.

    Returns
    -------
    float
        Between 0 and log n; at log n every row has bins of its own, and the number says nothing more.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device, shape or value than wanted; the message names it.
    """
    return _entropy(_row_numbers(activations, bin_size, edges))


def binned_information(
    activations: Array, bin_size: float | None = None, *, labels: Array | None = None, edges: Array | None = None
) -> BaselineEstimate:
    """H(Bin(T)), and with labels I(Bin(T);Y), in nats.

    Of a deterministic network H(Bin(T)) = I(X;Bin(T)) for X uniform over the inputs, which binning estimators have
    called I(X;T). The true I(X;T) is log n or infinite there, whatever the network does. What H(Bin(T)) measures is how
    the activations cluster, at the scale of a bin.

    Parameters
    ----------
    activations, bin_size, edges
        As of `binned_entropy`.
    labels : integer tensor or array of shape (n,), optional
        Classes Y.

    Returns
    -------
    BaselineEstimate
        `value` is H(Bin(T)); `label_information` is I(Bin(T);Y) of the empirical distribution, biased up where bins
        hold few rows: H(Y) where every row has bins of its own.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, dtype, device, shape or value than wanted; the message names it.

    Notes
    -----
    Sources: Shwartz-Ziv and Tishby (2017), 30 bins on [-1, 1]; Saxe et al. (ICLR 2018), bins of equal size;
    Chelombiev, Houghton and O'Donnell (ICLR 2019), bins at quantiles; Goldfeld et al. (ICML 2019), what it measures.
    """
    bins = _row_numbers(activations, bin_size, edges)
    estimator = (
        f"bins of {_BIN_SIZE if bin_size is None else bin_size:g}" if edges is None else f"{len(edges) + 1} bins"
    )
    entropy = _entropy(bins)
    if labels is None:
        return BaselineEstimate("H(Bin(T))", estimator, entropy)
    classes = class_numbers(labels, len(bins))
    joint = _entropy(bins * (int(classes.max()) + 1) + classes)
    return BaselineEstimate("H(Bin(T))", estimator, entropy, max(0.0, entropy + _entropy(classes) - joint))


def szt_edges(bins: int = 30) -> Doubles:
    """Inner edges, shape (bins - 1,), of equal bins on [-1, 1]; what lies beyond falls into the outer bins.

    Source: Shwartz-Ziv and Tishby, Opening the Black Box of Deep Neural Networks via Information (2017): 30 bins.
    """
    return np.linspace(-1, 1, check_count("bins", bins, minimum=1) + 1)[1:-1]


def quantile_edges(activations: Array, bins: int = 30) -> Doubles:
    """Inner edges, shape (bins - 1,), at equally spaced quantiles of the different activations of a layer.

    Source: Chelombiev, Houghton and O'Donnell, Adaptive Estimators Show Information Compression in Deep Neural Networks
    (ICLR 2019).
    """
    levels = np.linspace(0, 1, check_count("bins", bins, minimum=1) + 1)[1:-1]
    return np.quantile(np.unique(_activations(activations)).astype(np.float64), levels)


def _activations(activations: Array) -> Floats:
    tensor = as_floats("activations", activations).detach()
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise ValueError(
            f"activations: got shape {tuple(tensor.shape)}, wanted (n, d) with n >= 1 and d >= 1; flatten maps, "
            "for instance by .flatten(1)"
        )
    low, high = (float(end) for end in tensor.aminmax())
    if not -math.inf < low <= high < math.inf:
        raise ValueError("activations: got NaN or infinity, wanted finite numbers")
    return tensor.numpy(force=True)


def _row_numbers(activations: Array, bin_size: float | None, edges: Array | None) -> Integers:
    """Return, for every row, the number of its combination of bins among those that occur, shape (n,)."""
    rows = _activations(activations)
    if edges is None:
        digits = _even_digits(rows, _BIN_SIZE if bin_size is None else check_positive("bin_size", bin_size))
    elif bin_size is None:
        digits = _digits_between(edges, rows.dtype)
    else:
        raise ValueError("bin_size: got it together with edges, wanted one of them")
    # Digests of 128 bits: two of a million rows agree by chance once in 10^26, and no array of all digits is needed.
    step = max(1, _CHUNK // rows.shape[1])
    digests = [
        hashlib.blake2b(row, digest_size=16).digest()
        for first in range(0, len(rows), step)
        for row in np.ascontiguousarray(digits(rows[first : first + step]))
    ]
    numbers: Integers = np.unique(np.array(digests, "V16"), return_inverse=True)[1]
    return numbers


_Digits = Callable[[Floats], Integers]


def _even_digits(rows: Floats, size: float) -> _Digits:
    """Return k of the bin (k size, (k + 1) size] of every value."""
    most = max(abs(float(rows.min())), abs(float(rows.max()))) / size
    if not most < 2**52:
        raise ValueError(f"bin_size: got {size}, wanted at least 2^-52 of the largest activation")
    dtype = next(one for one in (np.int8, np.int16, np.int32, np.int64) if most + 2 < np.iinfo(one).max)

    def digits(values: Floats) -> Integers:
        exact = values.astype(np.float64)
        upper = np.ceil(exact / size)
        # The quotient may have been rounded over an edge; the products say where edges are.
        upper += exact > upper * size
        upper -= exact <= (upper - 1) * size
        return upper.astype(dtype)

    return digits


def _digits_between(edges: Array, dtype: np.dtype[Any]) -> _Digits:
    """Return how many of the edges lie below every value of this dtype."""
    exact = as_floats("edges", edges).detach().double().numpy(force=True)
    if exact.ndim != 1 or not np.isfinite(exact).all() or (np.diff(exact) < 0).any():
        raise ValueError(f"edges: got shape {exact.shape}, wanted a row of finite numbers that never fall")
    # A value exceeds an edge just where it exceeds the largest of its dtype that does not.
    with np.errstate(over="ignore"):
        inner = exact.astype(dtype)
    inner = np.where(inner > exact, np.nextafter(inner, dtype.type(-np.inf)), inner)

    def digits(values: Floats) -> Integers:
        if len(inner) > 255:
            return np.searchsorted(inner, values, side="left")
        found = np.zeros(values.shape, np.uint8)  # a pass for each edge: ten times faster than a search in 30
        for edge in inner:
            found += values > edge
        return found

    return digits


def _entropy(numbers: Integers) -> float:
    """Entropy in nats of the empirical distribution of whole numbers."""
    counts = np.unique(numbers, return_counts=True)[1]
    # As log n less a mean, so that rows that all differ have log n exactly.
    return float(math.log(len(numbers)) - (counts * np.log(counts)).sum() / len(numbers))
