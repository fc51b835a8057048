"""The interval of I(T_k;T_l).

In a chain I(T_k;T_l) = h(T_l) - h(T_l|T_k). Both entropies are minus the mean of log densities at queries T_l. On
average, the log density of a mixture that holds the query's own signal is too high, and a log density made of other
passes is too low. So the difference of two log densities, one of each kind, bounds I(T_k;T_l) on average.
"""

from __future__ import annotations

import numpy as np
from torch import nn

from layerbits._base import Estimate, check_confidence, check_count
from layerbits.estimators.between_layers.chain import LayerPair
from layerbits.estimators.between_layers.conditional_density import conditional_log_densities
from layerbits.estimators.between_layers.marginal_density import marginal_log_densities
from layerbits.estimators.between_layers.pair_sample import sample_pair
from layerbits.kernels import RandomStream, single_threaded_torch, stream
from layerbits.networks import MAX_MEMORY, Inputs, check_max_memory
from layerbits.statistics import JackknifeMean

# Smallest number of queries of all inputs: terms are skewed, and a Student interval of a few dozen is too narrow.
_MIN_QUERIES = 1024


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
) -> Estimate:
    """Estimate I(T_k;T_l) of two noisy layers k < l that are a chain, for X uniform over the inputs, in nats.

    Parameters
    ----------
    model : torch.nn.Module
        A network with noise, as `noisify` returns it.
    inputs : tensor or array of shape (n, ...), or a tuple of them
        The n values of X; a tuple holds the positional arguments of the network.
    first, second : str
        The layers k and l, as `noise_of` names them, in the order of the data.
    draws : int
        Passes per input for the density of T_l, at least 2; unless the layers are neighbours, also passes per value of
        T_k for the density of T_l given T_k. The interval narrows as `draws` grows.
    queries : int
        Queries T_l per input, at least 2, each with its own value of T_k; more if that gives fewer than 1024 in all.
    confidence : float
        Level of the interval.
    seed : int
        Seed of all noise.
    max_memory : int
        Budget of a pass in bytes, as in `propagate`; the signals of both layers are held in full.

    Returns
    -------
    Estimate
        `lower` to `upper` is a confidence interval for I(T_k;T_l). `value` is the mean of the two bounds, and
        `standard_error` its error from the queries, given the densities. `draws` is the number of passes per input.

    Raises
    ------
    NoNoiseError
        `model` has no noise, or the noise is switched off.
    LayerSelectionError
        `first` or `second` is not a noisy layer.
    ValueError
        The layers are the same or in the wrong order; the input acts on `second` by another path than through `first`,
        such as a skip connection; the network may branch on values, so that its paths are not known; signals are not
        finite; an option is out of range.
    TypeError
        An argument has another type than wanted.

    Notes
    -----
    For densities q made of passes other than the query's own, and mixtures p^ of passes with the query's own,

        E[log q(t|t_k) - log p^(t)] <= I(T_k;T_l) <= E[log p^(t|t_k) - log q(t)],

    because E[-log q(t)] >= h(T_l) by Gibbs' inequality and E[-log p^(t)] = E h(p^) <= h(T_l) by concavity, and likewise
    given any t_k. Between neighbours both densities given t_k are the exact density of the noise. Further queries, used
    for nothing else, choose q. Each end of the interval is a Student bound at half of the risk, from the spread over
    the queries of each input; the spread does not show events that occur in none of the queries. Between neighbours the
    lower bound cannot exceed log(n (draws + queries)). Proofs: docs/theory.md.

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
    check_count("draws", draws, minimum=2)
    check_count("queries", queries, minimum=2)
    check_count("seed", seed, minimum=0)
    level = check_confidence(confidence)
    risk = (1 - level) / 2
    pair = LayerPair.of(model, inputs, first, second, check_max_memory(max_memory))
    queries = max(queries, -(-_MIN_QUERIES // pair.n_inputs))
    values = queries + max(1, queries // 4)  # the values of T_k beyond `queries` serve only to choose densities
    sample = sample_pair(pair, draws, values, seed)

    with single_threaded_torch():
        choice = stream(seed, RandomStream.PAIR_TRIAL_INPUTS)
        log_p, log_q = marginal_log_densities(sample.queries, sample.pool, queries, choice)
        log_p_given, log_q_given = conditional_log_densities(sample.queries, sample.conditional, queries)
    lower_terms, upper_terms = log_q_given - log_p, log_p_given - log_q
    if lower_terms.mean() < 0:
        lower_terms = np.zeros_like(lower_terms)  # I >= 0 is the better bound
    value, lower, upper = map(JackknifeMean.of_terms, ((lower_terms + upper_terms) / 2, lower_terms, upper_terms))
    return Estimate(
        value=max(0.0, value.value),
        standard_error=value.standard_error,
        lower=max(0.0, lower.value - lower.margin(risk)),
        upper=max(0.0, upper.value + upper.margin(risk)),
        confidence=level,
        draws=draws + values * (2 if pair.are_neighbours else 1 + draws),
    )
