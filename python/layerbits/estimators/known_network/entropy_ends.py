"""Certified ends of h(T|X) less the entropy of the noise.

From above: -log q(T|x), with q(t|x) an unbiased estimate of p(t|x) from fresh samples, mixed with the density of the
linear model and with a wide density that bounds the terms. From below: -log u, with u the mean of weights of which one
is that of the query's own noise. The prior in the proposal bounds these weights.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from scipy.special import chdtr, chdtrc

from layerbits._base import Doubles, log_add_exp
from layerbits.estimators.known_network.density_estimates import BOUNDED_PRIOR_WEIGHT, OwnEstimates
from layerbits.estimators.known_network.proposals import Proposals
from layerbits.estimators.known_network.queries import KnownQueries
from layerbits.estimators.log_densities import Queries
from layerbits.estimators.wide_density import TAIL_FACTOR, WideDensity
from layerbits.kernels import RandomStream, standard_normal, stream
from layerbits.statistics import lower_mean_bound, unseen_probability, upper_mean_bound

# Weight of the linear model's density in q(t|x): the terms are at most log 10 = 2.3 nats above those of the model, and
# at most -log 0.9 = 0.11 nats above those of the samples.
_LINEAR_WEIGHT = 0.1

# |z|^2 / 2 of the noise is subtracted as a control variate, with |z|^2 limited to this many standard deviations above
# its mean: a larger limit lowers the least possible term, and a smaller one leaves variance.
_DEVIATIONS = 6.0


@dataclasses.dataclass(frozen=True)
class EntropyTerms:
    """The terms of h(T|X) less the entropy of the noise, at the pilot queries and then for each final pass.

    Attributes
    ----------
    above, below : sequence of arrays
        Terms whose means are at least, and at most, the entropy.
    largest : float
        Upper bound of the terms above.
    least : float
        Lower bound of the terms below.
    tail_assumed : bool
        Whether `largest` assumes a largest distance of signals from their center.
    """

    above: Sequence[Doubles]
    below: Sequence[Doubles]
    largest: float
    least: float
    tail_assumed: bool

    def lower_end(self, risk: float) -> float:
        """Return a lower confidence bound of the entropy; at least 0, the entropy of the noise."""
        pilot = self.below[0]
        # Any limit that is fixed before the final queries is valid: the bound is at most the limit, so it also holds
        # if the entropy exceeds the limit.
        limit = max(float(pilot.mean() + 6 * pilot.std()), self.least + 1.0, 1.0)
        return max(0.0, lower_mean_bound(self.below, lower_limit=self.least, upper_limit=limit, risk=risk))

    def upper_end(self, risk: float) -> float:
        """Return an upper confidence bound of the entropy."""
        return upper_mean_bound(self.above, lower_limit=0.0, upper_limit=self.largest, risk=risk)


@dataclasses.dataclass(frozen=True)
class EntropyMeasure:
    """The functions of a query whose means bound h(T|X), fixed before the final queries.

    Attributes
    ----------
    proposals : Proposals
        The linear models.
    wide : WideDensity
        The wide density of T.
    wide_weight : float
        Weight of the wide density in q(t|x).
    """

    proposals: Proposals
    wide: WideDensity
    wide_weight: float

    @classmethod
    def of(cls, proposals: Proposals, n_terms: int, risk: float, n_inputs: int | None = None) -> EntropyMeasure:
        """Return the measure for a number of final queries.

        Signals of the first `n_inputs` inputs, by default of all, choose the wide density. Where inputs are random,
        those of final queries must not be among these inputs.
        """
        model = proposals.model
        generator = stream(proposals.seed, RandomStream.KNOWN_RANGE)
        signals = torch.empty(n_inputs or model.n_inputs, 1, model.n_units, dtype=torch.float64)
        at_a_time = max(1, proposals.max_memory // 64 // (8 * (model.noise_size + model.n_units)))
        for rows in torch.split(torch.arange(len(signals)), at_a_time):
            noises = standard_normal((len(rows), model.noise_size), generator, torch.float64)
            signals[rows, 0] = model.signals(rows, noises)
        # Two signals are at most twice the range apart.
        wide = WideDensity.of(signals, (signals, signals), 1.0, 2 * model.signals_range)
        return cls(proposals, wide, unseen_probability(n_terms, risk))

    @property
    def largest(self) -> float:
        """Upper bound of the terms above."""
        return self.wide.largest_log_ratio - math.log(self.wide_weight)

    @property
    def least(self) -> float:
        """Lower bound of the terms below: log u <= -log of the prior's weight."""
        limit, mean = self._square_limit_and_mean
        return math.log(BOUNDED_PRIOR_WEIGHT) - (limit - mean + self.proposals.model.n_units) / 2

    @property
    def _square_limit_and_mean(self) -> tuple[float, float]:
        """A limit of |Z|^2, and the mean of the smaller of |Z|^2 and this limit."""
        d = self.proposals.model.n_units
        limit = d + _DEVIATIONS * math.sqrt(2 * d)
        return limit, float(d * chdtr(d + 2, limit) + limit * chdtrc(d, limit))

    def of_passes(self, above: Sequence[Doubles], below: Sequence[Doubles]) -> EntropyTerms:
        """Return the terms at the pilot queries, and of each final pass, with their limits.

        A term above an assumed limit shows that the assumption is false. The limit is then that of a signal 10 times as
        far from the center as the signal of this term, as in `assumed_radius`, and no end is certain.
        """
        largest, observed = self.largest, max(float(terms.max()) for terms in above)
        if self.wide.tail_assumed and observed > largest:
            # A signal F times as far from the center has a surprisal that is at most (1 + d) log F larger.
            largest = observed + (1 + self.proposals.model.n_units) * math.log(TAIL_FACTOR)
        return EntropyTerms(above, below, largest, self.least, self.wide.tail_assumed)

    def terms(self, queries: KnownQueries, estimates: OwnEstimates) -> tuple[Doubles, Doubles]:
        """Return the terms above and below at queries."""
        return self._above(queries, estimates), self._below(queries, estimates)

    def _above(self, queries: KnownQueries, estimates: OwnEstimates) -> Doubles:
        noise = (-queries.squares / 2).numpy()
        linear = estimates.linear.numpy() + math.log(_LINEAR_WEIGHT)
        fresh = estimates.fresh.numpy() + math.log1p(-_LINEAR_WEIGHT)
        density = log_add_exp(linear, fresh) + math.log1p(-self.wide_weight)
        points = queries.points[:, None]
        as_queries = Queries(points, points, 1.0, noise[:, None], queries.rows.numpy())
        wide = self.wide.log_density(as_queries)[:, 0] + math.log(self.wide_weight)
        return -log_add_exp(density - noise, wide)

    def _below(self, queries: KnownQueries, estimates: OwnEstimates) -> Doubles:
        limit, mean = self._square_limit_and_mean
        control = queries.squares.clamp(max=limit) - mean + self.proposals.model.n_units
        terms: Doubles = (-estimates.bounded - control / 2).numpy()
        return terms
