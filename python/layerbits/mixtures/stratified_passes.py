"""Passes of stratified, antithetic draws of a known channel, to which further passes can be added."""

from __future__ import annotations

import math

import numpy as np
import torch

from layerbits._base import Doubles
from layerbits.kernels import NormalStream
from layerbits.mixtures.known_channel import KnownChannel
from layerbits.statistics import Bets, Interval, information_interval


class StratifiedPasses:
    """Passes over a known channel, and the estimate of I(X;T) from all of them.

    A stratum is an equal part of the total weight of the inputs, in the order of the inputs. A pass has one draw of the
    noise in each of its strata, and the mirror image of that draw.

    Parameters
    ----------
    channel : KnownChannel
    bets : Bets
        Their `fixed_count` is False if passes are added until the interval is narrow.
    seed : int
        Seed of the noise.
    """

    def __init__(self, channel: KnownChannel, bets: Bets, seed: int) -> None:
        self._channel, self._bets, self._seed = channel, bets, seed
        self._cumulative_weights = channel.masses.cumsum() / channel.masses.sum()
        self._passes: list[Doubles] = []  # log p(t|x)/p(t) of each pass, (strata, 2)

    @property
    def strata(self) -> int:
        """Number of strata in all passes; each has two draws."""
        return sum(map(len, self._passes))

    @property
    def mean(self) -> float:
        """Mean of all terms, in nats."""
        return float(sum(terms.mean(1).sum() for terms in self._passes)) / self.strata

    @property
    def standard_error(self) -> float:
        """Standard error of the mean, in nats, from pairs of neighbouring strata.

        Their difference can only overstate the spread within strata (collapsed strata; Cochran, Sampling Techniques,
        5A.12).
        """
        strata_means = (terms.mean(1) for terms in self._passes)
        return math.sqrt(sum(float(np.square(means[::2] - means[1::2]).sum()) for means in strata_means)) / self.strata

    def interval(self) -> Interval:
        """Return a confidence interval of I(X;T), in nats; the first pass is the pilot."""
        ceiling, largest_term = self._channel.ceilings["I(X;T)"], self._channel.largest_terms["I(X;T)"]
        return information_interval(self._passes, ceiling=ceiling, largest_term=largest_term, bets=self._bets)

    def add(self, strata: int) -> None:
        """Add a pass of this number of strata, or of one less if it is odd."""
        strata -= strata % 2
        stream = NormalStream(self._seed, len(self._passes))
        weights = (np.arange(strata) + stream.generator.random(strata)) / strata
        inputs = np.searchsorted(self._cumulative_weights, weights, side="right").clip(
            max=len(self._cumulative_weights) - 1
        )
        centers = self._channel.centers[torch.from_numpy(inputs)]
        noise = self._channel.sigma * stream.like(centers)
        surprisals = self._channel.surprisals(inputs, torch.stack([centers + noise, centers - noise], dim=1))
        self._passes.append(surprisals.marginal - surprisals.given_input)
