"""The information of a channel whose noise grows with the signal: given x, T ~ N(s, diag(alpha^2 s^2 + sigma^2)).

S is one of n signals of equal weights; a mean over tokens has a complex signal (`dropout_signals`). Each signal has its
own covariance, so whitening and the reduction of dimension do not apply, and the pairwise bounds differ from those of
one covariance. All sums are computed in units of sigma.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Doubles, Integers
from layerbits.kernels import NormalStream
from layerbits.mixtures.channel_estimates import ChannelEstimate, channel_estimates
from layerbits.mixtures.density import noise_entropy
from layerbits.mixtures.dropout_signals import means_of, scales_of
from layerbits.mixtures.subspaces import NEGLIGIBLE
from layerbits.statistics import ByCondition, Interval, ceilings, largest_terms

# Pairs of a query and a signal that are summed together: intermediate arrays stay in the caches of the CPU, and enough
# pairs occupy a CUDA device.
_PAIRS_ON_CPU, _PAIRS_ON_CUDA = 2**16, 2**24

# Largest number of values of the queries of a block, and smallest number of its queries, because each block reads the
# coefficients of all signals.
_VALUES, _MIN_ROWS = 2**22, 32

# Largest signal and largest standard deviation in units of sigma, so that their squares and sums stay finite.
_LARGEST = 1e140

# Binary exponent that products of variances must not exceed; float64 ends at 1024.
_LARGEST_EXPONENT = 1000


@dataclasses.dataclass(frozen=True)
class DropoutChannel:
    """A channel S (1 + alpha E) + sigma Z with independent standard normal E and Z for each unit.

    Attributes
    ----------
    signals : Tensor of shape (n, d)
        The values of S, one for each input, on the CPU or a CUDA device: floats, or complex numbers as in
        `dropout_signals`.
    alpha : float
        Standard deviation of the noise relative to the signal, positive.
    sigma : float
        Standard deviation of the noise of a signal of 0, positive.
    classes : array of shape (n,) or None
        Class numbers 0, 1, ... of the inputs.

    Raises
    ------
    ValueError
        A signal is NaN, infinite or too large beside sigma.
    """

    signals: Tensor
    alpha: float
    sigma: float
    classes: Integers | None = None

    def __post_init__(self) -> None:
        largest_value = float(torch.maximum(self._scaled_signals.abs().max(), self.alpha * self._scales.abs().max()))
        if not largest_value <= _LARGEST:
            raise ValueError(
                f"sigma: got {self.sigma:g} with alpha {self.alpha:g} for signals up to "
                f"{float(self.signals.abs().max()):g}, wanted finite signals and deviations of at most {_LARGEST:g} "
                "sigma; raise sigma"
            )

    @functools.cached_property
    def _scaled_signals(self) -> Tensor:
        """The means of T in units of sigma, float64."""
        return means_of(self.signals).double() / self.sigma

    @functools.cached_property
    def _scales(self) -> Tensor:
        """The values that alpha multiplies, in units of sigma, float64."""
        return scales_of(self.signals).double() / self.sigma

    @functools.cached_property
    def _variances(self) -> Tensor:
        """Variances of the noisy values in units of sigma^2, shape (n, d), at least 1."""
        return (self.alpha * self._scales).square() + 1

    @functools.cached_property
    def _log_variances(self) -> Tensor:
        """Sum over the units of the logarithms of the variances in units of sigma^2, shape (n,)."""
        return (self.alpha * self._scales).square().log1p().sum(1)

    @functools.cached_property
    def _products_suffice(self) -> bool:
        """Whether two matrix products give the mean squares of `_mean_squares` with a negligible error.

        The products expand the squares of a mean square Q. The absolute values of the expanded terms sum to at most
        4 Q + 6 sum_j s_j^2 / v_j, and each of 2 d + 4 roundings changes Q by at most eps / 2 times this sum.
        """
        largest_sum = float((self._scaled_signals.square() / self._variances).sum(1).max())
        rounding = (self.signals.shape[1] + 2) * torch.finfo(torch.float64).eps
        return 6 * largest_sum * rounding <= NEGLIGIBLE

    @functools.cached_property
    def _coefficients(self) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients of mean squares: 1 / v and s / v, shape (n, d), and sum_j s_j^2 / v_j, shape (n,)."""
        weights = 1 / self._variances
        weighted_signals = self._scaled_signals * weights
        return weights, weighted_signals, (weighted_signals * self._scaled_signals).sum(1)

    @property
    def conditional_entropy(self) -> float:
        """h(T|X) in nats: the mean over the inputs of the entropies of the Gaussians p(t|x)."""
        return noise_entropy(self.signals.shape[1], self.sigma) + float(self._log_variances.mean()) / 2

    def estimates(
        self, queries: int, factors: NormalStream, noise: NormalStream, risk: float
    ) -> dict[str, ChannelEstimate]:
        """Estimate every information from queries of every input.

        Parameters
        ----------
        queries : int
            Number of queries of each input, at least 2.
        factors, noise : NormalStream
            Sources of E and Z of the queries.
        risk : float
            Probability with which each end of an interval may be wrong.

        Returns
        -------
        dict of str to ChannelEstimate
            I(X;T) and, with classes, I(T;Y) and I(X;T|Y).
        """
        return self.estimates_of_risks(queries, factors, noise, [risk])[risk]

    def estimates_of_risks(
        self, queries: int, factors: NormalStream, noise: NormalStream, risks: Iterable[float]
    ) -> dict[float, dict[str, ChannelEstimate]]:
        """Return the estimates of each risk, from the same queries, as `estimates` does for one risk."""
        n_inputs = len(self.signals)
        given_class, marginal = np.empty((2, n_inputs * queries))
        for block in self._blocks(n_inputs * queries):
            inputs = torch.arange(block.start, block.stop, device=self.signals.device) // queries
            signals, scales = self._scaled_signals[inputs], self._scales[inputs]
            points = signals + self.alpha * scales * factors.like(signals) + noise.like(signals)
            given_class[block], marginal[block] = self._surprisals(inputs, points)
        surprisals = ByCondition(
            np.zeros((n_inputs, queries)), given_class.reshape(n_inputs, -1), marginal.reshape(n_inputs, -1)
        )
        limits = ceilings(n_inputs, self.classes), largest_terms(n_inputs, self.classes)
        certain_bounds = self.pairwise_bounds()
        return {risk: channel_estimates(surprisals, certain_bounds, *limits, risk) for risk in risks}

    def surprisals(self, inputs: Integers, points: Tensor) -> ByCondition[Doubles]:
        """Compute the surprisals log p(t|x) - log p(t|condition) at queries t.

        Parameters
        ----------
        inputs : array of shape (m,)
            The inputs x of the queries.
        points : Tensor of shape (m, d)
            The queries: noisy values of the signals of these inputs, in units of the signals.

        Returns
        -------
        ByCondition of arrays of shape (m,)
            In nats; 0 given the input. Without classes, the values given the class are those without condition. For
            signals and points as they are rounded in units of sigma, with e_k the exponents, p_k their softmax and eps
            of float64, the error is at most (4 d + 20) eps (1 + |e_x| + sum_k p_k |e_k|) + 2e-7.
        """
        given_class, marginal = np.empty((2, len(inputs)))
        indices = torch.from_numpy(inputs).to(self.signals.device)
        for block in self._blocks(len(inputs)):
            given_class[block], marginal[block] = self._surprisals(indices[block], points[block].double() / self.sigma)
        return ByCondition(np.zeros(len(inputs)), given_class, marginal)

    def pairwise_bounds(self) -> Interval:
        """Compute bounds of I(X;T), in nats, that hold with probability 1, from all pairs of the Gaussians p(t|x).

        The rounding error is below 1e-7 nats.

        Notes
        -----
        Source: Kolchinsky and Tracey, Estimating Mixture Entropy with Pairwise Distances (2017).
        For any D, let I_D = -(1/n) sum_i log (1/n) sum_j exp(-D(p_i, p_j)). Then I_D <= I(X;T) for D the Bhattacharyya
        distance, and I(X;T) <= I_D for D the Kullback-Leibler divergence.
        """
        n_inputs = len(self.signals)
        distance_log_sum, divergence_log_sum = 0.0, 0.0
        for block in self._blocks(n_inputs):
            distance_log_sum += float(self._bhattacharyya_distances(block).neg().logsumexp(1).sum())
            divergence_log_sum += float(self._divergences(block).neg().logsumexp(1).sum())
        log_n = math.log(n_inputs)
        return Interval(log_n - distance_log_sum / n_inputs, log_n - divergence_log_sum / n_inputs)

    def _bhattacharyya_distances(self, rows: slice) -> Tensor:
        """Return the Bhattacharyya distances of p(t|x) and p(t|x') for the x in `rows` and all inputs x', (rows, n)."""
        log_variances = self._log_variances
        distances = (log_variances[rows, None] + log_variances).mul_(-0.25)
        # One logarithm of a product replaces the logarithms of `factors` variances.
        factors = int(_LARGEST_EXPONENT / max(1.0, math.log2(float(self._variances.max()))))
        products = torch.ones_like(distances)
        for number, (signals, variances) in enumerate(_columns(self._scaled_signals, self._variances), start=1):
            mean_variance = (variances[rows, None] + variances).mul_(0.5)
            products *= mean_variance
            distances.addcdiv_((signals[rows, None] - signals).square_(), mean_variance, value=0.125)
            if number % factors == 0:
                distances.add_(products.log_(), alpha=0.5)
                products.fill_(1.0)
        return distances.add_(products.log_(), alpha=0.5)

    def _divergences(self, rows: slice) -> Tensor:
        """Return the divergences D(p(t|x) || p(t|x')) for the x in `rows` and all inputs x', (rows, n)."""
        mean_squares = self._mean_squares(self._scaled_signals[rows], self._variances[rows]) - self.signals.shape[1]
        return (mean_squares + self._log_variances - self._log_variances[rows, None]) / 2

    def _mean_squares(self, means: Tensor, variances: Tensor) -> Tensor:
        """Return E |(T - s_k) / sqrt(v_k)|^2 of Gaussian T with these means and variances (m, d), for all k: (m, n)."""
        if self._products_suffice:
            weights, weighted_signals, offsets = self._coefficients
            squares = torch.addmm(offsets, means.square().add_(variances), weights.mT)
            return squares.addmm_(means, weighted_signals.mT, alpha=-2)
        mean_squares = means.new_zeros(len(means), len(self.signals))
        for mean, variance, signals, signal_variances in _columns(
            means, variances, self._scaled_signals, self._variances
        ):
            squares = (mean[:, None] - signals).square_().add_(variance[:, None])
            mean_squares += squares.div_(signal_variances)
        return mean_squares

    def _surprisals(self, inputs: Tensor, points: Tensor) -> tuple[Doubles, Doubles]:
        """Return the surprisals given the class and without condition at queries (m, d) in units of sigma."""
        exponents = (self._mean_squares(points, torch.zeros_like(points)) + self._log_variances).mul_(-0.5)
        log_ratios = exponents - exponents.gather(1, inputs[:, None])
        marginal = math.log(len(self.signals)) - log_ratios.logsumexp(1)
        if self.classes is None:
            return marginal.numpy(force=True), marginal.numpy(force=True)
        classes = torch.from_numpy(self.classes).to(inputs.device)
        is_other = classes[inputs][:, None] != classes
        sizes = len(self.signals) - is_other.sum(1)
        given_class = sizes.double().log() - log_ratios.masked_fill_(is_other, -math.inf).logsumexp(1)
        return given_class.numpy(force=True), marginal.numpy(force=True)

    def _blocks(self, rows: int) -> Iterator[slice]:
        """Yield ranges of rows whose pairs with all signals are summed together."""
        pairs = _PAIRS_ON_CUDA if self.signals.is_cuda else _PAIRS_ON_CPU
        size = max(_MIN_ROWS, min(pairs // len(self.signals), _VALUES // self.signals.shape[1]))
        for start in range(0, rows, size):
            yield slice(start, min(start + size, rows))


def _columns(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield the same column of each tensor, contiguous; a transposed copy of wide signals may not fit into memory."""
    for columns in zip(*(tensor.unbind(1) for tensor in tensors), strict=True):
        yield tuple(column.contiguous() for column in columns)
