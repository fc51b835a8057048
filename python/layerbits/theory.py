"""Bounds on the error of the plug-in entropy and information, in nats. Pure functions of numbers; nothing is estimated.

S has a law P on R^d, Z ~ N(0, sigma^2 I_d), T = S + Z. The plug-in of n samples of S is the entropy of the mixture with
those centers, and its risk is E|plug-in - h(T)|. [T] is Goldfeld, Greenewald and Polyanskiy, Estimating Differential
Entropy under Gaussian Convolutions (arXiv 1810.11589); what is not from there is proved in docs/theory.md.

Everywhere `n` is the number of samples, an int of any size, `dim` is d, and `sigma` is the standard deviation of the
noise. A bound beyond all floats is returned as infinity. TypeError or ValueError name an argument that is out of range.
"""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left
from collections.abc import Callable

import numpy as np
from scipy.special import entr, ndtri, xlog1py

from layerbits._base import check_count, check_positive

_LOG_LARGEST = math.log(np.finfo(np.float64).max)


@dataclasses.dataclass(frozen=True)
class SampleSize:
    """How many samples an accuracy takes; logarithms, for the numbers may lie beyond all floats.

    Attributes
    ----------
    log_samples : float
        Logarithm of a number of samples that is enough for every law on the cube [-1, 1]^d.
    draws : int
        Draws of the noise per sample that are enough for the Monte Carlo integration over that many samples.
    log_least : float
        Logarithm of a number of samples that is needed for some law on the cube; 0 where nothing is known to be needed.
    """

    log_samples: float
    draws: int
    log_least: float

    @property
    def samples(self) -> float:
        """Enough samples, a whole number; infinity beyond all floats."""
        return float(np.rint(_exp(self.log_samples)))

    @property
    def least(self) -> float:
        """Samples needed in the worst case, a whole number; infinity beyond all floats."""
        return float(np.ceil(_exp(self.log_least)))


def information_ceiling(*, dim: int, sigma: float, inputs: int | None = None, mean_square: float = 1.0) -> float:
    """Return min{log N, d/2 log(1 + M / sigma^2)}, the most that I(X;T) can be.

    Parameters
    ----------
    dim, sigma
        See the module.
    inputs : int, optional
        The number N of equally likely inputs; without it only the second term counts.
    mean_square : float
        M, at least the mean of E S_i^2 over the coordinates: 1 for tanh.
    """
    d, deviation = _setting(dim, sigma)
    ceiling = d / 2 * math.log1p(_scale("mean_square", mean_square) / deviation**2)
    return ceiling if inputs is None else min(ceiling, math.log(check_count("inputs", inputs, minimum=1)))


def is_vacuous(bound: float, *, dim: int, sigma: float, inputs: int | None = None, mean_square: float = 1.0) -> bool:
    """Tell whether a bound on the error of an entropy or of I(X;T) says nothing.

    Truth and plug-in both lie between 0 and the `information_ceiling` of the other arguments (for an entropy: above
    h(Z)), so that without a sample it is known that they differ by no more than that.
    """
    if math.isnan(bound):
        raise ValueError("bound: got NaN, wanted a number; infinity is vacuous")
    return bound >= information_ceiling(dim=dim, sigma=sigma, inputs=inputs, mean_square=mean_square)


def monte_carlo_mse_bound(n: int, draws: int, *, dim: int, sigma: float, mean_square: float | None = None) -> float:
    """Bound of [T] on the mean square error of the Monte Carlo integration of the plug-in entropy, in nats^2.

    2 d (2 + sigma^2) / (sigma^2 n n_MC) for S in [-1, 1]^d (tanh). With M = E|S|^2 given, for any S:
    (9 (M + d sigma^2) + 24 sqrt(M (M + d sigma^2)) + 16 M) / (sigma^2 n n_MC). `sharp_mse_bound` is below both.

    Parameters
    ----------
    n, dim, sigma
        See the module.
    draws : int
        Draws of the noise per sample, n_MC.
    mean_square : float, optional
        M / d, the mean of E S_i^2 over the coordinates.
    """
    d, deviation = _setting(dim, sigma)
    total = _total(n, draws)
    if mean_square is None:
        return 2 * d * (2 / deviation**2 + 1) / total
    ratio = _scale("mean_square", mean_square) / deviation**2
    return d * (9 * (ratio + 1) + 24 * math.sqrt(ratio * (ratio + 1)) + 16 * ratio) / total


def sharp_mse_bound(n: int, draws: int, *, dim: int) -> float:
    """Return d / (n n_MC), which bounds the mean square error of the Monte Carlo integration, for any S; in nats^2.

    It is that of the mean of -log g(T) over `draws` independent draws of the noise per sample, n_MC.
    """
    return check_count("dim", dim, minimum=1) / _total(n, draws)


def information_mse_bound(n: int, draws: int, *, dim: int, sigma: float, mean_square: float = 1.0) -> float:
    """Return d min{1, M / sigma^2} / (n n_MC), the bound of `sharp_mse_bound` with the noise as control variate.

    It is that of the mean of log N(T; S, sigma^2 I) - log g(T); in nats^2.

    Parameters
    ----------
    n, dim, sigma
        See the module.
    draws : int
        Independent draws of the noise per sample, n_MC.
    mean_square : float
        M, the mean over coordinates and samples of S_i^2, about any point; at most 1 for tanh.
    """
    d, deviation = _setting(dim, sigma)
    return d * min(1.0, _scale("mean_square", mean_square) / deviation**2) / _total(n, draws)


def plugin_risk_bound(n: int, *, dim: int, sigma: float, slack: float = 0.005) -> float:
    """Bound of [T] on the risk of the plug-in entropy, for S in [-1, 1]^d and n large enough.

    With L = 2 + 2 sigma sqrt((2 + slack) log n) and c = d/2 log(2 pi sigma^2) + d / sigma^2:
    log(n L^d / (pi sigma^2)^(d/2)) L^(d/2) / (2 (4 pi sigma^2)^(d/4) sqrt n)
    + (c^2 + 2 c d (1 + sigma^2) / sigma^2 + 8 d (d + 2 sigma^4 + d sigma^4) / sigma^4) 2 / n.

    [T] says "large enough" and no more. `covering_risk_bound` holds for every n: where it is the smaller of the two,
    this one holds as well, and is of no use but to compare.

    Parameters
    ----------
    n, dim, sigma
        See the module; n >= 2.
    slack : float
        The epsilon of [T], above 0.
    """
    log_n = math.log(check_count("n", n, minimum=2))
    d, deviation = _setting(dim, sigma)
    variance = deviation**2
    side = 2 + 2 * deviation * math.sqrt((2 + check_positive("slack", slack)) * log_n)
    factor = log_n + d * math.log(side) - d / 2 * math.log(math.pi * variance)
    c = d / 2 * math.log(2 * math.pi * variance) + d / variance
    rest = c**2 + 2 * c * d * (1 / variance + 1) + 8 * d * (d / variance**2 + 2 + d)
    root = d / 2 * math.log(side) - d / 4 * math.log(4 * math.pi * variance) - log_n / 2
    return factor / 2 * _exp(root) + _exp(math.log(2 * rest) - log_n)


def subgaussian_risk_bound(n: int, *, dim: int, sigma: float, norm: float) -> float:
    """Bound of [T] on the risk of the plug-in entropy, for sub-Gaussian S and n large enough.

    With K the norm, w = 2 (K + sigma)^2 log n / ((e - 1) pi sigma^2), c = d/2 log(2 pi sigma^2), k = K^2 / sigma^2:
    log(sqrt n (4 w)^(d/4)) w^(d/4) / sqrt n + ((c + 2 d k) (c + 2 d + 6 d k) + 8 (16 d^2 k^2 + 2 d + d^2)) 2 e d / n.
    [T] prints e d / n for the last factor. "Large enough" is as vague as in `plugin_risk_bound`; what holds for every n
    is `subgaussian_covering_risk_bound`.

    Parameters
    ----------
    n, dim, sigma
        See the module; n >= 2.
    norm : float
        K, the largest of E[|S_i|^p]^(1/p) / sqrt(p) over coordinates i and p >= 1, as the moments in the formula have
        it; s sqrt(2 / pi) for N(0, s^2).
    """
    log_n = math.log(check_count("n", n, minimum=2))
    d, deviation = _setting(dim, sigma)
    ratio = _scale("norm", norm) / deviation
    log_w = math.log(2 * (ratio + 1) ** 2 * log_n / ((math.e - 1) * math.pi))
    c, k = d / 2 * math.log(2 * math.pi * deviation**2), ratio**2
    rest = (c + 2 * d * k) * (c + 2 * d + 6 * d * k) + 8 * (16 * (d * k) ** 2 + 2 * d + d**2)
    factor = log_n / 2 + d / 4 * (math.log(4) + log_w)
    return factor * _exp(d / 4 * log_w - log_n / 2) + _exp(math.log(2 * math.e * d * rest) - log_n)


def finite_support_bias_bound(n: int, atoms: int) -> float:
    """Return log(1 + (m - 1) / n): 0 <= h(T) - E[plug-in] <= this, where S takes at most m values.

    Parameters
    ----------
    n
        See the module.
    atoms : int
        m, of any size.
    """
    log_n = math.log(check_count("n", n, minimum=1))
    count = check_count("atoms", atoms, minimum=1)
    return _log1p_exp(math.log(count - 1) - log_n) if count > 1 else 0.0


def fluctuation_bound(n: int) -> float:
    """Return sqrt(n) H_b(1/n) / 2 <= (1 + log n) / (2 sqrt n), H_b the binary entropy.

    For every law of S it bounds the standard deviation of the plug-in entropy over samples.
    """
    return _fluctuation(math.log(check_count("n", n, minimum=1)))


def covering_risk_bound(n: int, *, dim: int, sigma: float, atoms: int | None = None) -> float:
    """Bound on the risk of the plug-in entropy for S in [-1, 1]^d, for every n.

    log(1 + (A - 1) / n) + min{`fluctuation_bound`, d / (sigma^2 sqrt n)}, where A = (k exp(4 / (k sigma)^2))^d with the
    best number k of intervals in which to cut each axis: at most (ceil(2 sqrt 2 / sigma) sqrt e)^d. The first term
    bounds the bias, the second the standard deviation.

    Parameters
    ----------
    n, dim, sigma
        See the module.
    atoms : int, optional
        The number of values that S takes at most; A is not above it.
    """
    d, deviation = _setting(dim, sigma)
    return _covering(math.log(check_count("n", n, minimum=1)), d, deviation, _log_cells(d, deviation, atoms))


def subgaussian_covering_risk_bound(n: int, *, dim: int, sigma: float, norm: float) -> float:
    """Bound on the risk of the plug-in entropy for sub-Gaussian S, for every n.

    With cubes of side s = sigma / sqrt 2, a = e^(d/2) / n and t_j = min{1, d sqrt e exp(-((j - 1) s)^2 / (2 e K^2))}:
    log(1 + (2 J)^d a) + sum_{j > J} t_j log(1 + (2 j)^d a / t_j) + `fluctuation_bound`, with the best J.

    Parameters
    ----------
    n, dim, sigma
        See the module.
    norm : float
        K, as of `subgaussian_risk_bound`.
    """
    log_n = math.log(check_count("n", n, minimum=1))
    d, deviation = _setting(dim, sigma)
    scale = _scale("norm", norm) / deviation * math.sqrt(2)  # in cubes
    # What lies beyond is less than rounding; shells of several cubes where there are very many.
    reach = scale * math.sqrt(2 * math.e * (100 + log_n + d * (1 + math.log1p(scale))))
    width = float(math.ceil(reach / 10_000))
    outer = width * np.arange(1, math.ceil(reach / width) + 1)
    log_cells = d * (np.log(2 * outer) + 0.5) - log_n
    log_mass = np.minimum(0.0, math.log(d) + 0.5 - (outer - width) ** 2 / (2 * math.e * scale**2))
    shells = np.exp(log_mass) * np.logaddexp(0.0, log_cells - log_mass)
    beyond = np.append(np.cumsum(shells[:0:-1])[::-1], 0.0)
    return float(np.min(np.logaddexp(0.0, log_cells) + beyond)) + _fluctuation(log_n)


def information_risk_bound(entropy_risk: float, *, dim: int, sigma: float, n: int | None = None) -> float:
    """Return 2 D + d log(1 + 1 / sigma^2) / (4 sqrt n), a bound on E|I - its plug-in| for S in [-1, 1]^d (tanh).

    Parameters
    ----------
    entropy_risk : float
        D, a bound on the risk of each entropy of which the information is made.
    dim, sigma
        See the module.
    n : int, optional
        The number of inputs over which h(T|X = x) is averaged, where they are a sample; leave it out where the average
        is over all inputs that there are, for the second term is then 0.
    """
    if not entropy_risk >= 0:
        raise ValueError(f"entropy_risk: got {entropy_risk}, wanted a number >= 0, or infinity")
    entropies = 2 * float(entropy_risk)
    ceiling = information_ceiling(dim=dim, sigma=sigma)
    return entropies if n is None else entropies + ceiling / (2 * math.sqrt(check_count("n", n, minimum=1)))


def separable_levels(*, dim: int, sigma: float, confusion: float = 0.01) -> int:
    """Return k* = floor(1 / (sigma Q^-1((1 - (1 - epsilon)^(1/d)) / 2))), Q the upper tail of N(0, 1). Source: [T].

    So many equally spaced levels in each coordinate of [-1, 1]^d make k*^d points which the noise confuses with a
    probability of at most epsilon = `confusion`. Below 2 there is no such lattice.
    """
    d, deviation = _setting(dim, sigma)
    tail = -math.expm1(math.log1p(-_fraction("confusion", confusion)) / d) / 2
    return math.floor(-1 / (deviation * float(ndtri(tail))))


def least_bias(n: int, *, dim: int, sigma: float, confusion: float = 0.01) -> float:
    """Return max{0, d (1 - epsilon) log k* - log n - H_b(epsilon)}: for some law on [-1, 1]^d the bias is no less.

    The bias is h(T) - E[plug-in], the law uniform on the lattice of `separable_levels`. Source: [T].
    """
    log_n = math.log(check_count("n", n, minimum=1))
    return max(0.0, _log_lattice(dim, sigma, confusion) - log_n)


def log_least_samples(bias: float, *, dim: int, sigma: float, confusion: float = 0.01) -> float:
    """Return the logarithm of k*^(d (1 - epsilon)) exp(-bias - H_b(epsilon)), or 0 where that is more.

    With fewer samples, some law on [-1, 1]^d makes the plug-in too small by more than `bias` nats. Source: [T].
    """
    return max(0.0, _log_lattice(dim, sigma, confusion) - check_positive("bias", bias))


def samples_needed(
    error: float, *, dim: int, sigma: float, atoms: int | None = None, monte_carlo_share: float = 0.1
) -> SampleSize:
    """Count the samples, and draws of the noise, for an expected error of the plug-in entropy of at most `error` nats.

    Enough is what `covering_risk_bound` and `sharp_mse_bound` say, for S in [-1, 1]^d; needed in the worst case is what
    `log_least_samples` says.

    Parameters
    ----------
    error : float
        Wanted bound on E|computed plug-in - h(T)|, in nats.
    dim, sigma
        See the module.
    atoms : int, optional
        The number of values that S takes at most. It does not enter `log_least`.
    monte_carlo_share : float
        The part of `error` that is left to the Monte Carlo integration, between 0 and 1.

    Returns
    -------
    SampleSize
        The smallest number of samples that the bound allows; exact up to 2^50, and its logarithm beyond.
    """
    wanted, share = _scale("error", error), _fraction("monte_carlo_share", monte_carlo_share)
    d, deviation = _setting(dim, sigma)
    log_cells = _log_cells(d, deviation, atoms)

    def enough(log_n: float) -> bool:
        return _covering(log_n, d, deviation, log_cells) <= (1 - share) * wanted

    log_samples = _smallest(enough)
    draws = math.ceil(_exp(max(0.0, math.log(d) - 2 * math.log(share * wanted) - log_samples)))
    return SampleSize(log_samples, draws, log_least_samples(wanted, dim=d, sigma=deviation))


def _setting(dim: int, sigma: float) -> tuple[int, float]:
    return check_count("dim", dim, minimum=1), _scale("sigma", sigma)


def _scale(name: str, value: float) -> float:
    number = check_positive(name, value)
    if not 1e-30 <= number <= 1e30:
        raise ValueError(f"{name}: got {value}, wanted a number from 1e-30 to 1e30")
    return number


def _fraction(name: str, value: float) -> float:
    number = check_positive(name, value)
    if number >= 1:
        raise ValueError(f"{name}: got {value}, wanted a number between 0 and 1")
    return number


def _total(n: int, draws: int) -> int:
    return check_count("n", n, minimum=1) * check_count("draws", draws, minimum=1)


def _exp(exponent: float) -> float:
    return math.exp(exponent) if exponent <= _LOG_LARGEST else math.inf


def _log1p_exp(exponent: float) -> float:
    return float(np.logaddexp(0.0, exponent))


def _fluctuation(log_n: float) -> float:
    share = math.exp(-log_n)
    rest = -float(xlog1py(1 - share, -share)) / share if share > 0 else 1.0  # its limit
    return math.exp(-log_n / 2) * (log_n + rest) / 2


def _log_cells(dim: int, sigma: float, atoms: int | None) -> float:
    """Return log A of `covering_risk_bound`."""
    best = math.sqrt(8) / sigma  # log k + 4 / (k sigma)^2 falls until there, then rises
    cells = dim * min(math.log(k) + (2 / (k * sigma)) ** 2 for k in (max(1, math.floor(best)), math.ceil(best)))
    return cells if atoms is None else min(cells, math.log(check_count("atoms", atoms, minimum=1)))


def _covering(log_n: float, dim: int, sigma: float, log_cells: float) -> float:
    log_others = log_cells + math.log(-math.expm1(-log_cells)) if log_cells > 0 else -math.inf  # log(A - 1)
    return _log1p_exp(log_others - log_n) + min(_fluctuation(log_n), _exp(-log_n / 2) * dim / sigma**2)


def _log_lattice(dim: int, sigma: float, confusion: float) -> float:
    """Return the information nats that the lattice of `separable_levels` carries at least."""
    levels = separable_levels(dim=dim, sigma=sigma, confusion=confusion)
    if levels < 2:
        return -math.inf
    return dim * (1 - confusion) * math.log(levels) - float(entr(confusion) + entr(1 - confusion))


def _smallest(enough: Callable[[float], bool]) -> float:
    """Return the logarithm of the smallest n that is enough: exact up to 2^50, in steps of 2^-30 beyond."""
    # A bound falls from n = 4 on; before, the fluctuation still rises.
    for n in (1, 2, 3):
        if enough(math.log(n)):
            return math.log(n)
    counts, steps = range(4, 2**50), range(2**62)
    place = bisect_left(counts, True, key=lambda n: enough(math.log(n)))
    if place < len(counts):
        return math.log(counts[place])
    return bisect_left(steps, True, key=lambda step: enough(math.ldexp(step, -30))) * 2.0**-30
