"""Numbers of samples that are sufficient, and numbers that are necessary, for an error of the plug-in entropy."""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left
from collections.abc import Callable

import numpy as np
from scipy.special import entr, ndtri

from layerbits._base import check_fraction, check_positive
from layerbits.theory.checks import check_scale, check_setting, check_size
from layerbits.theory.covering_risk import covering_risk_of_log, log_covering_number
from layerbits.theory.exponentials import exp


@dataclasses.dataclass(frozen=True)
class SampleSize:
    """Numbers of samples for an error, as logarithms because the numbers may be too large for a float.

    Attributes
    ----------
    log_samples : float
        Logarithm of a number of samples that suffices for every law on the cube [-1, 1]^d; with `atoms`, for every law
        of at most that many values.
    draws : int
        Number of noise vectors for each of these samples that suffices for the Monte Carlo integration.
    log_necessary : float
        Logarithm of a number of samples that is necessary for some law on the cube; 0 if no lower bound is known.

    Examples
    --------
    >>> import layerbits as lb
    >>> size = lb.theory.samples_needed(0.1, dim=1, sigma=1.0)
    >>> size.necessary <= size.samples
    True
    """

    log_samples: float
    draws: int
    log_necessary: float

    @property
    def samples(self) -> float:
        """The sufficient number of samples, a whole number; infinity if it is too large for a float."""
        return float(np.rint(exp(self.log_samples)))

    @property
    def necessary(self) -> float:
        """The necessary number of samples in the worst case, a whole number; infinity if too large for a float."""
        return float(np.ceil(exp(self.log_necessary)))


def separable_levels(*, dim: int, sigma: float, confusion: float = 0.01) -> int:
    """Compute k* = floor(1 / (sigma Q^-1((1 - (1 - epsilon)^(1/d)) / 2))), Q the upper tail of N(0, 1).

    With k* equally spaced levels in each coordinate of [-1, 1]^d, the noise confuses points of the lattice of k*^d
    points with probability at most epsilon = `confusion`. There is no such lattice if k* is below 2. Source: [T].

    Examples
    --------
    >>> import layerbits as lb
    >>> lb.theory.separable_levels(dim=5, sigma=0.1)
    3
    """
    dim, sigma = check_setting(dim, sigma)
    tail = -math.expm1(math.log1p(-check_fraction("confusion", confusion)) / dim) / 2
    return math.floor(-1 / (sigma * float(ndtri(tail))))


def worst_case_bias(n: int, *, dim: int, sigma: float, confusion: float = 0.01) -> float:
    """Compute max{0, d (1 - epsilon) log k* - log n - H_b(epsilon)}, a lower bound on the worst-case bias, in nats.

    The bias is h(T) - E[plug-in]. The bias for the uniform law on the lattice of `separable_levels` in [-1, 1]^d is at
    least this bound. Source: [T].

    Examples
    --------
    >>> import layerbits as lb
    >>> round(lb.theory.worst_case_bias(20, dim=5, sigma=0.1), 4)
    2.3864
    """
    log_n = math.log(check_size("n", n, minimum=1))
    return max(0.0, _lattice_information(dim, sigma, confusion) - log_n)


def log_necessary_samples(bias: float, *, dim: int, sigma: float, confusion: float = 0.01) -> float:
    """Compute the logarithm of max{1, k*^(d (1 - epsilon)) exp(-bias - H_b(epsilon))}.

    With fewer samples, the plug-in is too small by more than `bias` nats in expectation for some law on [-1, 1]^d.
    Source: [T].

    Examples
    --------
    >>> import layerbits as lb
    >>> lb.theory.log_necessary_samples(0.1, dim=128, sigma=0.1) > 80  # more than 10^34 samples
    True
    """
    return max(0.0, _lattice_information(dim, sigma, confusion) - check_positive("bias", bias))


def samples_needed(
    error: float, *, dim: int, sigma: float, atoms: int | None = None, monte_carlo_share: float = 0.1
) -> SampleSize:
    """Compute the numbers of samples, and of noise vectors per sample, for an expected error of at most `error` nats.

    `covering_risk_bound` and `sharp_mse_bound` give the sufficient numbers, for S in [-1, 1]^d, and
    `log_necessary_samples` the number that is necessary in the worst case.

    Parameters
    ----------
    error : float
        Upper bound on E|computed plug-in - h(T)|, in nats.
    dim, sigma
        See `layerbits.theory`.
    atoms : int, optional
        An upper bound on the number of values of S, without effect on `log_necessary`.
    monte_carlo_share : float
        The part of `error` that is reserved for the Monte Carlo integration, between 0 and 1.

    Returns
    -------
    SampleSize
        The smallest number of samples that satisfies the bound, up to rounding; the logarithm of a number above 2^50 is
        found to 2^-30.

    Examples
    --------
    >>> import layerbits as lb
    >>> lb.theory.samples_needed(0.1, dim=3, sigma=0.005, atoms=4096).samples
    60425.0
    """
    check_fraction("monte_carlo_share", monte_carlo_share)
    error, share = check_scale("error", error), check_scale("monte_carlo_share", monte_carlo_share)
    dim, sigma = check_setting(dim, sigma)
    log_number = log_covering_number(dim, sigma, atoms)

    def is_sufficient(log_n: float) -> bool:
        return covering_risk_of_log(log_n, dim, sigma, log_number) <= (1 - share) * error

    log_samples = _smallest_log_n(is_sufficient)
    draws = math.ceil(exp(max(0.0, math.log(dim) - 2 * math.log(share * error) - log_samples)))
    return SampleSize(log_samples, draws, log_necessary_samples(error, dim=dim, sigma=sigma))


def _lattice_information(dim: int, sigma: float, confusion: float) -> float:
    """Compute a lower bound, in nats, on I(S;T) for S uniform on the lattice of `separable_levels`."""
    confusion = check_fraction("confusion", confusion)
    levels = separable_levels(dim=dim, sigma=sigma, confusion=confusion)
    if levels < 2:
        return -math.inf
    return dim * (1 - confusion) * math.log(levels) - float(entr(confusion) + entr(1 - confusion))


def _smallest_log_n(is_sufficient: Callable[[float], bool]) -> float:
    """Find the logarithm of the smallest sufficient n, among all n below 2^50 and then in steps of 2^-30."""
    # The bound is decreasing from n = 4 on; for smaller n the fluctuation still grows.
    for n in (1, 2, 3):
        if is_sufficient(math.log(n)):
            return math.log(n)
    counts, steps = range(4, 2**50), range(2**62)
    index = bisect_left(counts, True, key=lambda n: is_sufficient(math.log(n)))
    if index < len(counts):
        return math.log(counts[index])
    return bisect_left(steps, True, key=lambda step: is_sufficient(math.ldexp(step, -30))) * 2.0**-30
