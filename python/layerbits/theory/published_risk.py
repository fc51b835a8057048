"""The bounds of [T] on the risk of the plug-in.

The bounds on the risk of an entropy hold for n large enough; [T] gives no threshold. The bounds in
`layerbits.theory.covering_risk` hold for every n.
"""

from __future__ import annotations

import math

from layerbits._base import check_positive, check_real
from layerbits.theory.checks import check_scale, check_setting, check_size
from layerbits.theory.exponentials import exp
from layerbits.theory.limits import information_ceiling


def plugin_risk_bound(n: int, *, dim: int, sigma: float, slack: float = 0.005) -> float:
    """Compute the bound of [T] on the risk of the plug-in entropy for S in [-1, 1]^d and n large enough, in nats.

    With L = 2 + 2 sigma sqrt((2 + slack) log n) and c = d/2 log(2 pi sigma^2) + d / sigma^2, the bound is
    log(n L^d / (pi sigma^2)^(d/2)) L^(d/2) / (2 (4 pi sigma^2)^(d/4) sqrt n)
    + (c^2 + 2 c d (1 + sigma^2) / sigma^2 + 8 d (d + 2 sigma^4 + d sigma^4) / sigma^4) 2 / n.

    `covering_risk_bound` holds for every n, and proves the bound of [T] if it is smaller.

    Parameters
    ----------
    n, dim, sigma
        See `layerbits.theory`; n >= 2.
    slack : float
        The epsilon of [T], positive.

    Examples
    --------
    >>> import layerbits as lb
    >>> round(lb.theory.plugin_risk_bound(10**9, dim=5, sigma=1.0), 4)  # table I of [T]
    0.0179
    """
    log_n = math.log(check_size("n", n, minimum=2))
    dim, sigma = check_setting(dim, sigma)
    variance = sigma**2
    log_side = math.log(2 + 2 * sigma * math.sqrt((2 + check_positive("slack", slack)) * log_n))
    logarithm = log_n + dim * log_side - dim / 2 * math.log(math.pi * variance)
    log_factor = dim / 2 * log_side - dim / 4 * math.log(4 * math.pi * variance) - log_n / 2
    c = dim / 2 * math.log(2 * math.pi * variance) + dim / variance
    polynomial = c**2 + 2 * c * dim * (1 / variance + 1) + 8 * dim * (dim / variance**2 + 2 + dim)
    return logarithm / 2 * exp(log_factor) + exp(math.log(2 * polynomial) - log_n)


def subgaussian_risk_bound(n: int, *, dim: int, sigma: float, norm: float) -> float:
    """Compute the bound of [T] on the risk of the plug-in entropy for sub-Gaussian S, with one factor doubled, in nats.

    With K the norm, w = 2 (K + sigma)^2 log n / ((e - 1) pi sigma^2), c = d/2 log(2 pi sigma^2) and k = K^2 / sigma^2,
    the bound is log(sqrt n (4 w)^(d/4)) w^(d/4) / sqrt n
    + ((c + 2 d k) (c + 2 d + 6 d k) + 8 (16 d^2 k^2 + 2 d + d^2)) 2 e d / n.
    The last factor in [T] is e d / n; docs/theory.md has the reason to double it. The bound holds for n large enough,
    `subgaussian_covering_risk_bound` for every n.

    Parameters
    ----------
    n, dim, sigma
        See `layerbits.theory`; n >= 2.
    norm : float
        K, the maximum of E[|S_i|^p]^(1/p) / sqrt(p) over coordinates i and p >= 1, a definition inferred from the
        moments in the formula; s sqrt(2 / pi) for N(0, s^2).

    Examples
    --------
    >>> import layerbits as lb
    >>> lb.theory.subgaussian_risk_bound(10**12, dim=1, sigma=1.0, norm=0.8) < 0.01
    True
    """
    log_n = math.log(check_size("n", n, minimum=2))
    dim, sigma = check_setting(dim, sigma)
    ratio = check_scale("norm", norm) / sigma
    log_w = math.log(2 * (ratio + 1) ** 2 * log_n / ((math.e - 1) * math.pi))
    c, k = dim / 2 * math.log(2 * math.pi * sigma**2), ratio**2
    polynomial = (c + 2 * dim * k) * (c + 2 * dim + 6 * dim * k) + 8 * (16 * (dim * k) ** 2 + 2 * dim + dim**2)
    logarithm = log_n / 2 + dim / 4 * (math.log(4) + log_w)
    return logarithm * exp(dim / 4 * log_w - log_n / 2) + exp(math.log(2 * math.e * dim * polynomial) - log_n)


def information_risk_bound(entropy_risk: float, *, dim: int, sigma: float, n: int | None = None) -> float:
    """Compute 2 D + d log(1 + 1 / sigma^2) / (4 sqrt n), a bound on E|I - its plug-in| for S in [-1, 1]^d, in nats.

    Source: [T].

    Parameters
    ----------
    entropy_risk : float
        D, a bound on the risk of each entropy in the difference h(T) - h(T|X).
    dim, sigma
        See `layerbits.theory`.
    n : int, optional
        The number of inputs over which h(T|X = x) is averaged, if they are a sample. None if the average is over all
        inputs: the second term is then 0.

    Examples
    --------
    >>> import layerbits as lb
    >>> lb.theory.information_risk_bound(0.1, dim=2, sigma=1.0)
    0.2
    """
    entropy_risk = check_real("entropy_risk", entropy_risk, wanted="a number >= 0, or infinity")
    if not entropy_risk >= 0:
        raise ValueError(f"entropy_risk: got {entropy_risk}, wanted a number >= 0, or infinity")
    entropy_risks = 2 * entropy_risk
    ceiling = information_ceiling(dim=dim, sigma=sigma)
    if n is None:
        return entropy_risks
    return entropy_risks + ceiling / 2 * math.exp(-math.log(check_size("n", n, minimum=1)) / 2)
