"""Information between two layers of a noisy network, I(T_k;T_l), from both sides.

Where the input acts on T_l through T_k alone, I(T_k;T_l) = h(T_l) - h(T_l|T_k), both of them means of log densities at
points of T_l, for which passes through the network give estimates. A mixture with the pass of the point in it is too
high on average, a density of other passes too low; one of each kind in the difference makes a bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import stdtrit
from torch import Tensor

from layerbits.checks import check_confidence, check_count
from layerbits.kernels import Array, as_floats, as_sigma, log_sum_exp
from layerbits.noise import NoisyModule
from layerbits.propagation import propagate, wanted_layers
from layerbits.randomness import standard_normal, stream
from layerbits.results import Estimate
from layerbits.subspace import NEGLIGIBLE, affine_coordinates

Inputs = Tensor | tuple[Tensor, ...] | npt.NDArray[Any] | tuple[npt.NDArray[Any], ...]

# Streams of random numbers under one seed.
_ORDER, _POOL, _FIRST, _EMITTED, _GIVEN, _QUERY = range(6)

# Points by which a density is chosen: enough to see differences that matter, at a fraction of the cost.
_CHOOSING = 1024

# Queries in all at the least: terms are skew, and the Student interval of a few dozens of them covers too little.
_FEWEST = 1024

# Rows of a pass, unless the inputs alone are more.
_TOGETHER = 4096

# Variance over sigma^2 up to which Woodbury's identity is good to 1e-5 nats in float64.
_LARGEST = 1e10

# Kernels at the draws are widened by these shares of the covariance within inputs.
_WIDENINGS = (0.1, 0.3)


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
        `low` and `high` enclose the true I(T_k;T_l). `value` is halfway between the two bounds, `standard_error` what
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
    any t_k. Between neighbours both densities given t_k are the exact N(t; s_l, sigma^2 I). How wide the kernels of q
    are, queries of their own decide. Each end of the interval has half of the risk, by Student's quantile for means
    over the queries of every input; it knows nothing of what happens more rarely than one query in all. Between
    neighbours the lower bound cannot exceed log(n (draws + queries)).
    """
    check_count("draws", draws, least=2)
    check_count("queries", queries, least=2)
    check_count("seed", seed, least=0)
    level = check_confidence(confidence)
    risk = (1 - level) / 2
    n_inputs = _check_chain(noisy, inputs, first, second, seed)
    first_sigma = second_sigma = noisy.sigma
    neighbours = noisy.layer_names.index(second) == noisy.layer_names.index(first) + 1
    given_draws = 1 if neighbours else draws
    queries = max(queries, -(-_FEWEST // n_inputs))
    asked = queries + max(1, queries // 4)  # those beyond `queries` choose densities, and serve for nothing else

    def signals(some: Inputs, layer: str, draws: int, *key: int, given: Mapping[str, Tensor] | None = None) -> Tensor:
        own_seed = int(stream(seed, *key).integers(2**62))
        found = propagate(noisy, some, draws=draws, seed=own_seed, layers=layer, given=given)
        return as_floats(f"signals of layer {layer!r}", found[layer])

    pool = signals(inputs, second, draws, _POOL)
    emitted = signals(inputs, first, asked, _FIRST)
    emitted = emitted + first_sigma * standard_normal(emitted.shape, stream(seed, _EMITTED), emitted.dtype)
    parts: list[Tensor] = []
    for some in torch.split(emitted, max(1, _TOGETHER // n_inputs), dim=1):
        repeated = _rows(inputs, np.arange(n_inputs).repeat(some.shape[1]))
        found = signals(repeated, second, given_draws, _GIVEN, len(parts), given={first: some.flatten(0, 1)})
        parts.append(found.view(n_inputs, some.shape[1], given_draws, -1))
    pool, given = _affine_coordinates(pool, torch.cat(parts, 1), second_sigma)
    drawn = given[:, :, 0]
    points = drawn + second_sigma * standard_normal(drawn.shape, stream(seed, _QUERY), drawn.dtype)

    known_given, fresh_given = _log_densities_given(points, given, second_sigma, queries)
    known, fresh = _log_densities(points, drawn, pool, second_sigma, queries)
    low_terms, high_terms = fresh_given - known, known_given - fresh
    if low_terms.mean() < 0:
        low_terms = torch.zeros_like(low_terms)  # I >= 0 says more
    value, error, _ = _mean((low_terms + high_terms) / 2, risk)
    low, _, below = _mean(low_terms, risk)
    high, _, above = _mean(high_terms, risk)
    return Estimate(
        value=max(0.0, value),
        standard_error=error,
        low=max(0.0, low - below),
        high=max(0.0, high + above),
        confidence=level,
        draws=draws + asked * (1 + given_draws),
    )


def _check_chain(noisy: NoisyModule, inputs: Inputs, first: str, second: str, seed: int) -> int:
    """Return the number of inputs; raise unless the input acts on `second`, which comes later, through `first` alone.

    It does so where the signals of `second` stay when `first` emits the same, later noise is the same, inputs change
    places and earlier layers emit zeros. A move of mean square r^2 tells at most r^2 / (2 sigma^2) nats, the capacity
    of a Gaussian channel of that power, and passes for rounding where that is negligible.
    """
    plain = propagate(noisy, inputs, draws=1, seed=seed)
    wanted = wanted_layers(noisy, [first, second])
    if first == second:
        raise ValueError(f"second: got {second!r} as for `first`, wanted a later layer, for I(T;T) is infinite")
    if wanted[0] == second:
        raise ValueError(f"first: got {first!r}, which comes after {second!r}; swap them, for I is symmetric")
    earlier = noisy.layer_names[: noisy.layer_names.index(first)]
    same = {first: plain[first][:, 0]}
    moved = _rows(inputs, stream(seed, _ORDER).permutation(len(same[first])))

    def signal(some: Inputs, given: Mapping[str, Array]) -> Tensor:
        return torch.as_tensor(propagate(noisy, some, draws=1, seed=seed, layers=second, given=given)[second]).double()

    change = signal(moved, same | {layer: 0 * plain[layer][:, 0] for layer in earlier}) - signal(inputs, same)
    if float(change.square().sum(-1).mean()) / (2 * noisy.sigma**2) > NEGLIGIBLE:
        raise ValueError(
            f"first: got {first!r}, but the input acts on {second!r} by another way too, such as a skip connection, so "
            "that the two are no chain; choose a layer through which all of it goes"
        )
    return len(change)


def _rows(inputs: Inputs, rows: npt.NDArray[np.int64]) -> Inputs:
    if isinstance(inputs, tuple):
        return tuple(one[rows] for one in inputs)  # type: ignore[return-value]
    return inputs[rows]


def _affine_coordinates(pool: Tensor, given: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Return both in coordinates of one subspace: what is across is noise alone, of which I knows nothing."""
    centers = affine_coordinates(torch.cat([pool.flatten(0, 1), given.flatten(0, 2)]), sigma)[0]
    pooled = pool[..., 0].numel()
    return centers[:pooled].view(*pool.shape[:-1], -1), centers[pooled:].view(*given.shape[:-1], -1)


# Log densities lack the term -d/2 log(2 pi sigma^2), which all of them have.


def _log_densities_given(points: Tensor, given: Tensor, sigma: float, queries: int) -> tuple[Tensor, Tensor]:
    """Log density (n, queries) of each point given T_k, from all draws given it, and from all but the point's own."""
    n_inputs, asked, draws, _ = given.shape
    # From the points as they were rounded, as the sums are.
    own = -((points.double() - given[:, :, 0].double()) / sigma).square().sum(-1) / 2
    if draws == 1:
        return own[:, :queries], own[:, :queries]
    others, offsets = given[:, :, 1:], torch.arange(n_inputs * asked + 1)
    log_sums = log_sum_exp(
        points.flatten(0, 1),
        others.flatten(0, 2),
        as_sigma(sigma),
        point_offsets=offsets,
        center_offsets=offsets * (draws - 1),
    ).view(n_inputs, asked)
    candidates = (log_sums - math.log(draws - 1), _gaussian_log_density(points, others, sigma))
    fresh = max(candidates, key=lambda some: float(some[:, queries:].mean()))
    return (torch.logaddexp(own, log_sums) - math.log(draws))[:, :queries], fresh[:, :queries]


def _gaussian_log_density(points: Tensor, draws: Tensor, sigma: float) -> Tensor:
    """Log density at points (..., d) of a Gaussian fitted to draws (..., r, d): covariance times 1 + 1/r, and noise."""
    r = draws.shape[-2]
    mean = draws.double().mean(-2, keepdim=True)
    spread = (draws.double() - mean) * (math.sqrt((1 + 1 / r) / max(1, r - 1)) / sigma)
    if float(spread.square().sum((-2, -1)).max()) > _LARGEST:
        return torch.full_like(points[..., 0], -math.inf, dtype=torch.float64)
    offset = (points.double().unsqueeze(-2) - mean).mT / sigma
    # Covariance over sigma^2 is I + spread' spread; its inverse by Woodbury's identity, in r rows however large d is.
    root = torch.linalg.cholesky(torch.eye(r, dtype=torch.float64) + spread @ spread.mT)
    explained = torch.linalg.solve_triangular(root, spread @ offset, upper=False)
    squares = offset.square().sum((-2, -1)) - explained.square().sum((-2, -1))
    log_density: Tensor = -squares / 2 - root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return log_density


def _log_densities(points: Tensor, drawn: Tensor, pool: Tensor, sigma: float, queries: int) -> tuple[Tensor, Tensor]:
    """Log density (n, queries) of each point, from the pool and what was drawn, and from the pool alone."""
    n_inputs, draws, _ = pool.shape
    means = pool.double().mean(1)
    spread = (pool.double() - means[:, None]).flatten(0, 1) / sigma
    powers, axes = torch.linalg.eigh(spread.T @ spread / (n_inputs * (draws - 1)))
    draw_centers = pool.flatten(0, 1)
    mixtures = [(draw_centers, 0.0), *((draw_centers, share) for share in _WIDENINGS), (means.to(pool), 1 + 1 / draws)]

    def log_density(some: Tensor, centers: Tensor, share: float) -> Tensor:
        """Under kernels of covariance sigma^2 (I + share * that within inputs)."""
        widths = (1 + share * powers.clamp(min=0)).sqrt()
        if share:
            some, centers = ((part.double() @ (axes / widths)).to(part) for part in (some, centers))
        return log_sum_exp(some, centers, as_sigma(sigma)) - math.log(len(centers)) - float(widths.log().sum())

    choosing = points[:, queries:].flatten(0, 1)
    choosing = choosing[:: -(-len(choosing) // _CHOOSING)]
    best = max(mixtures, key=lambda mixture: float(log_density(choosing, *mixture).mean()))
    asked, drawn = points[:, :queries].flatten(0, 1), drawn[:, :queries].flatten(0, 1)
    plain = log_density(asked, *mixtures[0])
    fresh = plain if best is mixtures[0] else log_density(asked, *best)
    log_sums = torch.logaddexp(plain + math.log(len(draw_centers)), log_sum_exp(asked, drawn, as_sigma(sigma)))
    known = log_sums - math.log(len(draw_centers) + len(drawn))
    return known.view(n_inputs, queries), fresh.view(n_inputs, queries)


def _mean(terms: Tensor, risk: float) -> tuple[float, float, float]:
    """Return the mean of terms (n, queries), its standard error, and by how much the truth exceeds it with that risk.

    Terms of an input count as independent. Those of a mixture that holds their draws are so to first order: what a draw
    adds to p^ changes the mean of log p^ by the integral of p (p^ - p) / p = 0.
    """
    n_inputs, queries = terms.shape
    variances = terms.var(1) / (queries * n_inputs**2)
    error = float(variances.sum().sqrt())
    # Welch and Satterthwaite's, for Student's quantile.
    freedom = (queries - 1) * error**4 / float(variances.square().sum()) if error else math.inf
    return float(terms.mean()), error, float(stdtrit(freedom, 1 - risk)) * error
