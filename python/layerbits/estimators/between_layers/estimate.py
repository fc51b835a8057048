"""The interval of I(T_k;T_l).

In a chain I(T_k;T_l) = h(T_l) - h(T_l|T_k). Both entropies are minus the mean of log densities at queries T_l. On
average, the log density of a mixture that holds the query's own signal is too high, and a log density made of other
passes is too low. So the difference of two log densities, one of each kind, bounds I(T_k;T_l) on average.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from torch import nn

from layerbits._base import TAIL_ASSUMED, Estimate, check_confidence, check_count, refuse_earlier_parameters, shown
from layerbits.estimators.between_layers.chain import LayerPair
from layerbits.estimators.between_layers.conditional_density import conditional_log_densities
from layerbits.estimators.between_layers.decoder_end import decoder_lower_end
from layerbits.estimators.between_layers.known_network_ends import PairBounds, known_network_bounds
from layerbits.estimators.between_layers.marginal_density import marginal_log_densities
from layerbits.estimators.between_layers.pair_sample import pool_draws, sample_pair
from layerbits.estimators.fitted_decoder import caller_decoders
from layerbits.estimators.input_decoders import InputDecoder, checked_decoders
from layerbits.estimators.log_densities import mixed
from layerbits.estimators.plug_in_bound import unseen_loss
from layerbits.estimators.same_arguments import check_same_arguments, check_same_noise
from layerbits.estimators.settings import DRAWS, KNOWN
from layerbits.kernels import Group, Processes, RandomStream, Workers, single_threaded_torch, stream
from layerbits.networks import (
    MAX_MEMORY,
    Inputs,
    check_max_memory,
    check_module,
    global_states_restored,
    read_inputs,
    unsharded,
)
from layerbits.statistics import (
    Interval,
    JackknifeMean,
    point_value,
    split_passes,
    unseen_probability,
    upper_mean_bound,
)

# Smallest number of queries of all inputs: terms are skewed, and an end is at least some ten nats, divided by this
# number, away from the true value.
_MIN_QUERIES = 4096


@refuse_earlier_parameters(noisy="model")
@global_states_restored(after_success=False)
def information_between_layers(
    model: nn.Module,
    inputs: Inputs,
    first: str,
    second: str,
    *,
    draws: int = 32,
    queries: int = 4,
    confidence: float = 0.95,
    seed: int = 0,
    max_memory: int = MAX_MEMORY,
    decoders: Sequence[InputDecoder] | None = None,
    estimator: str = "draws",
    group: Group = None,
) -> Estimate:
    """Estimate I(T_k;T_l) of two noisy layers k < l that are a chain, for X uniform over the inputs, in nats.

    Parameters
    ----------
    model : torch.nn.Module
        A network with noise, as `noisify` returns it.
    inputs : tensor, array, tuple, mapping, data frame, Dataset, DataLoader or iterable of batches
        The n values of X, as in `propagate`.
    first, second : str
        The layers k and l, as `noise_of` names them, in the order of the data.
    draws : int
        Passes per input for the density of T_l, at least 2, and at least as many as values of T_k; unless the layers
        are neighbours, also passes per value of T_k for the density of T_l given T_k. The interval narrows as `draws`
        grows.
    queries : int
        Queries T_l per input, at least 2, each with its own value of T_k; more if there are fewer than 4096 in all.
    confidence : float
        Level of the interval.
    seed : int
        Seed of all noise.
    max_memory : int
        Budget of a pass in bytes, as in `propagate`; the signals of both layers are held in full.
    decoders : sequence of InputDecoder, optional
        Decoders q(x|t) of T_l, of your own, as in `layer_information`. They bound I(X;T_l), which is at most I(T_k;T_l)
        in a chain, from below; the lower end of the interval is the larger of two ends, each with half of the risk.
        ``estimator="known"`` refuses them.
    estimator : {"draws", "known"}
        With "known" the network is differentiated, and the noises behind each query are inferred, as in
        `layer_information`: narrower intervals in wide layers. There are no `draws`, and at least 1024 queries in all.
        Unless the layers are neighbours, each query has its own linear model and a copy of its input.
    group : torch.distributed.ProcessGroup, optional
        Processes that make this call together, with the same arguments, and share its passes and queries (with
        ``estimator="known"`` only the passes that record T_k). All get the result, which has the same bits for any
        number of processes on CPUs. By default this process works alone.

    Returns
    -------
    Estimate
        `lower` to `upper` is a confidence interval for I(T_k;T_l). `value` is the mean of the two bounds, moved into
        the interval, and `standard_error` its error from the queries and from the gap between the bounds. If the
        interval is wider than 0.5 nats, `value` is its midpoint, and `standard_error` is NaN. `draws` is the number of
        passes per input; 1 with ``estimator="known"``.

    Raises
    ------
    NoNoiseError
        `model` has no noise, or the noise is switched off.
    LayerSelectionError
        `first` or `second` is not a noisy layer.
    ValueError
        The layers are the same or in the wrong order; the input acts on `second` by another path than through `first`,
        such as a skip connection; the network may branch on values, so that its paths are not known; signals are not
        finite; an option is out of range; with ``estimator="known"``, the reasons of `layer_information`.
    TypeError
        An argument has another type than wanted.
    TypeError, ValueError
        A decoder of your own raises an exception, returns no scores, or scores a query differently alone and in a
        batch.
    GroupError
        Another process of the group failed, made another call, or did not take part within the group's time-out.

    Notes
    -----
    For densities q made of passes other than the query's own, and mixtures p^ of passes with the query's own,

        E[log q(t|t_k) - log p^(t)] <= I(T_k;T_l) <= E[log p^(t|t_k) - log q(t)],

    because E[-log q(t)] >= h(T_l) by Gibbs' inequality and E[-log p^(t)] = E h(p^) <= h(T_l) by concavity, and likewise
    given any t_k. Between neighbours both densities given t_k are the exact density of the noise. Further queries, used
    for nothing else, choose q. Each end of the interval has half of the risk. With a little of a wide density in q, the
    terms of the upper end are bounded, and the end is a bet, which holds for any number of queries; the flag
    ``"tail_assumed"`` says that the activation function does not bound the signals, so that the bound of the terms
    assumes that no signal lies more than 10 times as far from the center as those of the pool and of the queries that
    choose q, or more than 10 times as far from the subspace of the pool as those of these queries. The lower end is a
    Student bound, from the spread over the queries of each input, less an allowance for events that occur in none of
    the queries, which makes the same assumption unless the layers are neighbours. Between neighbours the lower bound
    cannot exceed the logarithm of the number of all draws.

    The time grows as the square of the units of `second`, and beyond some thousand as their cube, because the densities
    of other passes have covariances of all units.

    With ``estimator="known"``, h(T_l) and h(T_l|T_k) are bounded from both sides by importance samples of the noises
    that act on T_l, given x and given T_k, and the lower end is at least that of I(X;T_l). All ends are bets.
    Proofs: docs/theory.md.

    Examples
    --------
    >>> import torch
    >>> import layerbits as lb
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2), torch.nn.Tanh())
    >>> noisy = lb.noisify(model, sigma=0.1, layers=torch.nn.Tanh)
    >>> inputs = torch.eye(2)
    >>> estimate = lb.information_between_layers(noisy, inputs, "1", "3", draws=4)
    >>> 0 <= estimate.lower <= estimate.value <= estimate.upper
    True
    """
    processes = Processes(group)
    with processes.call("information_between_layers"):
        check_module(model)
        check_count("draws", draws, minimum=2, maximum=2**31)
        check_count("queries", queries, minimum=2, maximum=2**31)
        check_count("seed", seed, minimum=0)
        level, max_memory = check_confidence(confidence), check_max_memory(max_memory)
        if not isinstance(estimator, str) or estimator not in (DRAWS, KNOWN):
            raise ValueError(f"estimator: got {shown(estimator)!r}, wanted {DRAWS!r} or {KNOWN!r}")
        own_decoders = checked_decoders(decoders)
        if own_decoders and estimator == KNOWN:
            raise ValueError(f"decoders: got {len(own_decoders)} with estimator='known', wanted none; use 'draws'")
        data = read_inputs(inputs, model, max_memory=max_memory)
        model = unsharded(model, processes)
        options = {
            "first": first, "second": second, "draws": draws, "queries": queries, "confidence": level, "seed": seed,
            "max_memory": max_memory, "decoders": decoders, "estimator": estimator,
        }  # fmt: skip
        check_same_arguments(processes, model, data, options)
        pair = LayerPair.of(model, data, (first, second), max_memory, Workers(processes=processes))
        check_same_noise(processes, pair.network)
        if estimator == KNOWN:
            with single_threaded_torch():
                estimate = _known_network_estimate(known_network_bounds(pair, queries, (1 - level) / 2, seed), level)
        else:
            settings = _Settings(draws, max(queries, -(-_MIN_QUERIES // pair.n_inputs)), level, seed, own_decoders)
            estimate = _estimate(pair, settings)
        pair.network.weights.check()
        return processes.check_result("information_between_layers", estimate)


@dataclasses.dataclass(frozen=True)
class _Settings:
    """Options of `information_between_layers`, with the number of queries that is used."""

    draws: int
    queries: int
    confidence: float
    seed: int
    decoders: tuple[InputDecoder, ...]


def _estimate(pair: LayerPair, settings: _Settings) -> Estimate:
    draws, queries, seed = settings.draws, settings.queries, settings.seed
    risk = (1 - settings.confidence) / 2
    values = queries + max(1, queries // 4)  # the values of T_k beyond `queries` serve only to choose densities
    sample = sample_pair(pair, draws, values, seed)

    # The passes are whole, so the mean of the expectations of the terms is that of all inputs.
    weight = unseen_probability(pair.n_inputs * queries, risk)
    with single_threaded_torch():
        choice = stream(seed, RandomStream.PAIR_TRIAL_INPUTS)
        marginal = marginal_log_densities(sample, queries, weight, choice)
        log_p_given, log_q_given = conditional_log_densities(sample.queries, sample.conditional, queries)
        decoder_end, lower_risk = 0.0, risk
        if settings.decoders:
            lower_risk = risk / 2
            callers = caller_decoders(settings.decoders, seed, pair.network.layer_names.index(pair.second))
            decoder_end = decoder_lower_end(sample, queries, marginal.trial_inputs, callers, lower_risk)
    upper_terms = log_p_given[:, :queries] - marginal.bounded + marginal.omitted[:, :queries]
    trial_terms = (log_p_given + marginal.omitted)[marginal.trial_inputs][:, queries:] - marginal.bounded_at_trial
    lower_terms, largest_loss = log_q_given[:, :queries] - marginal.plug_in, 0.0
    if not pair.are_neighbours:
        lower_terms = mixed(log_q_given[:, :queries], marginal.bounded, weight) - marginal.plug_in
        largest_loss = marginal.largest_surprisal - math.log(weight)
    upper_end = upper_mean_bound(
        [trial_terms.ravel(), *split_passes(upper_terms)],
        lower_limit=0.0,
        upper_limit=marginal.largest_surprisal + marginal.largest_omitted,
        risk=risk,
    )
    if lower_terms.mean() < 0:
        lower_terms = np.zeros_like(lower_terms)  # I >= 0 is the better bound
    value, lower = map(JackknifeMean.of_terms, ((lower_terms + upper_terms) / 2, lower_terms))
    seen = lower.value - lower.margin(lower_risk / 2)
    components, shape = pair.n_inputs * (pool_draws(draws, values) + queries), (pair.n_inputs, queries)
    lower_end = seen - unseen_loss(components, shape, lower_risk / 2, largest_loss)
    lower_end = max(0.0, lower_end, decoder_end)
    interval = Interval(lower_end, max(0.0, upper_end))
    bounds = Interval(lower.value, float(upper_terms.mean()))
    point, standard_error = point_value(value.value, value.standard_error, bounds, interval)
    return Estimate(
        value=point,
        standard_error=standard_error,
        lower=interval.lower,
        upper=interval.upper,
        confidence=settings.confidence,
        draws=pool_draws(draws, values) + values * (2 if pair.are_neighbours else 1 + draws),
        flags=(TAIL_ASSUMED,) * marginal.tail_assumed,
    )


def _known_network_estimate(bounds: PairBounds, confidence: float) -> Estimate:
    middle = (bounds.means.lower + bounds.means.upper) / 2
    value, standard_error = point_value(middle, bounds.standard_error, bounds.means, bounds.interval)
    return Estimate(
        value=value,
        standard_error=standard_error,
        lower=bounds.interval.lower,
        upper=bounds.interval.upper,
        confidence=confidence,
        draws=1,
        flags=(TAIL_ASSUMED,) * bounds.tail_assumed,
    )
