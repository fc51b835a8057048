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
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import entr, ndtri
from torch import Tensor

from layerbits.checks import check_confidence, check_count, check_positive
from layerbits.entropies import Floats, Integers, JackknifeMean, sample_entropies
from layerbits.gaussian_noise import GaussianNoise
from layerbits.kernels import Array, as_floats, as_tensor
from layerbits.mixture import noise_entropy
from layerbits.noise import NoisyModule
from layerbits.propagation import propagate
from layerbits.randomness import stream
from layerbits.results import InformationRow, InformationTable
from layerbits.subspace import affine_coordinates

ESTIMATORS = ("pooled", "paper")

# An I(X;T) this near to log N says only that the inputs are told apart.
_SATURATED = 1e-3  # nats

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
        noise = noisy.noise[layer]
        signals, limit = [noise.whiten(sample[layer]) for sample in samples], draws
        if not _is_random(signals[0]):
            signals, limit = [sample[:, :1] for sample in signals], max(queries, draws)
        elif draws < 2:
            raise ValueError(f"draws: got {draws}, wanted at least 2, for {layer!r} lies behind noise")
        key = (seed, noisy.layer_names.index(layer))
        measured = _measure_to(wanted, quantile, signals, classes, noise, queries, limit, key)
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


def _measure_to(
    tolerance: float | None,
    quantile: float,
    signals: Sequence[Tensor],
    classes: Integers | None,
    noise: GaussianNoise,
    queries: int,
    limit: int,
    key: tuple[int, int],
) -> dict[str, JackknifeMean]:
    """Estimate every quantity of a layer, with more queries until I(X;T) is known to the tolerance or at the limit.

    Signals are one sample, or two: then the second is for h(T|X) and h(T|Y).
    """
    sigma = noise.sigma
    floor = noise_entropy(signals[0].shape[2], sigma) + noise.log_volume
    centers = [affine_coordinates(one.flatten(0, 1), sigma).view(*one.shape[:2], -1).numpy() for one in signals]
    while True:
        queries = min(queries, limit)
        measured = _measure(centers, classes, sigma, queries, key, floor)
        if tolerance is None or queries == limit or quantile * measured["I(X;T)"].standard_error <= tolerance:
            return measured
        queries *= 2


def _measure(
    centers: Sequence[Floats],
    classes: Integers | None,
    sigma: float,
    queries: int,
    key: tuple[int, int],
    floor: float,
) -> dict[str, JackknifeMean]:
    same = len(centers) == 1
    seed, place = key
    first = sample_entropies(centers[0], classes, sigma, queries, (seed, _QUERY_STREAM, place))
    second = (
        first if same else sample_entropies(centers[1], classes, sigma, queries, (seed, _SECOND_QUERY_STREAM, place))
    )
    measured = {
        "I(X;T)": first.marginal.minus(second.by_input, same_sample=same),
        "h(T)": first.marginal.plus(floor),
        "h(T|X)": second.by_input.plus(floor),
    }
    if classes is not None:
        measured["I(T;Y)"] = first.marginal.minus(second.by_class, same_sample=same)
        measured["I(X;T|Y)"] = second.by_class.minus(second.by_input, same_sample=True)
    return measured


def _floats(signals: Mapping[str, Array]) -> dict[str, Tensor]:
    return {layer: as_floats(f"signals of layer {layer!r}", signal) for layer, signal in signals.items()}


def _is_random(signals: Tensor) -> bool:
    return not torch.equal(signals, signals[:, :1].expand_as(signals))


def _classes(labels: Array, n_inputs: int) -> Integers:
    """Return labels as class numbers 0, 1, ... of shape (n_inputs,)."""
    given = as_tensor("labels", labels)
    if given.is_floating_point() or given.is_complex():
        raise TypeError(f"labels: got dtype {given.dtype}, wanted integers")
    if given.shape != (n_inputs,):
        raise ValueError(f"labels: got shape {tuple(given.shape)}, wanted ({n_inputs},), one for each input")
    numbers: Integers = np.unique(given.numpy(force=True), return_inverse=True)[1]
    return numbers


def _rows(
    layer: str, measured: dict[str, JackknifeMean], estimator: str, quantile: float, draws: int, seconds: float
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
    rows: list[InformationRow], before: InformationRow | None, n_inputs: int, classes: Integers | None, quantile: float
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
