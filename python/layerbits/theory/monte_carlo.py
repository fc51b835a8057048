"""Bounds on the mean square error of the Monte Carlo integration of the plug-in, in nats^2."""

from __future__ import annotations

import math

from layerbits.theory.checks import check_dim, check_scale, check_setting, check_size


def monte_carlo_mse_bound(n: int, draws: int, *, dim: int, sigma: float, mean_square: float | None = None) -> float:
    """Compute a bound in the form of [T] on the mean square error of the integration of the plug-in entropy, in nats^2.

    For S in [-1, 1]^d (tanh) the bound is that of [T], 2 d (2 + sigma^2) / (sigma^2 n n_MC). For any S, with
    M = E|S|^2, it is (9 (M + d sigma^2) + 24 sqrt(M (M + d sigma^2)) + 16 M) / (sigma^2 n n_MC), in place of a bound of
    [T] whose proof has a gap for large M. `sharp_mse_bound` is below both.

    Parameters
    ----------
    n, dim, sigma
        See `layerbits.theory`.
    draws : int
        Number of independent noise vectors for each center (sample), n_MC.
    mean_square : float, optional
        M / d, the mean over coordinates of E S_i^2; None for S in [-1, 1]^d.

    Examples
    --------
    >>> import layerbits as lb
    >>> lb.theory.monte_carlo_mse_bound(10, 5, dim=3, sigma=0.5)
    1.08
    """
    dim, sigma = check_setting(dim, sigma)
    total_draws = _count_draws(n, draws)
    if mean_square is None:
        return 2 * dim * (2 / sigma**2 + 1) / total_draws
    ratio = check_scale("mean_square", mean_square) / sigma**2
    return dim * (9 * (ratio + 1) + 24 * math.sqrt(ratio * (ratio + 1)) + 16 * ratio) / total_draws


def sharp_mse_bound(n: int, draws: int, *, dim: int) -> float:
    """Compute d / (n n_MC), a bound on the mean square error of the integration for any S, in nats^2.

    The error is that of the mean of -log g(T) over `draws` (n_MC) independent noise vectors for each center, where g is
    the density of the plug-in mixture.

    Examples
    --------
    >>> import layerbits as lb
    >>> lb.theory.sharp_mse_bound(10, 5, dim=3)
    0.06
    """
    return check_dim(dim) / _count_draws(n, draws)


def information_mse_bound(n: int, draws: int, *, dim: int, sigma: float, mean_square: float = 1.0) -> float:
    """Compute d min{1, M / sigma^2} / (n n_MC), the bound of `sharp_mse_bound` with a control variate, in nats^2.

    The control variate is the log density of the noise: the error is that of the mean of
    log N(T; S, sigma^2 I) - log g(T), where g is the density of the plug-in mixture.

    Parameters
    ----------
    n, dim, sigma
        See `layerbits.theory`.
    draws : int
        Number of independent noise vectors for each center (sample), n_MC.
    mean_square : float
        M, the mean over coordinates and samples of (S_i - c_i)^2 for any point c; at most 1 for tanh.

    Examples
    --------
    >>> import layerbits as lb
    >>> lb.theory.information_mse_bound(10, 5, dim=3, sigma=2.0)
    0.015
    """
    dim, sigma = check_setting(dim, sigma)
    return dim * min(1.0, check_scale("mean_square", mean_square) / sigma**2) / _count_draws(n, draws)


def _count_draws(n: int, draws: int) -> float:
    """Return the number of all draws; infinity if it is too large for a float."""
    count = check_size("n", n, minimum=1) * check_size("draws", draws, minimum=1)
    return float(count) if count < 2**1023 else math.inf
