"""Log densities of T_l given T_k at queries: of a mixture that holds the query, and of other passes alone."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Doubles
from layerbits.estimators.log_densities import Queries, own_log_sums

# Largest variance over sigma^2 for which Woodbury's identity is good to 1e-5 nats in float64.
_MAX_VARIANCE = 1e10


def conditional_log_densities(queries: Queries, signals: Tensor, evaluated: int) -> tuple[Doubles, Doubles]:
    """Return log densities (n, evaluated): of the mixture of a query's base and `signals`, and of `signals` alone.

    `signals` (n, q, m, d) are signals given the T_k of each query. With m = 0, the density of T_l given T_k is that of
    the noise. The density of `signals` alone is a mixture or a Gaussian, chosen by the queries after the first
    `evaluated`.
    """
    (n_inputs, n_queries), n_draws, dim = queries.shape, *signals.shape[2:]
    if not n_draws:
        exact = np.zeros((n_inputs, evaluated))
        return exact, exact
    points, bases = (tensor.reshape(-1, 1, dim) for tensor in (queries.points, queries.bases))
    noise = queries.noise.reshape(-1, 1)
    pairs = Queries(points, bases, queries.sigma, noise, np.arange(n_inputs * n_queries))
    draws = signals.reshape(-1, n_draws, dim)
    log_sums = own_log_sums(pairs, draws, parts=1)[0]
    with_base = np.logaddexp(noise, log_sums) - math.log(n_draws + 1) - noise
    mixture = log_sums - math.log(n_draws) - noise
    gaussian = _gaussian_log_density(points[:, 0], draws, queries.sigma)[:, None] - noise
    with_base, mixture, gaussian = (values.reshape(queries.shape) for values in (with_base, mixture, gaussian))
    best = max((mixture, gaussian), key=lambda log_density: float(log_density[:, evaluated:].mean()))
    return with_base[:, :evaluated], best[:, :evaluated]


def _gaussian_log_density(points: Tensor, draws: Tensor, sigma: float) -> Doubles:
    """Return log densities at points (m, d) of Gaussians fitted to draws (m, r, d), without -d/2 log(2 pi sigma^2).

    The covariance is that of the draws times 1 + 1/r, plus that of the noise.
    """
    r = draws.shape[1]
    mean = draws.double().mean(1, keepdim=True)
    spread = (draws - mean) * (math.sqrt((1 + 1 / r) / max(1, r - 1)) / sigma)
    if spread.square().sum((1, 2)).max() > _MAX_VARIANCE:
        return np.full(len(points), -math.inf)
    offset = (points[:, None] - mean).mT / sigma
    # The covariance over sigma^2 is I + spread' spread; Woodbury's identity inverts it in r rows, however large d is.
    root = torch.linalg.cholesky(torch.eye(r, dtype=torch.float64, device=draws.device) + spread @ spread.mT)
    explained = torch.linalg.solve_triangular(root, spread @ offset, upper=False)
    squares = offset.square().sum((1, 2)) - explained.square().sum((1, 2))
    log_density: Doubles = (-squares / 2 - root.diagonal(dim1=1, dim2=2).log().sum(1)).numpy(force=True)
    return log_density
