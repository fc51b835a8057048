"""Information between two layers of a noisy network, I(T_k;T_l), from both sides.

Where the input acts on T_l through T_k alone, I(T_k;T_l) = h(T_l) - h(T_l|T_k), both of them means of log densities at
points of T_l, for which passes through the network give estimates. A mixture with the pass of the point in it is too
high on average, a density of other passes too low; one of each kind in the difference makes a bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Doubles, Estimate, Integers, check_confidence, check_count
from layerbits.estimators.decoder_bound import decoders
from layerbits.estimators.log_densities import Queries, mixture_sums, own_sums
from layerbits.estimators.plug_in_bound import JackknifeMean
from layerbits.kernels import NormalStream, as_floats, single_threaded_torch, stream
from layerbits.mixtures import NEGLIGIBLE, fit_subspace
from layerbits.networks import Inputs, NoisyModule, Passes, check_noisy, input_tensors, record, wanted_layers

# Streams of random numbers under one seed.
_ORDER, _POOL, _FIRST, _EMITTED, _GIVEN, _QUERY, _CHOICE = range(7)

# Points by which a density is chosen: enough to see differences that matter, at a fraction of the cost.
_CHOOSING = 1024

# Queries in all at the least: terms are skew, and the Student interval of a few dozens of them covers too little.
_FEWEST = 1024

# Rows of a pass, unless the inputs alone are more.
_TOGETHER = 4096

# Variance over sigma^2 up to which Woodbury's identity is good to 1e-5 nats in float64.
_LARGEST = 1e10


def information_between_layers(
    noisy: NoisyModule,
    inputs: Inputs,
    first: str,
    second: str,
    *,
    draws: int = 32,
    queries: int = 4,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Estimate I(T_k;T_l) of two noisy layers k < l of a chain, for X uniform over the inputs, in nats.

    Parameters
    ----------
    noisy : NoisyModule
        What `noisify` returned.
    inputs : tensor or array of shape (n, ...), or a tuple of them
        The n values of X; a tuple holds the positional arguments of the network.
    first, second : str
        The layers k and l, of ``noisy.layer_names``, in the order data meets them.
    draws : int
        Passes per input that make up the density of T_l, and, unless the layers are neighbours, passes per value of T_k
        that make up the density of T_l given it; at least 2. The interval narrows as it grows.
    queries : int
        Points of T_l per input, each with a value of T_k of its own; at least 2. Few inputs have more, 1024 in all.
    confidence : float
        Level of the interval.
    seed : int
        Seed of all noise.

    Returns
    -------
    Estimate
        `lower` and `upper` enclose the true I(T_k;T_l). `value` is halfway between the bounds, `standard_error` what
        its queries bring, given the densities, and `draws` counts the passes per input.

    Raises
    ------
    NoNoiseError
        `noisy` has no noise, or it is switched off.
    LayerSelectionError
        `first` or `second` is no noisy layer.
    ValueError
        The layers are the same or in the wrong order; the input acts on `second` by another way than through `first`,
        such as a skip connection; signals are not finite; an option is out of range.
    TypeError
        An argument has another type than wanted.

    Notes
    -----
    For densities q of passes without the point t, and mixtures p^ of passes among which is the one that made t,

        E[log q(t|t_k) - log p^(t)] <= I(T_k;T_l) <= E[log p^(t|t_k) - log q(t)],

    since E[-log q(t)] >= h(T_l) by Gibbs' inequality and E[-log p^(t)] = E h(p^) <= h(T_l) by concavity, and so given
    any t_k. Between neighbours both densities given t_k are the exact density of the noise. Which q is taken, queries
    of their own decide. Each end of the interval has half of the risk, by Student's quantile for means over the
    queries of every input; it knows nothing of what happens more rarely than one query in all. Between neighbours the
    lower bound cannot exceed log(n (draws + queries)).
    """
    check_count("draws", draws, least=2)
    check_count("queries", queries, least=2)
    check_count("seed", seed, least=0)
    level = check_confidence(confidence)
    risk = (1 - level) / 2
    n_inputs = _check_chain(noisy, inputs, first, second, seed)
    emitting, noise = noisy.noise[first], noisy.noise[second]
    neighbours = noisy.layer_names.index(second) == noisy.layer_names.index(first) + 1
    given_draws = 1 if neighbours else draws
    queries = max(queries, -(-_FEWEST // n_inputs))
    asked = queries + max(1, queries // 4)  # those beyond `queries` choose densities, and serve for nothing else

    def signals(some: Inputs, layer: str, draws: int, *key: int, given: Mapping[str, Tensor] | None = None) -> Tensor:
        own_seed = int(stream(seed, *key).integers(2**62))
        passes = Passes((layer,), range(draws), own_seed, emitted=given or {})
        found = record(noisy, input_tensors(some, noisy), passes)
        return as_floats(f"signals of layer {layer!r}", found[layer])

    pool = noise.whiten(signals(inputs, second, draws, _POOL))
    emitted = signals(inputs, first, asked, _FIRST)
    normal = NormalStream(seed, _EMITTED).like(emitted)
    emitted = emitting.add(emitted.flatten(0, 1), normal.flatten(0, 1)).view_as(emitted)
    parts: list[Tensor] = []
    for some in torch.split(emitted, max(1, _TOGETHER // n_inputs), dim=1):
        repeated = _rows(inputs, np.arange(n_inputs).repeat(some.shape[1]))
        found = signals(repeated, second, given_draws, _GIVEN, len(parts), given={first: some.flatten(0, 1)})
        parts.append(noise.whiten(found).view(n_inputs, some.shape[1], given_draws, -1))
    given = torch.cat(parts, 1)
    # What is across the subspace of all is noise alone, of which I knows nothing.
    subspace = fit_subspace(torch.cat([pool.flatten(0, 1), given.flatten(0, 2)]), noise.sigma)
    draws_of_all, draws_given = (subspace.coordinates(some)[0] for some in (pool, given))
    bases = draws_given[:, :, 0].contiguous()
    points = Queries.around(bases, noise.sigma, NormalStream(seed, _QUERY).like(bases))

    with single_threaded_torch():
        known, fresh = _surprisals(points, draws_of_all, noise.sigma, queries, stream(seed, _CHOICE))
        known_given, fresh_given = _surprisals_given(points, draws_given[:, :, 1:], noise.sigma, queries)
    low_terms, high_terms = known - fresh_given, fresh - known_given
    if low_terms.mean() < 0:
        low_terms = np.zeros_like(low_terms)  # I >= 0 says more
    value, low, high = map(JackknifeMean.of_terms, ((low_terms + high_terms) / 2, low_terms, high_terms))
    return Estimate(
        value=max(0.0, value.value),
        standard_error=value.standard_error,
        lower=max(0.0, low.value - low.margin(risk)),
        upper=max(0.0, high.value + high.margin(risk)),
        confidence=level,
        draws=draws + asked * (1 + given_draws),
    )


def _check_chain(noisy: NoisyModule, inputs: Inputs, first: str, second: str, seed: int) -> int:
    """Return the number of inputs; raise unless the input acts on `second`, which comes later, through `first` alone.

    It does so where the signals of `second` stay when `first` emits the same, later noise is the same, inputs change
    places and earlier layers emit zeros. A move of mean square r^2 tells at most r^2 / (2 sigma^2) nats, the capacity
    of a Gaussian channel of that power, and passes for rounding where that is negligible.
    """
    check_noisy(noisy)
    plain = record(noisy, input_tensors(inputs, noisy), Passes(noisy.layer_names, range(1), seed))
    wanted = wanted_layers(noisy, [first, second])
    if first == second:
        raise ValueError(f"second: got {second!r} as for `first`, wanted a later layer, for I(T;T) is infinite")
    if wanted[0] == second:
        raise ValueError(f"first: got {first!r}, which comes after {second!r}; swap them, for I is symmetric")
    earlier = noisy.layer_names[: noisy.layer_names.index(first)]
    same = {first: plain[first][:, 0]}
    moved = _rows(inputs, _moved(len(same[first]), stream(seed, _ORDER)))
    noise = noisy.noise[second]

    def signal(some: Inputs, given: Mapping[str, Tensor]) -> Tensor:
        found = record(noisy, input_tensors(some, noisy), Passes((second,), range(1), seed, emitted=given))[second]
        return noise.whiten(found).double()

    change = signal(moved, same | {layer: 0 * plain[layer][:, 0] for layer in earlier}) - signal(inputs, same)
    if float(change.square().sum(-1).mean()) / (2 * noise.sigma**2) > NEGLIGIBLE:
        raise ValueError(
            f"first: got {first!r}, but the input acts on {second!r} by another way too, such as a skip connection, so "
            "that the two are no chain; choose a layer through which all of it goes"
        )
    return len(change)


def _moved(n: int, random: np.random.Generator) -> Integers:
    """Return a random permutation that leaves nothing in its place; a plain one often does, of few inputs."""
    order = random.permutation(n)
    moved = np.empty_like(order)
    moved[order] = np.roll(order, 1)
    return moved


def _rows(inputs: Inputs, rows: Integers) -> Inputs:
    if isinstance(inputs, tuple):
        return tuple(one[rows] for one in inputs)  # type: ignore[return-value]
    return inputs[rows]


def _surprisals(
    points: Queries, pool: Tensor, sigma: float, queries: int, order: np.random.Generator
) -> tuple[Doubles, Doubles]:
    """Surprisals (n, queries), from the pool (n, r, d) and the bases, and from the pool alone."""
    (n_inputs, asked), draws = points.shape, pool.shape[1]
    chosen = np.sort(order.permutation(n_inputs)[: -(-_CHOOSING // (asked - queries))])  # inputs have an order
    trial, final = points.of_passes(slice(queries, None)).of_inputs(chosen), points.of_passes(slice(queries))

    def mixture(some: Queries) -> Doubles:
        log_sums = mixture_sums(some, pool, None, sigma)[0]
        return some.noise - log_sums + math.log(n_inputs * draws)

    densities = [mixture, *(lambda some, one=one: one.surprisals(some).marginal for one in decoders(pool, None, sigma))]
    best = min(densities, key=lambda density: float(density(trial).mean()))
    plain = mixture(final)
    of_bases = mixture_sums(final, final.bases, None, sigma)[0]
    log_sums = np.logaddexp(final.noise - plain + math.log(n_inputs * draws), of_bases)
    known = final.noise - log_sums + math.log(n_inputs * (draws + queries))
    return known, plain if best is mixture else best(final)


def _surprisals_given(points: Queries, others: Tensor, sigma: float, queries: int) -> tuple[Doubles, Doubles]:
    """Surprisals (n, queries) given T_k, from the base and the other draws (n, asked, r, d), and from the others."""
    (n_inputs, asked), draws, dim = points.shape, *others.shape[2:]
    if not draws:
        exact = np.zeros((n_inputs, queries))
        return exact, exact
    places, bases = (one.reshape(-1, 1, dim) for one in (points.points, points.bases))
    each = Queries(places, bases, points.noise.reshape(-1, 1), np.arange(n_inputs * asked))
    mine = others.reshape(-1, draws, dim)
    noise, log_sums = each.noise, own_sums(each, mine, 1, sigma)[0]
    known = noise - np.logaddexp(noise, log_sums) + math.log(draws + 1)
    fresh = [noise - log_sums + math.log(draws), noise - _gaussian_log_density(each.points[:, 0], mine, sigma)[:, None]]
    known, *fresh = (one.reshape(n_inputs, asked) for one in (known, *fresh))
    best = min(fresh, key=lambda some: float(some[:, queries:].mean()))
    return known[:, :queries], best[:, :queries]


def _gaussian_log_density(points: Tensor, draws: Tensor, sigma: float) -> Doubles:
    """Log density at points (m, d) of Gaussians fitted to draws (m, r, d): covariance times 1 + 1/r, and noise.

    It lacks the term -d/2 log(2 pi sigma^2).
    """
    r = draws.shape[1]
    mean = draws.double().mean(1, keepdim=True)
    spread = (draws - mean) * (math.sqrt((1 + 1 / r) / max(1, r - 1)) / sigma)
    if spread.square().sum((1, 2)).max() > _LARGEST:
        return np.full(len(points), -math.inf)
    offset = (points[:, None] - mean).mT / sigma
    # Covariance over sigma^2 is I + spread' spread; its inverse by Woodbury's identity, in r rows however large d is.
    root = torch.linalg.cholesky(torch.eye(r, dtype=torch.float64, device=draws.device) + spread @ spread.mT)
    explained = torch.linalg.solve_triangular(root, spread @ offset, upper=False)
    squares = offset.square().sum((1, 2)) - explained.square().sum((1, 2))
    log_density: Doubles = (-squares / 2 - root.diagonal(dim1=1, dim2=2).log().sum(1)).numpy(force=True)
    return log_density
