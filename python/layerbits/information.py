"""Information of every layer of a noisy network: the sample-propagation estimator.

For N inputs and r noisy passes of each, the signals s_ij of a layer give p(t|x_i) = mean_j N(t; s_ij, sigma^2 I) and
p(t) = mean_i p(t|x_i). Queries t = s_ij + z are shared by both entropies, and the squared length of z cancels from
every quantity (control variate). At r = 1, for layers behind no noise, p(t|x) is exact.

The estimate of I(X;T) is an upper bound in expectation: I is convex in the channel, and p(t|x) is unbiased. It falls to
I(X;T) as r grows. Source: Goldfeld et al., Estimating Information Flow in Deep Neural Networks (ICML 2019).
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import entr, ndtri
from torch import Tensor

from layerbits.checks import check_confidence, check_count, check_positive
from layerbits.kernels import Array, as_floats, as_sigma, as_tensor, log_sum_exp
from layerbits.mixture import noise_entropy
from layerbits.noise import NoisyModule
from layerbits.propagation import propagate
from layerbits.randomness import fill_standard_normal, stream
from layerbits.results import InformationRow, InformationTable
from layerbits.subspace import affine_coordinates

_Floats = npt.NDArray[Any]  # float32 or float64
_Doubles = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]

ESTIMATORS = ("pooled", "paper")

# An I(X;T) this near to log N says only that the inputs are told apart.
_SATURATED = 1e-3  # nats

# Of the parts of an input's draws, one left out must leave two: one alone says nothing of how p(t|x) varies. With
# fewer, inputs are left out instead, which can only overstate the error: they are not drawn, and differ by themselves.
_FEWEST = 3

# More parts than this would refine the error of the error only, at a cost that grows with them.
_MOST = 8

# Streams of random numbers under one seed; the keys of propagate are triples.
_QUERY_STREAM, _SECOND_QUERY_STREAM, _SECOND_SEED_STREAM = 1, 2, 3


def layer_information(
    noisy: NoisyModule,
    inputs: Tensor | tuple[Tensor, ...] | npt.NDArray[Any] | tuple[npt.NDArray[Any], ...],
    labels: Array | None = None,
    *,
    layers: str | Sequence[str] | None = None,
    draws: int = 32,
    queries: int = 4,
    tolerance: float | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    estimator: str = "pooled",
) -> InformationTable:
    """Estimate I(X;T), h(T) and h(T|X) of every noisy layer, for X uniform over the inputs, in nats.

    Parameters
    ----------
    noisy : NoisyModule
        What `noisify` returned.
    inputs : tensor or array of shape (n, ...), or a tuple of them
        The N = n values of X; a tuple holds the positional arguments of the network.
    labels : integer tensor or array of shape (n,), optional
        Classes Y, a function of X; adds I(T;Y) and I(X;T|Y).
    layers : str or sequence of str, optional
        Which of ``noisy.layer_names``; all by default.
    draws : int
        Noisy passes per input, r; at least 2 behind noise. The bias upwards falls with it; layers behind no noise need
        and take one.
    queries : int
        Points per input at which the densities are compared; at least 2, at most `draws` of them behind noise.
    tolerance : float, optional
        Half width in nats of the interval for I(X;T): queries are doubled up to `draws` until it is reached; a note
        says when they ended first. It concerns the Monte Carlo error, not the bias of finite `draws`.
    confidence : float
        Level of the interval from `lower` to `upper`.
    seed : int
        Seed of all noise.
    estimator : {"pooled", "paper"}
        "paper" takes separate samples for h(T) and h(T|X), as the paper does; "pooled" the same ones, with less
        variance.

    Returns
    -------
    InformationTable
        A row for each layer and quantity. Notes flag saturation at log N, and audits that fail beyond the error:
        0 <= I(X;T) <= log N, I(X;T) not above that of the layer before, I(T;Y) <= H(Y).

    Raises
    ------
    NoNoiseError
        `noisy` has no noise, or it is switched off: I(X;T) is then log N or infinite.
    LayerSelectionError
        `layers` names no noisy layer.
    TypeError, ValueError
        An argument has another type, shape or value than wanted; signals are not finite.

    Notes
    -----
    Standard errors are jackknives over the draws of each input, each left out with the query that it carries, so that
    what queries share through common draws is accounted for. The interval is that of a normal mean: it is too short
    with fewer than some hundred queries in all, and it knows nothing of confusions rarer than one query in all.
    """
    check_options(
        draws=draws, queries=queries, tolerance=tolerance, confidence=confidence, seed=seed, estimator=estimator
    )
    level, wanted = float(confidence), None if tolerance is None else float(tolerance)

    passes = max(2, draws)  # two show whether a layer lies behind noise
    seeds = [seed] if estimator == "pooled" else [seed, int(stream(seed, _SECOND_SEED_STREAM).integers(2**62))]
    samples = [_floats(propagate(noisy, inputs, draws=passes, seed=one, layers=layers)) for one in seeds]
    classes = None if labels is None else _classes(labels, len(next(iter(samples[0].values()))))
    quantile = float(ndtri(0.5 + level / 2))
    rows: list[InformationRow] = []
    before: InformationRow | None = None
    for layer in samples[0]:
        started = time.perf_counter()
        signals, limit = [sample[layer] for sample in samples], draws
        if not _is_random(signals[0]):
            signals, limit = [sample[:, :1] for sample in signals], max(queries, draws)
        elif draws < 2:
            raise ValueError(f"draws: got {draws}, wanted at least 2, for {layer!r} lies behind noise")
        key = (seed, noisy.layer_names.index(layer))
        measured = _measure_to(wanted, quantile, signals, classes, noisy.sigma, queries, limit, key)
        n_inputs, r, _ = signals[0].shape
        found = _rows(layer, measured, estimator, quantile, r, time.perf_counter() - started)
        found = _audited(found, before, n_inputs, classes, quantile)
        if wanted is not None and quantile * found[0].standard_error > wanted:
            found[0] = _with_note(found[0], f"tolerance {wanted:g} not reached with all draws as queries")
        before = found[0]
        rows += found
    return InformationTable(tuple(rows))


def check_options(
    *, draws: int, queries: int, tolerance: float | None, confidence: float, seed: int, estimator: str
) -> None:
    """Raise the TypeError or ValueError that `layer_information` would raise for its options."""
    check_count("draws", draws, least=1)
    check_count("queries", queries, least=2)
    if tolerance is not None:
        check_positive("tolerance", tolerance)
    check_confidence(confidence)
    check_count("seed", seed, least=0)
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator: got {estimator!r}, wanted one of {', '.join(ESTIMATORS)}")


@dataclasses.dataclass(frozen=True)
class _Estimate:
    """A mean over inputs and queries, and its jackknife replicates (n_inputs, queries), a part of an input left out."""

    value: float
    replicates: tuple[_Doubles, ...]  # one array for each independent sample that the value is made of

    def plus(self, constant: float) -> _Estimate:
        """Return the mean shifted by a constant."""
        return dataclasses.replace(self, value=self.value + constant)

    def minus(self, other: _Estimate, *, same_sample: bool) -> _Estimate:
        """Return the difference of two means, of one sample or of two independent ones."""
        if same_sample:
            pairs = zip(self.replicates, other.replicates, strict=True)
            return _Estimate(self.value - other.value, tuple(a - b for a, b in pairs))
        return _Estimate(self.value - other.value, self.replicates + other.replicates)

    @property
    def standard_error(self) -> float:
        return math.sqrt(sum(_jackknife_variance(sample) for sample in self.replicates))


def _jackknife_variance(replicates: _Doubles) -> float:
    n_inputs, queries = replicates.shape
    return float(np.var(replicates, axis=1).sum() * (queries - 1) / n_inputs**2)


@dataclasses.dataclass(frozen=True)
class _Entropies:
    """h(T), h(T|Y) and h(T|X), from one sample, each minus the entropy of the noise."""

    marginal: _Estimate
    by_class: _Estimate
    by_input: _Estimate


def _measure_to(
    tolerance: float | None,
    quantile: float,
    signals: Sequence[Tensor],
    classes: _Integers | None,
    sigma: float,
    queries: int,
    limit: int,
    key: tuple[int, int],
) -> dict[str, _Estimate]:
    """Estimate every quantity of a layer, with more queries until I(X;T) is known to the tolerance or at the limit.

    Signals are one sample, or two: then the second is for h(T|X) and h(T|Y).
    """
    noise = noise_entropy(signals[0].shape[2], sigma)
    centers = [affine_coordinates(one.flatten(0, 1), sigma).view(*one.shape[:2], -1).numpy() for one in signals]
    while True:
        queries = min(queries, limit)
        measured = _measure(centers, classes, sigma, queries, key, noise)
        if tolerance is None or queries == limit or quantile * measured["I(X;T)"].standard_error <= tolerance:
            return measured
        queries *= 2


def _measure(
    centers: Sequence[_Floats],
    classes: _Integers | None,
    sigma: float,
    queries: int,
    key: tuple[int, int],
    noise: float,
) -> dict[str, _Estimate]:
    same = len(centers) == 1
    seed, place = key
    first = _entropies(centers[0], classes, sigma, queries, (seed, _QUERY_STREAM, place))
    second = first if same else _entropies(centers[1], classes, sigma, queries, (seed, _SECOND_QUERY_STREAM, place))
    measured = {
        "I(X;T)": first.marginal.minus(second.by_input, same_sample=same),
        "h(T)": first.marginal.plus(noise),
        "h(T|X)": second.by_input.plus(noise),
    }
    if classes is not None:
        measured["I(T;Y)"] = first.marginal.minus(second.by_class, same_sample=same)
        measured["I(X;T|Y)"] = second.by_class.minus(second.by_input, same_sample=True)
    return measured


def _entropies(
    centers: _Floats, classes: _Integers | None, sigma: float, queries: int, key: tuple[int, int, int]
) -> _Entropies:
    """Compare the densities p(t), p(t|y) and p(t|x) at `queries` points of every input.

    Queries start from draws evenly apart. The draws of an input form parts, one for each query or group of queries;
    leaving out a part with its queries gives the replicates. A single draw, which is exact, is one part that all
    queries share.
    """
    # In NumPy: for arrays of this size torch's threads cost more than they bring, most of all on a busy machine.
    n_inputs, draws, _ = centers.shape
    starts = [q * draws // queries for q in range(queries)]
    n_parts = min(queries, _MOST) if draws > 1 else 1
    cuts = [part * queries // n_parts for part in range(n_parts + 1)]  # of the queries
    parts = [starts[cut] for cut in cuts[:-1]] + [draws]  # of the draws
    bases = centers[:, starts]
    points = np.empty(bases.shape, bases.dtype)
    fill_standard_normal(points, stream(*key))
    points *= sigma
    points += bases
    # From the points as they were rounded, so that it cancels against the same term of the sums.
    own_term = -np.square((points - bases.astype(np.float64)) / sigma).sum(-1) / 2

    own_parts = _own_log_sums(points, centers, parts, sigma)  # (part, n_inputs, query)
    own = np.logaddexp.reduce(own_parts)
    pooled, in_class, class_sizes = _class_log_sums(points, centers, classes, sigma)

    def entropy(log_sum: _Doubles, members: _Doubles | float) -> _Estimate:
        """Return the mean of own_term - log density, of a mixture of `members` inputs that holds the query's own."""
        terms = own_term - log_sum + np.log(members * draws)
        if draws == 1:
            return _Estimate(float(terms.mean()), (_means_of_others(terms),))
        if queries < _FEWEST:
            return _Estimate(float(terms.mean()), (_means_of_others(terms.mean(1)[None]),))
        # Of a part that is left out: what the draws of each part weigh then, and the queries that are still asked.
        weights = (1 - np.eye(n_parts)) * draws / (draws - np.diff(parts))[:, None]
        asked = np.ones((n_parts, queries), bool)
        for part, (first, last) in enumerate(pairwise(cuts)):
            asked[part, first:last] = False
        # An input keeps its weight in the mixture when a part of its draws is left out: the rest weighs more. What is
        # left of the density does not vanish, for the query's own draw is in the rest.
        others = -np.expm1(np.minimum(own - log_sum, 0))
        left = others + np.tensordot(weights, np.exp(own_parts - log_sum), 1)
        logs = np.log(left, where=asked[:, None], out=np.zeros_like(left))
        means = np.where(asked[:, None], terms - logs, 0).sum(2) / asked.sum(1)[:, None]
        return _Estimate(float(terms.mean()), (means.T,))

    return _Entropies(
        marginal=entropy(pooled, n_inputs), by_class=entropy(in_class, class_sizes), by_input=entropy(own, 1)
    )


def _means_of_others(values: _Doubles) -> _Doubles:
    """Return the mean of each row of (n, k) without the value in question, shape (n, k)."""
    means: _Doubles = (values.sum(1, keepdims=True) - values) / (values.shape[1] - 1)
    return means


def _own_log_sums(points: _Floats, centers: _Floats, parts: Sequence[int], sigma: float) -> _Doubles:
    """Log-sums of every query over each part of its input's draws, shape (part, n_inputs, query)."""
    n_inputs, queries, dim = points.shape
    n_parts, draws = len(parts) - 1, centers.shape[1]
    first = np.arange(n_inputs)[:, None] * draws + np.asarray(parts[:-1])
    log_sums = log_sum_exp(
        torch.from_numpy(np.repeat(points, n_parts, axis=0).reshape(-1, dim)),
        torch.from_numpy(centers.reshape(-1, dim)),
        as_sigma(sigma),
        point_offsets=torch.arange(n_inputs * n_parts + 1) * queries,
        center_offsets=torch.from_numpy(np.append(first, n_inputs * draws)),
    )
    return np.ascontiguousarray(log_sums.numpy().reshape(n_inputs, n_parts, queries).swapaxes(0, 1))


def _class_log_sums(
    points: _Floats, centers: _Floats, classes: _Integers | None, sigma: float
) -> tuple[_Doubles, _Doubles, _Doubles | float]:
    """Log-sums of every query over all centers and over those of its class, each (n_inputs, queries); class sizes.

    The sum over all is put together from the classes, so that labels cost no pair more.
    """
    n_inputs, queries, dim = points.shape
    flat = torch.from_numpy(points.reshape(-1, dim))

    def over(some: _Floats) -> _Doubles:
        found: _Doubles = log_sum_exp(flat, torch.from_numpy(some.reshape(-1, dim)), as_sigma(sigma)).numpy()
        return found.reshape(n_inputs, queries)

    if classes is None:
        pooled = over(centers)
        return pooled, pooled, n_inputs
    pooled = np.full((n_inputs, queries), -np.inf)
    in_class = np.empty_like(pooled)
    for one in range(len(sizes := np.bincount(classes))):
        mine = classes == one
        log_sums = over(centers[mine])
        pooled = np.logaddexp(pooled, log_sums)
        in_class[mine] = log_sums[mine]
    return pooled, in_class, sizes[classes][:, None].astype(np.float64)


def _floats(signals: Mapping[str, Array]) -> dict[str, Tensor]:
    return {layer: as_floats(f"signals of layer {layer!r}", signal) for layer, signal in signals.items()}


def _is_random(signals: Tensor) -> bool:
    return not torch.equal(signals, signals[:, :1].expand_as(signals))


def _classes(labels: Array, n_inputs: int) -> _Integers:
    """Return labels as class numbers 0, 1, ... of shape (n_inputs,)."""
    given = as_tensor("labels", labels)
    if given.is_floating_point() or given.is_complex():
        raise TypeError(f"labels: got dtype {given.dtype}, wanted integers")
    if given.shape != (n_inputs,):
        raise ValueError(f"labels: got shape {tuple(given.shape)}, wanted ({n_inputs},), one for each input")
    numbers: _Integers = np.unique(given.numpy(force=True), return_inverse=True)[1]
    return numbers


def _rows(
    layer: str, measured: dict[str, _Estimate], estimator: str, quantile: float, draws: int, seconds: float
) -> list[InformationRow]:
    return [
        InformationRow(
            layer=layer,
            quantity=quantity,
            estimator=estimator,
            value=estimate.value,
            standard_error=estimate.standard_error,
            lower=estimate.value - quantile * estimate.standard_error,
            upper=estimate.value + quantile * estimate.standard_error,
            unit="nats",
            draws=draws,
            seconds=seconds,
        )
        for quantity, estimate in measured.items()
    ]


def _audited(
    rows: list[InformationRow], before: InformationRow | None, n_inputs: int, classes: _Integers | None, quantile: float
) -> list[InformationRow]:
    """Note what theory rules out beyond the error, and what says nothing."""
    ceilings = {"I(X;T)": math.log(n_inputs), "I(X;T|Y)": math.log(n_inputs)}
    if classes is not None:
        ceilings["I(T;Y)"] = float(entr(np.bincount(classes) / n_inputs).sum())
    audited = []
    for row in rows:
        margin = quantile * row.standard_error + _SATURATED
        ceiling = ceilings.get(row.quantity, math.inf)
        if row.quantity == "I(X;T)" and ceiling - row.lower <= _SATURATED < ceiling:
            row = _with_note(row, "saturated at log N: the inputs are told apart, and no more is known")
        if row.value > ceiling + margin:
            row = _with_note(row, f"above its ceiling {ceiling:.4f}: raise draws or queries")
        if row.quantity.startswith("I") and row.value < -margin:
            row = _with_note(row, "below 0: raise draws or queries")
        if row.quantity == "I(X;T)" and before is not None:
            apart = quantile * math.hypot(row.standard_error, before.standard_error)
            if row.value - before.value > apart + _SATURATED:
                row = _with_note(row, f"above {before.layer!r} before it: raise draws, or the layers are no chain")
        audited.append(row)
    return audited


def _with_note(row: InformationRow, note: str) -> InformationRow:
    return dataclasses.replace(row, note="; ".join(filter(None, (row.note, note))))
