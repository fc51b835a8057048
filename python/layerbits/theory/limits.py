"""The ceiling of the information of a noisy layer, and a test of whether a bound on an error reaches the ceiling."""

from __future__ import annotations

import math

from layerbits._base import check_real
from layerbits.theory.checks import check_scale, check_setting, check_size


def information_ceiling(*, dim: int, sigma: float, inputs: int | None = None, mean_square: float = 1.0) -> float:
    """Compute min{log N, d/2 log(1 + M / sigma^2)}, an upper bound on I(X;T), in nats.

    Parameters
    ----------
    dim, sigma
        See `layerbits.theory`.
    inputs : int, optional
        The number N of equally likely inputs; without it the ceiling is the second term.
    mean_square : float
        M, the mean over coordinates of E S_i^2, or an upper bound on M: 1 for tanh.

    Examples
    --------
    >>> import layerbits as lb
    >>> round(lb.theory.information_ceiling(dim=1, sigma=1.0), 4)
    0.3466
    """
    dim, sigma = check_setting(dim, sigma)
    ceiling = dim / 2 * math.log1p(check_scale("mean_square", mean_square) / sigma**2)
    return ceiling if inputs is None else min(ceiling, math.log(check_size("inputs", inputs, minimum=1)))


def is_vacuous(bound: float, *, dim: int, sigma: float, inputs: int | None = None, mean_square: float = 1.0) -> bool:
    """Return whether a bound on the error of an entropy or of I(X;T) is at least the `information_ceiling`.

    Such a bound says nothing: I(X;T) and its plug-in both lie between 0 and the ceiling, and h(T) and its plug-in lie
    in an interval of the same length above h(Z). For entropies, `inputs` requires that S is a function of X.

    Parameters
    ----------
    bound : float
        The bound, in nats; it may be infinite.
    dim, sigma, inputs
        As for `information_ceiling`.
    mean_square : float
        An upper bound on the mean over coordinates of S_i^2, for the law of S and for the samples: 1 for tanh.

    Examples
    --------
    >>> import layerbits as lb
    >>> lb.theory.is_vacuous(lb.theory.plugin_risk_bound(4096, dim=3, sigma=0.005), dim=3, sigma=0.005)
    True
    """
    bound = check_real("bound", bound, wanted="a number or infinity")
    if math.isnan(bound):
        raise ValueError("bound: got NaN, wanted a number or infinity")
    return bound >= information_ceiling(dim=dim, sigma=sigma, inputs=inputs, mean_square=mean_square)
