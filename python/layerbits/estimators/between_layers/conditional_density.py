"""Log densities of T_l given T_k at queries, from a mixture that holds the query's own signal and from other passes."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Doubles, log_add_exp
from layerbits.estimators.diagonal_gaussians import dropout_variances
from layerbits.estimators.log_densities import Queries, own_log_sums

# Largest variance over that of the noise for which Woodbury's identity is accurate to 1e-5 nats in float64.
_MAX_VARIANCE = 1e10


def conditional_log_densities(queries: Queries, signals: Tensor, evaluated: int) -> tuple[Doubles, Doubles]:
    """Return log p^(t|t_k) and log q(t|t_k) at all queries of each input, (n, q).

    Both are relative to the log density of the query's noise. `signals` (n, q, m, d) are signals of T_l given the T_k
    of each query. p^ is the mixture of the query's own signal and of `signals`; q is a mixture or a Gaussian of
    `signals` alone, chosen by the queries of an input after the first `evaluated` ones. With m = 0, both are the
    density of the noise.
    """
    n_inputs, n_queries, n_draws, dim = signals.shape
    if not n_draws:
        exact = np.zeros((n_inputs, n_queries))
        return exact, exact
    points, bases = (tensor.reshape(-1, 1, dim) for tensor in (queries.points, queries.bases))
    noise = queries.noise_log_density.reshape(-1, 1)
    # Each query has its own draws, so it takes the place of an input with a single query.
    indices = np.arange(n_inputs * n_queries)
    single_queries = Queries(points, bases, queries.sigma, noise, indices, alpha=queries.alpha)
    draws = signals.reshape(-1, n_draws, dim)
    log_sums = own_log_sums(single_queries, draws, parts=1)[0]
    log_p = log_add_exp(noise, log_sums) - math.log(n_draws + 1) - noise
    mixture = log_sums - math.log(n_draws) - noise
    gaussian = _gaussian_log_density(points[:, 0], draws, queries.sigma, queries.alpha)[:, None] - noise
    log_p, mixture, gaussian = (log_density.reshape(queries.shape) for log_density in (log_p, mixture, gaussian))
    log_q = max((mixture, gaussian), key=lambda log_density: float(log_density[:, evaluated:].mean()))
    return log_p, log_q


def _gaussian_log_density(points: Tensor, draws: Tensor, sigma: float, alpha: float) -> Doubles:
    """Return log densities at points (m, d) of Gaussians fitted to draws (m, r, d), without -d/2 log(2 pi sigma^2).

    The covariance is 1 + 1/r times the covariance of the draws, plus the covariance of the noise, which with `alpha` is
    the mean of those of the draws.
    """
    r = draws.shape[1]
    mean = draws.double().mean(1, keepdim=True)
    deviations = mean.new_full((1, 1, 1), sigma)  # standard deviations of the noise
    if alpha:
        deviations = dropout_variances(draws, sigma, alpha).mean(1, keepdim=True).sqrt()
    spread = (draws - mean) * math.sqrt((1 + 1 / r) / max(1, r - 1)) / deviations
    if spread.square().sum((1, 2)).max() > _MAX_VARIANCE:
        return np.full(len(points), -math.inf)
    offset = ((points[:, None] - mean) / deviations).mT
    # In units of the noise the covariance is I + spread^T spread; Woodbury's identity inverts r x r matrices for any d.
    root = torch.linalg.cholesky(torch.eye(r, dtype=torch.float64, device=draws.device) + spread @ spread.mT)
    explained = torch.linalg.solve_triangular(root, spread @ offset, upper=False)
    squares = offset.square().sum((1, 2)) - explained.square().sum((1, 2))
    log_volumes = root.diagonal(dim1=1, dim2=2).log().sum(1) + (deviations / sigma).log().sum((1, 2))
    log_density: Doubles = (-squares / 2 - log_volumes).numpy(force=True)
    return log_density
