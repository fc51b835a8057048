"""The information of a known channel T = S + Z: S is one of n centers, and Z ~ N(0, sigma^2 I) is independent of S.

The densities p(t|x), p(t|y) and p(t) are Gaussian mixtures. The expectation over queries t of a term such as
log(p(t|x) / p(t)) is an information. The squared length of the noise cancels in these terms. So for far apart centers
of equal weights, log(p(t|x) / p(t)) has almost no variance.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Doubles, Integers
from layerbits.kernels import NO_WORKERS, NormalStream, Workers, as_sigma, isotropic_log_sums, log_sum_exp_isotropic
from layerbits.mixtures.channel_estimates import ChannelEstimate, channel_estimates, clip_to_bounds
from layerbits.mixtures.pairwise_bounds import pairwise_lower_bound, pairwise_upper_bound
from layerbits.statistics import ByCondition, InformationBet, Interval, ceilings, largest_terms

# With at most this number of classes, the sum over all centers is computed from the sums over the classes, without
# further pairs. With more classes, a call for all centers and a call for the classes are faster. Measured in float32 on
# one core (Zen 4), 4 queries each of 4096 inputs in 10 dimensions and of 2000 inputs in 100: with 8 classes the two
# calls are faster by 13 to 15 %, with 4 classes slower by 9 to 22 %.
_MAX_SEPARATE_CLASSES = 4

# Largest number of values of the queries that are held together: 64 MiB in float32, and twice that for their noise.
_BLOCK_VALUES = 2**24


@dataclasses.dataclass(frozen=True)
class KnownChannel:
    """A channel S + Z with Z ~ N(0, sigma^2 I).

    Attributes
    ----------
    centers : Tensor of shape (n, d)
        The values of S, one for each input; float32 or float64, on the CPU or a CUDA device.
    sigma : float
        Standard deviation of the noise.
    classes : array of shape (n,) or None
        Class numbers 0, 1, ... of the inputs.
    weights : Tensor of shape (n,) or None
        Weights of the inputs, of the dtype of the centers and of any positive total; None: equal weights.
    workers : Workers
        CUDA devices and processes that share the sums, except the sums over the classes if there are more than four.
    """

    centers: Tensor
    sigma: float
    classes: Integers | None = None
    weights: Tensor | None = None
    workers: Workers = NO_WORKERS

    @functools.cached_property
    def host_weights(self) -> Doubles:
        """The weights on the host, shape (n,); ones for equal weights."""
        return np.ones(len(self.centers)) if self.weights is None else self.weights.double().numpy(force=True)

    @functools.cached_property
    def ceilings(self) -> dict[str, float]:
        """The largest possible value of I(X;T) and, with classes, of I(T;Y) and I(X;T|Y), in nats."""
        return ceilings(len(self.centers), self.classes, None if self.weights is None else self.host_weights)

    @functools.cached_property
    def largest_terms(self) -> dict[str, float]:
        """The largest possible term of each information, in nats."""
        return largest_terms(len(self.centers), self.classes, None if self.weights is None else self.host_weights)

    def pairwise_bounds(self) -> Interval:
        """Compute bounds of I(X;T) that hold with probability 1, from the distances of all pairs of centers."""
        arguments = self.centers, as_sigma(self.sigma), self.weights, self.workers
        return Interval(float(pairwise_lower_bound(*arguments)), float(pairwise_upper_bound(*arguments)))

    def surprisals(self, inputs: Integers, points: Tensor) -> ByCondition[Doubles]:
        """Compute the surprisals log p(t|x) - log p(t|condition) at queries t.

        The expectation of the difference of two surprisals is an information.

        Parameters
        ----------
        inputs : array of shape (m,)
            The inputs x of the queries.
        points : Tensor of shape (m, q, d)
            The queries: noisy values of the centers of these inputs, of the dtype and device of the centers.

        Returns
        -------
        ByCondition of arrays of shape (m, q)
            In nats; 0 given the input. Without classes, the values given the class are those without condition.
        """
        # The noise is that of the rounded points, so that its log density cancels against the same term of the sums.
        noise = points.to(torch.float64, copy=True)
        noise.sub_(self.centers[torch.from_numpy(inputs)][:, None]).div_(self.sigma)
        log_noise = noise.square_().sum(-1).div(-2).numpy(force=True)
        del noise  # it takes twice the memory of the points
        log_sum, class_log_sum = self._log_sums(points, inputs)
        log_total = np.log(self.host_weights.sum())
        marginal = log_noise - log_sum + log_total
        if self.classes is None:
            return ByCondition(np.zeros_like(log_noise), marginal, marginal)
        log_class_totals = np.log(np.bincount(self.classes, self.host_weights))[self.classes[inputs], None]
        return ByCondition(np.zeros_like(log_noise), log_noise - class_log_sum + log_class_totals, marginal)

    def estimates(self, queries: int, stream: NormalStream, risk: float) -> dict[str, ChannelEstimate]:
        """Estimate every information from queries of every input; raise a ValueError for a channel with weights.

        Parameters
        ----------
        queries : int
            Number of queries of each input, at least 2.
        stream : NormalStream
            Source of the noise of the queries.
        risk : float
            Probability with which each end of an interval may be wrong.

        Returns
        -------
        dict of str to ChannelEstimate
            I(X;T) and, with classes, I(T;Y) and I(X;T|Y).
        """
        return self.estimates_of_risks(queries, stream, [risk])[risk]

    def estimates_of_risks(
        self, queries: int, stream: NormalStream, risks: Iterable[float]
    ) -> dict[float, dict[str, ChannelEstimate]]:
        """Return the estimates of each risk, from the same queries, as `estimates` does for one risk.

        Queries are generated, and their densities computed, in blocks of inputs; blocks change no value.
        """
        n, dim = self.centers.shape
        blocks = []
        for rows in np.array_split(np.arange(n), min(n, math.ceil(n * queries * dim / _BLOCK_VALUES))):
            centers = self.centers[torch.from_numpy(rows)][:, None].expand(-1, queries, -1)
            points = torch.add(centers, stream.like(centers), alpha=self.sigma)
            blocks.append(self.surprisals(rows, points))
        surprisals = ByCondition(
            np.concatenate([block.given_input for block in blocks]),
            np.concatenate([block.given_class for block in blocks]),
            np.concatenate([block.marginal for block in blocks]),
        )
        certain_bounds = self.pairwise_bounds()
        return {risk: self.estimates_at(surprisals, risk, certain_bounds) for risk in risks}

    def estimates_at(
        self, surprisals: ByCondition[Doubles], risk: float, certain_bounds: Interval
    ) -> dict[str, ChannelEstimate]:
        """Estimate every information from the surprisals at independent queries (n, q) of every input.

        `risk` is the probability with which each end of an interval may be wrong; `certain_bounds` are bounds of I(X;T)
        that hold with probability 1.

        Raises
        ------
        ValueError
            The channel has weights.
        """
        if self.weights is not None:
            raise ValueError("weights: got weights, wanted None, because every input has the same number of queries")
        return channel_estimates(surprisals, certain_bounds, self.ceilings, self.largest_terms, risk)

    def bet(self, quantity: str, risk: float, prior_weight: float, *, fixed_count: bool) -> InformationBet:
        """Return a bet on an information of the channel; see `InformationBet`."""
        ceiling, largest_term = self.ceilings[quantity], self.largest_terms[quantity]
        return InformationBet(ceiling, largest_term, risk, prior_weight, fixed_count)

    def clip_to_bounds(self, interval: Interval, certain_bounds: Interval) -> Interval:
        """Return an interval of I(X;T) with both ends moved into bounds that hold with probability 1."""
        return clip_to_bounds(interval, certain_bounds, self.ceilings["I(X;T)"])

    def _log_sums(self, points: Tensor, inputs: Integers) -> tuple[Doubles, Doubles]:
        """Return log-sums at points (m, q, d) over all centers and over the centers of a point's class, each (m, q)."""
        if self.classes is None:
            log_sum = self._log_sum(points, slice(None))
            return log_sum, log_sum
        classes = self.classes[inputs]
        n_classes = int(self.classes.max()) + 1
        if n_classes <= _MAX_SEPARATE_CLASSES:
            parts = np.stack([self._log_sum(points, np.flatnonzero(self.classes == k)) for k in range(n_classes)])
            class_log_sum = np.take_along_axis(parts, classes[None, :, None], axis=0)[0]
            return torch.from_numpy(parts).logsumexp(0).numpy(), class_log_sum
        order = classes.argsort(kind="stable")
        centers, weights = self._components(self.classes.argsort(kind="stable"))
        sorted_log_sum = log_sum_exp_isotropic(
            points[torch.from_numpy(order)].flatten(0, 1),
            centers,
            as_sigma(self.sigma),
            weights=weights,
            point_offsets=_offsets(classes, n_classes) * points.shape[1],
            center_offsets=_offsets(self.classes, n_classes),
        )
        class_log_sum = np.empty(points.shape[:2])
        class_log_sum[order] = sorted_log_sum.numpy(force=True).reshape(class_log_sum.shape)
        return self._log_sum(points, slice(None)), class_log_sum

    def _log_sum(self, points: Tensor, components: Integers | slice) -> Doubles:
        """Return log-sums at points (m, q, d) over the centers of the given components, (m, q)."""
        centers, weights = self._components(components)
        log_sums = isotropic_log_sums(points.flatten(0, 1), centers, as_sigma(self.sigma), weights, self.workers)
        return log_sums.reshape(points.shape[:2])

    def _components(self, indices: Integers | slice) -> tuple[Tensor, Tensor | None]:
        """Return the centers of the components with these indices, and their weights (None: equal weights)."""
        return self.centers[indices], None if self.weights is None else self.weights[indices]


def _offsets(classes: Integers, n_classes: int) -> Tensor:
    """Return the offsets of the classes among inputs in the order of their classes, shape (n_classes + 1,)."""
    return torch.from_numpy(np.append(0, np.bincount(classes, minlength=n_classes).cumsum()))
