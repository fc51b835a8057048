"""Plug-in bounds: information from above, entropies from below, with mixtures of the draws in place of the densities.

The queries are noisy values of these draws.

With p^(t|x) = (1/r) sum_j N(t; s_xj, sigma^2 I) of r draws, unbiased at every t, and p^(t) its mean over x,

    E I^(X;T) >= I(X;T),  E h(p^) <= h(T),  E h(p^(.|x)) <= h(T|x)

by Jensen's inequality: information is convex in the channel, entropy concave (Goldfeld et al., Estimating Information
Flow in Deep Neural Networks, ICML 2019). Standard errors are jackknives over the draws of an input; a draw is left out
together with its query. The queries of an input share draws, so errors of independent queries would be too small.

The end of an interval on this side is a Student bound, which is asymptotic, with an allowance for rare events. A bound
by bounded differences would hold for any number of draws, but its margin is a fifth of a nat at N = 4096.
"""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from layerbits._base import Doubles, log_add_exp, log_sum_exp
from layerbits.estimators.classes import Classes
from layerbits.estimators.log_densities import (
    LogDensities,
    Queries,
    mixture_log_densities,
    mixture_log_sums,
    own_log_sums,
)
from layerbits.statistics import ByCondition, Condition, JackknifeMean, Quantity

# The draws of an input are cut into parts, and the jackknife leaves out one part at a time. At least two parts must
# remain: a single part does not show how p^(t|x) varies. With fewer parts the error comes from the spread over inputs,
# which can only overstate the error: inputs are fixed and differ even without noise.
_MIN_PARTS = 3

# More parts make the standard error only a little more precise, at a cost that grows with their number.
_MAX_PARTS = 8


@dataclasses.dataclass(frozen=True)
class PlugIn:
    """Plug-in entropies h(T|A) less the entropy of the noise, in nats.

    Attributes
    ----------
    entropies : ByCondition[JackknifeMean]
        Entropies of the mixture of all draws.
    mixture : LogDensities
        Log densities, at the queries, of the mixture of the draws without queries, which can serve as a decoder.
    own_shares : ByCondition[float]
        Mean share, at the queries, of the query's own draw in the mixture of all draws under each condition.
    separate_marginal : bool
        Whether h(T) comes from another sample than h(T|X) and h(T|Y), as in the paper's estimator.
    """

    entropies: ByCondition[JackknifeMean]
    mixture: LogDensities
    own_shares: ByCondition[float]
    separate_marginal: bool = False

    def with_conditionals_of(self, sample: PlugIn) -> PlugIn:
        """Return h(T) of this sample with h(T|X) and h(T|Y) of another, independent sample."""
        entropies = dataclasses.replace(sample.entropies, marginal=self.entropies.marginal)
        return PlugIn(entropies, self.mixture, sample.own_shares, separate_marginal=True)

    def bound(self, quantity: Quantity) -> JackknifeMean:
        """Return the plug-in estimate: on average an upper bound of an information, a lower bound of an entropy."""
        minuend = self.entropies[quantity.minuend]
        if quantity.subtrahend is None:
            return minuend
        separate = self.separate_marginal and quantity.minuend is Condition.NONE
        return minuend.minus(self.entropies[quantity.subtrahend], same_sample=not separate)

    def own_share(self, quantity: Quantity) -> float:
        """Return the share of a query's own draw in the mixture with the fewest draws that the quantity compares."""
        return self.own_shares[quantity.minuend if quantity.subtrahend is None else quantity.subtrahend]


def plug_in(queries: Queries, draws: Tensor, classes: Classes) -> PlugIn:
    """Estimate the entropies from all draws, with queries and without.

    Parameters
    ----------
    queries : Queries
        q queries of each of the N inputs. Their bases, the signals before the noise, are the other draws.
    draws : Tensor of shape (N, r, d)
        The draws without queries, r >= q.
    """
    n_parts = min(queries.shape[1], _MAX_PARTS)
    own_draw_sums, own_base_sums = (own_log_sums(queries, centers, n_parts) for centers in (draws, queries.bases))
    draw_sums = mixture_log_sums(queries, draws, classes)
    base_sums = mixture_log_sums(queries, queries.bases, classes)
    # A sum over all draws is the sum over the draws without queries plus the sum over the bases of the queries.
    own_sums = log_add_exp(own_draw_sums, own_base_sums)
    marginal = log_add_exp(draw_sums[1], base_sums[1])
    in_class = marginal if len(classes.members) == 1 else log_add_exp(draw_sums[0], base_sums[0])
    log_sums = ByCondition(log_sum_exp(own_sums), in_class, marginal)
    log_sums_without_queries = ByCondition(log_sum_exp(own_draw_sums), *draw_sums)

    n_draws, n_queries = draws.shape[1], queries.shape[1]
    log_densities = mixture_log_densities(queries, classes, log_sums, n_draws + n_queries)
    if n_queries < _MIN_PARTS:
        entropies = log_densities.map(lambda values: JackknifeMean.of_terms(-values.mean(1, keepdims=True)))
    else:
        jackknife = _Jackknife.of(n_draws, own_sums, log_sums.given_input)
        marginal_entropy = jackknife.entropy(log_sums.marginal, log_densities.marginal)
        entropies = ByCondition(
            given_input=jackknife.entropy(log_sums.given_input, log_densities.given_input),
            given_class=jackknife.entropy(log_sums.given_class, log_densities.given_class)
            if len(classes.members) > 1
            else marginal_entropy,
            marginal=marginal_entropy,
        )
    own_shares = log_sums.map(lambda values: float(np.exp(queries.noise_log_density - values).mean()))
    return PlugIn(entropies, mixture_log_densities(queries, classes, log_sums_without_queries, n_draws), own_shares)


@dataclasses.dataclass(frozen=True)
class _Jackknife:
    """Parts of the draws of an input; each part is left out in turn, together with its queries.

    Attributes
    ----------
    own_log_sum : array of shape (n, q)
        Log-sums over all draws of the query's input.
    own_shares : Tensor of shape (parts, n, q)
        The density given the query's input without a part of its draws, divided by that with all parts.
    remaining : bool array of shape (parts, q)
        remaining[p, j]: whether query j remains when part p is left out.
    """

    own_log_sum: Doubles
    own_shares: Tensor
    remaining: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, n_draws: int, own_log_sums: Doubles, own_log_sum: Doubles) -> _Jackknife:
        """Return the parts of `n_draws` draws and of the queries, from log-sums (parts, n, q) over both, by input.

        The parts are cut as in the function `own_log_sums`.
        """
        n_parts, _, n_queries = own_log_sums.shape
        cuts = np.arange(n_parts + 1) * n_queries // n_parts
        sizes = np.diff(np.arange(n_parts + 1) * n_draws // n_parts) + np.diff(cuts)
        total = n_draws + n_queries
        weights = (1 - np.eye(n_parts)) * total / (total - sizes)[:, None]  # the input keeps its total weight
        shares_of_parts = torch.from_numpy(own_log_sums - own_log_sum).exp_()
        remaining = np.ones((n_parts, n_queries), bool)
        for part, (start, stop) in enumerate(pairwise(cuts)):
            remaining[part, start:stop] = False
        return cls(own_log_sum, torch.tensordot(torch.from_numpy(weights), shares_of_parts, 1), remaining)

    def entropy(self, log_sums: Doubles, log_densities: Doubles) -> JackknifeMean:
        """Return minus the mean log density (n, q) of a mixture with these log-sums (n, q) and its jackknife."""
        own_log_share = torch.from_numpy(np.minimum(self.own_log_sum - log_sums, 0))
        # The density without a part, divided by the whole density: positive at remaining queries, whose bases remain.
        share = own_log_share.exp() * self.own_shares - own_log_share.expm1()
        share.masked_fill_(torch.from_numpy(~self.remaining)[:, None], 1)
        changed = log_densities + share.log_().numpy()
        query_weights = self.remaining / self.remaining.sum(1, keepdims=True)
        means = -np.einsum("pnq,pq->np", changed, query_weights)
        mean = -log_densities.mean(1, keepdims=True)
        return JackknifeMean(-float(log_densities.mean()), (means - mean,))


def information_upper_end(bound: JackknifeMean, largest_term: float, shape: tuple[int, int], risk: float) -> float:
    """Return the upper end of an interval for an information: its plug-in bound, Student's margin and an allowance.

    The allowance is for events that occurred in none of the queries, of `shape` (inputs, queries of each). These events
    may occur at inputs about which the other events tell nothing, so each carries up to `largest_term` nats. A term of
    second order is added (docs/theory.md).
    """
    probability, probability_of_input = _unseen(shape, risk)
    return bound.value + bound.margin(risk) + probability * (largest_term + probability_of_input)


def entropy_lower_end(bound: JackknifeMean, components: int, shape: tuple[int, int], risk: float) -> float:
    """Return the lower end of an interval for an entropy less that of the noise: its plug-in bound less two margins.

    Student's margin, at half of the risk, is for events that occurred in some query. An allowance, at the other half,
    is for events that occurred in none, as in `unseen_loss`. The entropy is at least that of the noise.
    """
    return max(0.0, bound.value - bound.margin(risk / 2) - unseen_loss(components, shape, risk / 2))


def unseen_loss(components: int, shape: tuple[int, int], risk: float, largest_loss: float = 0.0) -> float:
    """Return the amount, in nats, by which events that occurred in no query can lower a mean of log density ratios.

    Without the events a term log [r(t) / p^(t)] of any input is at most the logarithm of the number of components of
    p^, one of which is r. Events of probability p lower the mean by at most p times this logarithm, p log(1/p) for the
    density of their own noise, and a term of second order (docs/theory.md).

    Parameters
    ----------
    components : int
        Number of draws in the mixture p^.
    shape : tuple of int
        Number of inputs, and of queries of each.
    risk : float
        Probability with which the events may lower the mean by more.
    largest_loss : float
        Upper bound of the logarithm of the density of the noise divided by r(t); 0 if r is the density of the noise.
    """
    probability, probability_of_input = _unseen(shape, risk)
    # p log(1/p) is largest at p = 1/e. If p is larger, a part of the events may have the probability 1/e.
    own_loss = -probability * math.log(probability) if probability < math.exp(-1) else math.exp(-1)
    return own_loss + probability * (math.log(components) + probability_of_input + largest_loss)


def _unseen(shape: tuple[int, int], risk: float) -> tuple[float, float]:
    """Return bounds of the probability of events that occurred in no query: of the mean over inputs, and of an input.

    Except with probability `risk`, events with a larger probability occur in some query.
    """
    n_inputs, n_queries = shape
    return min(1.0, -math.log(risk) / (n_inputs * n_queries)), min(1.0, -math.log(risk) / n_queries)
