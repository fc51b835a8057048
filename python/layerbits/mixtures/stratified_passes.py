"""Passes of stratified, antithetic queries of a known channel."""

from __future__ import annotations

import math

import numpy as np
import torch

from layerbits._base import Doubles
from layerbits.kernels import NormalStream, RandomStream
from layerbits.mixtures.known_channel import KnownChannel
from layerbits.statistics import BetPass, InformationBet, Interval


class StratifiedPasses:
    """Passes over a known channel, and the estimate of I(X;T) from all of them.

    The strata of a pass are equal parts of the total weight of the inputs, in the order of the inputs. A pass has two
    queries in each stratum: a center plus noise, and the same center minus the same noise.

    Parameters
    ----------
    channel : KnownChannel
    bet : InformationBet
        Bet on I(X;T); `fixed_count` is False if passes are added until the interval is narrow.
    seed : int
        Seed of the queries.
    """

    def __init__(self, channel: KnownChannel, bet: InformationBet, seed: int) -> None:
        self._channel, self._bet, self._seed = channel, bet, seed
        self._cumulative_weights = channel.host_weights.cumsum() / channel.host_weights.sum()
        self._passes: list[BetPass] = []
        self._terms: list[Doubles] = []  # one array for each pass: the mean of the two terms in each stratum

    @property
    def strata(self) -> int:
        """Number of strata in all passes; each has two queries."""
        return sum(map(len, self._terms))

    @property
    def mean(self) -> float:
        """Mean of all terms, in nats."""
        return sum(float(terms.sum()) for terms in self._terms) / self.strata

    @property
    def standard_error(self) -> float:
        """Standard error of the mean, in nats, from pairs of neighbouring strata.

        A squared difference has the expectation of the sum of both variances within strata, plus the squared difference
        of the means of the strata (collapsed strata; Cochran, Sampling Techniques, 5A.12). So the estimated variance is
        not too small on average.
        """
        squares = (float(np.square(terms[::2] - terms[1::2]).sum()) for terms in self._terms)
        return math.sqrt(sum(squares)) / self.strata

    def interval(self) -> Interval:
        """Return a confidence interval of I(X;T), in nats; the first pass is the pilot."""
        return self._bet.interval(self._passes)

    def add(self, strata: int) -> None:
        """Add a pass of this number of strata, less one if the number is odd: the standard error takes pairs."""
        strata -= strata % 2
        stream = NormalStream(self._seed, RandomStream.MIXTURE_PASS, len(self._passes))
        levels = (np.arange(strata) + stream.generator.random(strata)) / strata
        last_input = len(self._cumulative_weights) - 1
        inputs = np.searchsorted(self._cumulative_weights, levels, side="right").clip(max=last_input)
        centers = self._channel.centers[torch.from_numpy(inputs)]
        noise = self._channel.sigma * stream.like(centers)
        surprisals = self._channel.surprisals(inputs, torch.stack([centers + noise, centers - noise], dim=1))
        terms = np.ascontiguousarray((surprisals.marginal - surprisals.given_input).T)  # fast to average
        self._terms.append(terms.mean(0))
        self._passes.append(self._bet.pass_of(terms))
