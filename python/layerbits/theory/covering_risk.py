"""Bounds on bias, fluctuation and risk of the plug-in that hold for every n; docs/theory.md has the proofs."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import xlog1py

from layerbits.theory.checks import check_scale, check_setting, check_size
from layerbits.theory.exponentials import exp, log1p_exp


def finite_support_bias_bound(n: int, atoms: int) -> float:
    """Compute log(1 + (m - 1) / n), a bound on the bias h(T) - E[plug-in] >= 0 if S takes at most m values, in nats.

    Parameters
    ----------
    n
        See `layerbits.theory`.
    atoms : int
        m, at least 1.

    Examples
    --------
    >>> import layerbits as lb
    >>> round(lb.theory.finite_support_bias_bound(1, 2), 6)
    0.693147
    """
    log_n = math.log(check_size("n", n, minimum=1))
    atoms = check_size("atoms", atoms, minimum=1)
    return log1p_exp(math.log(atoms - 1) - log_n) if atoms > 1 else 0.0


def fluctuation_bound(n: int) -> float:
    """Compute sqrt(n) H_b(1/n) / 2 <= (1 + log n) / (2 sqrt n), where H_b is the binary entropy, in nats.

    The standard deviation of the plug-in entropy over samples is at most this bound, for every law of S.

    Examples
    --------
    >>> import layerbits as lb
    >>> round(lb.theory.fluctuation_bound(10_000), 4)
    0.0511
    """
    return _fluctuation(math.log(check_size("n", n, minimum=1)))


def covering_risk_bound(n: int, *, dim: int, sigma: float, atoms: int | None = None) -> float:
    """Bound the risk of the plug-in entropy for S in [-1, 1]^d and every n, in nats.

    The bound is log(1 + (A - 1) / n) + min{`fluctuation_bound`, d / (sigma^2 sqrt n)}: the first term bounds the bias,
    the second the standard deviation. A = (k exp(4 / (k sigma)^2))^d, at most (ceil(2 sqrt 2 / sigma) sqrt e)^d, with
    each axis cut into the number k of intervals that gives the smallest A.

    Parameters
    ----------
    n, dim, sigma
        See `layerbits.theory`.
    atoms : int, optional
        An upper bound on the number of values of S, which then also bounds A.

    Examples
    --------
    >>> import layerbits as lb
    >>> lb.theory.covering_risk_bound(10**9, dim=5, sigma=1.0) < 0.002
    True
    """
    dim, sigma = check_setting(dim, sigma)
    log_n = math.log(check_size("n", n, minimum=1))
    return covering_risk_of_log(log_n, dim, sigma, log_covering_number(dim, sigma, atoms))


def subgaussian_covering_risk_bound(n: int, *, dim: int, sigma: float, norm: float) -> float:
    """Bound the risk of the plug-in entropy for sub-Gaussian S and every n, in nats.

    With cubes of side s = sigma / sqrt 2, a = e^(d/2) / n and t_j = min{1, d sqrt e exp(-((j - 1) s)^2 / (2 e K^2))},
    the bound is log(1 + (2 J)^d a) + sum_{j > J} t_j log(1 + (2 j)^d a / t_j) + `fluctuation_bound`, for the best J.
    If K is many cubes wide, shells of several cubes take the place of shells of one cube.

    Parameters
    ----------
    n, dim, sigma
        See `layerbits.theory`.
    norm : float
        K, as for `subgaussian_risk_bound`.

    Examples
    --------
    >>> import layerbits as lb
    >>> lb.theory.subgaussian_covering_risk_bound(10**6, dim=1, sigma=1.0, norm=0.8) < 0.01
    True
    """
    log_n = math.log(check_size("n", n, minimum=1))
    dim, sigma = check_setting(dim, sigma)
    norm_in_cubes = check_scale("norm", norm) / sigma * math.sqrt(2)
    # The terms beyond `reach` cubes are below rounding. If `reach` is large, a shell is several cubes thick.
    reach = norm_in_cubes * math.sqrt(2 * math.e * (100 + log_n + dim * (1 + math.log1p(norm_in_cubes))))
    thickness = float(math.ceil(reach / 10_000))
    radii = thickness * np.arange(1, math.ceil(reach / thickness) + 1)
    log_cells = dim * (np.log(2 * radii) + 0.5) - log_n
    log_tails = np.minimum(0.0, math.log(dim) + 0.5 - (radii - thickness) ** 2 / (2 * math.e * norm_in_cubes**2))
    shells = np.exp(log_tails) * np.logaddexp(0.0, log_cells - log_tails)
    sums_beyond = np.append(np.cumsum(shells[:0:-1])[::-1], 0.0)
    return float(np.min(np.logaddexp(0.0, log_cells) + sums_beyond)) + _fluctuation(log_n)


def log_covering_number(dim: int, sigma: float, atoms: int | None) -> float:
    """Compute log A of `covering_risk_bound`."""
    real_minimizer = math.sqrt(8) / sigma  # minimizer of log k + 4 / (k sigma)^2 over real k
    candidates = max(1, math.floor(real_minimizer)), math.ceil(real_minimizer)
    log_number = dim * min(math.log(k) + (2 / (k * sigma)) ** 2 for k in candidates)
    return log_number if atoms is None else min(log_number, math.log(check_size("atoms", atoms, minimum=1)))


def covering_risk_of_log(log_n: float, dim: int, sigma: float, log_number: float) -> float:
    """Compute `covering_risk_bound` from log n and log A."""
    log_number_less_one = log_number + math.log(-math.expm1(-log_number)) if log_number > 0 else -math.inf
    return log1p_exp(log_number_less_one - log_n) + min(_fluctuation(log_n), exp(-log_n / 2) * dim / sigma**2)


def _fluctuation(log_n: float) -> float:
    probability = math.exp(-log_n)
    # H_b(p) / p = -log p - (1 - p) log(1 - p) / p, and the last term tends to 1 as p falls to 0.
    remainder = -float(xlog1py(1 - probability, -probability)) / probability if probability > 0 else 1.0
    return math.exp(-log_n / 2) * (log_n + remainder) / 2
