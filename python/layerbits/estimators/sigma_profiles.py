"""Information of a representation without noise, by the noise that is put on it: I(X; S + sigma Z) for many sigma.

Queries t = s_i + sigma z share z over all sigma, and

    log p(t|x_j) - log p(t|x_i) = -(|s_i - s_j|^2 / (2 sigma) + z . (s_i - s_j)) / sigma,

so two numbers for every i, z and j serve all sigma: wide layers are passed over once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from layerbits._base import Array, Integers, check_confidence, check_count, check_positive, progress
from layerbits.kernels import NormalStream, as_floats, as_sigma, log_sum_exp_isotropic
from layerbits.mixtures import affine_coordinates
from layerbits.statistics import ceilings, channel_interval, class_numbers, largest_terms

if TYPE_CHECKING:
    import pandas

Doubles = npt.NDArray[np.float64]

# An I(X;T) this near to log N says only that the inputs are told apart.
_SATURATED = 1e-3  # nats

# Exponent of what weighs nothing beside the own term, whose exponent is 0. Below it exp takes five times as long.
_NIL = -700.0

# Pairs of a query and a center at a time: what they need stays in the caches.
_CHUNK = 2**18


@dataclasses.dataclass(frozen=True)
class SigmaRow:
    """One quantity of one layer behind noise of standard deviation `sigma`.

    `quantity` is ``I(X;T)``, ``I(T;Y)`` or ``I(X;T|Y)``; `value`, `standard_error` and the confidence interval from
    `lower` to `upper` are in `unit`; `note` holds the notices of the audits.
    """

    layer: str
    sigma: float
    quantity: str
    value: float
    standard_error: float
    lower: float
    upper: float
    unit: str = "nats"
    note: str = ""

    @property
    def bits(self) -> SigmaRow:
        """The same row in bits."""
        if self.unit == "bits":
            return self
        scaled = {name: getattr(self, name) / math.log(2) for name in ("value", "standard_error", "lower", "upper")}
        return dataclasses.replace(self, unit="bits", **scaled)


@dataclasses.dataclass(frozen=True)
class SigmaProfile:
    """Information by layer, sigma and quantity, in the order in which they were given."""

    rows: tuple[SigmaRow, ...]

    def __iter__(self) -> Iterator[SigmaRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def bits(self) -> SigmaProfile:
        """The same profile in bits."""
        return SigmaProfile(tuple(row.bits for row in self.rows))

    def to_pandas(self) -> pandas.DataFrame:
        """Return a `pandas.DataFrame` with a column for each field of a row (pandas is in the extra `experiments`)."""
        import pandas  # optional: only this method needs it

        columns = [field.name for field in dataclasses.fields(SigmaRow)]
        return pandas.DataFrame([dataclasses.astuple(row) for row in self.rows], columns=columns)

    def __str__(self) -> str:
        width = max((len(row.layer) for row in self.rows), default=0)
        return "\n".join(
            f"{row.layer:<{width}}  {row.sigma:8.4g}  {row.quantity:<8}  {row.value:9.4f} {row.unit} "
            f"({row.lower:.4f} to {row.upper:.4f})" + (f"  ({row.note})" if row.note else "")
            for row in self.rows
        )


def sigma_profile(
    activations: Array | Mapping[str, Array],
    sigmas: Iterable[float],
    *,
    labels: Array | None = None,
    queries: int = 4,
    confidence: float = 0.95,
    seed: int = 0,
) -> SigmaProfile:
    """Information that a representation S of X has behind noise: I(X; S + sigma Z) for each of `sigmas`, in nats.

    Parameters
    ----------
    activations : tensor or array of shape (n, ...), or a mapping of layer names to them
        S of each of the N = n values of X, flattened; of a network: ``layer_activations(model, inputs)``.
    sigmas : iterable of float
        Standard deviations of the noise, in any order.
    labels : integer tensor or array of shape (n,), optional
        Classes Y, a function of X; adds I(T;Y) and I(X;T|Y).
    queries : int
        Points T per input, at least 2.
    confidence : float
        Level of each interval.
    seed : int
        Seed of the noise, which is the same for all sigmas up to its size, so that profiles are smooth.

    Returns
    -------
    SigmaProfile
        A row for each layer, sigma and quantity. Notes flag saturation at log N, and information that rises with sigma
        beyond the error, which it cannot.

    Raises
    ------
    TypeError, ValueError
        An argument has another type, shape or value than wanted; activations are not finite.

    Notes
    -----
    No approximation of the mixture: p(t|x) is known. Intervals hold for any number of inputs and queries, by
    `layerbits.statistics`; below for a decoder that is certain of nothing, by Barber and Agakov, The IM Algorithm
    (2003). Up to some 120 dimensions, or with few sigmas, a call of the kernel for each sigma is
    faster than one pass for all, and is what happens. However small sigma is, a log density is off by less than
    d eps (40 sum_k p_k |e_k| + 22 |z|^2), with e_k the exponents, p_k their softmax and eps of float64.
    """
    given = activations if isinstance(activations, Mapping) else {"": activations}
    if not all(isinstance(name, str) for name in given):
        raise TypeError("activations: got a mapping with keys that are no str, wanted names of layers")
    layers = {name: _matrix(name, one) for name, one in given.items()}
    if not layers:
        raise ValueError("activations: got an empty mapping, wanted at least one layer")
    if not isinstance(sigmas, Iterable):
        raise TypeError(
            f"sigmas: got {type(sigmas).__name__}, wanted positive numbers, for instance np.geomspace(0.01, 1)"
        )
    widths = [check_positive("sigmas", one.item() if isinstance(one, Tensor) else one) for one in sigmas]
    if not widths:
        raise ValueError("sigmas: got none, wanted at least one")
    check_count("queries", queries, minimum=2)
    level, number = check_confidence(confidence), check_count("seed", seed, minimum=0)
    rows: list[SigmaRow] = []
    for place, (layer, points) in enumerate(layers.items()):
        n = len(points)
        classes = None if labels is None else class_numbers(labels, n)
        sorted_by = np.zeros(n, np.int64) if classes is None else classes
        terms, certain = _terms(points, sorted_by, widths, queries, NormalStream(number, place))
        most = largest_terms(n, classes)
        found = [
            _row(layer, sigma, quantity, terms[quantity][one], ceiling, most[quantity], level)
            for one, sigma in enumerate(widths)
            for quantity, ceiling in ceilings(n, classes).items()
        ]
        found = [_certified(row, certain[widths.index(row.sigma)]) for row in found]
        rows += _audited(found, math.log(n))
    return SigmaProfile(tuple(rows))


def _terms(
    points: Tensor, classes: Integers, sigmas: Sequence[float], queries: int, random: NormalStream
) -> tuple[dict[str, Doubles], Doubles]:
    """Return by quantity terms (sigma, n, queries) whose expectations have it as their mean; and bounds of I(X;T).

    The bounds (sigma,), from below, come from pairs of centers alone (Kolchinsky and Tracey, 2017).
    """
    centers = affine_coordinates(points, min(sigmas))[0][classes.argsort(kind="stable")]
    n, dim = centers.shape
    noise = random.like(centers[:, None].expand(-1, queries, -1))
    sizes = np.bincount(classes)
    offsets = torch.from_numpy(np.append(0, sizes.cumsum()))
    # Nanoseconds a pair, measured on a core of Zen 5 with AVX-512: 0.0255 d for each sigma by the kernel; 0.055 d and
    # 3 for each sigma in one pass.
    one_pass = len(sigmas) * (dim - 118) > 2.2 * dim and bool(centers.square().sum().isfinite())
    log_sums = (_log_sums_in_one_pass if one_pass else _log_sums_by_sigma)(centers, noise, offsets, sigmas)
    pooled, in_class, pairs = (log_sum.numpy(force=True) for log_sum in log_sums)
    log_n, log_size = math.log(n), np.log(sizes).repeat(sizes)[:, None]
    terms = {
        "I(X;T)": log_n - pooled,
        "I(T;Y)": log_n - log_size + in_class - pooled,
        "I(X;T|Y)": log_size - in_class,
    }
    return terms, log_n - pairs.mean(1)


def _log_sums_by_sigma(
    centers: Tensor, noise: Tensor, offsets: Tensor, sigmas: Sequence[float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-sums of every query over all centers and over its class's, over its own term; each (sigma, n, queries).

    And those of every center over all, at twice sigma, (sigma, n).
    """
    queries = noise.shape[1]
    pooled, in_class = noise.new_empty(2, len(sigmas), *noise.shape[:2])
    pairs = torch.stack([log_sum_exp_isotropic(centers, centers, as_sigma(2 * sigma)) for sigma in sigmas])
    for place, sigma in enumerate(progress(sigmas, name="sigmas", total=len(sigmas))):
        points = (centers[:, None] + sigma * noise).flatten(0, 1)
        # From the points as they were rounded, so that it cancels against the same term of the sums.
        own = -((points.view(noise.shape) - centers[:, None]) / sigma).square().sum(-1) / 2
        pooled[place] = log_sum_exp_isotropic(points, centers, as_sigma(sigma)).view_as(own) - own
        if len(offsets) == 2:
            in_class[place] = pooled[place]
            continue
        log_sum = log_sum_exp_isotropic(
            points, centers, as_sigma(sigma), point_offsets=offsets * queries, center_offsets=offsets
        )
        in_class[place] = log_sum.view_as(own) - own
    return pooled, in_class, pairs


def _log_sums_in_one_pass(
    centers: Tensor, noise: Tensor, offsets: Tensor, sigmas: Sequence[float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Do what `_log_sums_by_sigma` does with a single pass over the coordinates."""
    n, queries, _ = noise.shape
    pooled, in_class = noise.new_empty(2, len(sigmas), n, queries)
    pairs = noise.new_empty(len(sigmas), n)
    rows = max(1, _CHUNK // (n * queries))
    chunks = [
        (start, stop, slice(first, min(first + rows, stop)))
        for start, stop in pairwise(offsets.tolist())
        for first in range(start, stop, rows)
    ]
    for start, stop, chunk in progress(chunks, name="inputs", total=len(chunks)):
        squares, products = _pairs(centers[chunk], noise[chunk], centers)
        for place, sigma in enumerate(sigmas):
            exponents = torch.add(products, squares[:, None], alpha=0.5 / sigma).mul_(-1 / sigma).clamp_(min=_NIL)
            parts = [part.logsumexp(-1) for part in exponents.tensor_split([start, stop], -1)]
            pooled[place, chunk] = torch.stack(parts).logsumexp(0)
            in_class[place, chunk] = parts[1]
            pairs[place, chunk] = (squares / sigma / (-8 * sigma)).logsumexp(-1)
    return pooled, in_class, pairs


def _pairs(some: Tensor, noise: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Return |s_i - s_j|^2, shape (m, n), and z . (s_i - s_j), shape (m, queries, n), of m of the n centers.

    A product of matrices is off by at most d eps |s_i| |s_j|. Where the squared distance is below an eighth of
    |s_i|^2 + |s_j|^2, that loses too much, and differences are taken directly; elsewhere they are off by
    16 d eps |s_i - s_j|^2 and 4 d eps |z| |s_i - s_j| at most.
    """
    norms = some.square().sum(1)[:, None] + centers.square().sum(1)
    squares = torch.addmm(norms, some, centers.mT, alpha=-2)
    products = (noise * some[:, None]).sum(-1, keepdim=True) - noise @ centers.mT
    near = squares < norms / 8
    for row, (center, z) in enumerate(zip(some, noise, strict=True)):
        chosen = near[row].nonzero()[:, 0]
        differences = center - centers[chosen]
        squares[row, chosen] = differences.square().sum(1)
        products[row][:, chosen] = z @ differences.mT
    return squares, products


def _row(
    layer: str, sigma: float, quantity: str, terms: Doubles, ceiling: float, most: float, confidence: float
) -> SigmaRow:
    """Put terms (n, queries), each pass over the inputs independent of the others, into a row."""
    n, queries = terms.shape
    lower, upper = channel_interval(terms, ceiling=ceiling, most=most, risk=(1 - confidence) / 2)
    return SigmaRow(
        layer=layer,
        sigma=sigma,
        quantity=quantity,
        value=min(max(float(terms.mean()), lower), upper),
        standard_error=math.sqrt(float(terms.var(axis=1, ddof=1).sum()) / queries) / n,
        lower=lower,
        upper=upper,
    )


def _certified(row: SigmaRow, bound: float) -> SigmaRow:
    """Return a row of I(X;T) with a bound from below that has no Monte Carlo error."""
    if row.quantity != "I(X;T)" or bound <= row.lower:
        return row
    lower = min(bound, row.upper)
    return dataclasses.replace(row, lower=lower, value=max(row.value, lower))


def _audited(rows: Sequence[SigmaRow], log_n: float) -> list[SigmaRow]:
    """Note what theory rules out beyond the error, and what says nothing."""
    audited = []
    for row in rows:
        more_noise = [one for one in rows if one.quantity == row.quantity and one.sigma > row.sigma]
        notes = [f"below that at sigma = {one.sigma:g}: raise queries" for one in more_noise if one.lower > row.upper]
        if row.quantity == "I(X;T)" and row.value >= log_n - _SATURATED:
            notes.append("saturated at log N: the inputs are told apart, and no more is known")
        audited.append(dataclasses.replace(row, note="; ".join(notes)))
    return audited


def _matrix(layer: str, activations: Array) -> Tensor:
    name = f"activations of layer {layer!r}" if layer else "activations"
    points = as_floats(name, activations).detach()
    if points.ndim == 0 or points.numel() == 0:
        raise ValueError(f"{name}: got shape {tuple(points.shape)}, wanted (n, ...) with n >= 1")
    if not points.isfinite().all():
        raise ValueError(f"{name}: got NaN or infinity, wanted finite numbers")
    return points.double().reshape(len(points), -1)
