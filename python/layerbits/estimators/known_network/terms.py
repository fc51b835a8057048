"""Terms at queries whose means bound an information: decoder terms from below, confusions from above.

A confusion is L = log(1 + a / u): u estimates p(t|x) of the input that made the query, or the sum over its class, and a
the sum over all other inputs. The information is at most its ceiling less E L. Proofs: docs/theory.md.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from layerbits._base import Doubles
from layerbits.estimators.classes import Classes
from layerbits.estimators.known_network.density_estimates import DensityEstimates
from layerbits.statistics import Condition, Quantity


def confusions(quantity: Quantity, estimates: DensityEstimates, rows: Tensor, classes: Classes) -> Doubles:
    """Return the confusion L of each query, (q,), at least 0.

    Parameters
    ----------
    quantity : Quantity
        An information.
    rows : Tensor of shape (q,)
        The input that made each query.
    """
    is_own = torch.arange(classes.n_inputs) == rows[:, None]
    in_class = _in_class(rows, classes)
    if quantity.subtrahend is Condition.CLASS:
        others = _log_sum(estimates.fresh, ~in_class)
        own = torch.logaddexp(_log_sum(estimates.fresh, in_class & ~is_own), estimates.tilted)
        # The own class may lack inputs, those without samples, only if the term is 0 where it lacks the own input.
        terms = torch.where(estimates.tilted > -math.inf, _softplus(others - own), 0.0)
    else:
        competitors = ~is_own if quantity.minuend is Condition.NONE else in_class & ~is_own
        terms = _softplus(_log_sum(estimates.fresh, competitors) - estimates.tilted_more)
    return _as_doubles(terms)


def decoder_terms(quantity: Quantity, scores: Tensor, rows: Tensor, classes: Classes) -> Doubles:
    """Return log(q(x|t) / p(x)), log(q(y|t) / p(y)) or log(q(x|t, y) / p(x|y)), by the quantity, (q,).

    q is the posterior of scores (q, N): q(x|t) is proportional to exp(score).
    """
    own = scores[torch.arange(len(rows)), rows]
    in_class = _in_class(rows, classes)
    sizes = torch.from_numpy(classes.sizes(rows.numpy())[:, 0])
    over_class, over_all = _log_sum(scores, in_class), scores.logsumexp(1)
    if quantity.subtrahend is Condition.CLASS:
        terms = over_class - over_all + math.log(classes.n_inputs) - sizes.log()
    elif quantity.minuend is Condition.NONE:
        terms = own - over_all + math.log(classes.n_inputs)
    else:
        terms = own - over_class + sizes.log()
    return _as_doubles(terms)


def decoder_scores(estimates: DensityEstimates, sampled_share: float, temperature: float) -> Tensor:
    """Return scores (q, N): powers of the linear models' densities and of the fresh estimates.

    A score of t and x' does not depend on the input that made t. Where x' has no samples, its density by the linear
    model takes the place of the estimate.
    """
    scores = estimates.scores
    if sampled_share:
        fresh = torch.where(estimates.counts > 0, estimates.fresh, scores)
        scores = (1 - sampled_share) * scores + sampled_share * fresh
    return scores / temperature


def _in_class(rows: Tensor, classes: Classes) -> Tensor:
    numbers = torch.from_numpy(classes.numbers)
    return numbers == numbers[rows][:, None]


def _log_sum(values: Tensor, chosen: Tensor) -> Tensor:
    return torch.where(chosen, values, -math.inf).logsumexp(1)


def _softplus(values: Tensor) -> Tensor:
    return torch.logaddexp(values, torch.zeros(()).double())


def _as_doubles(terms: Tensor) -> Doubles:
    return np.asarray(terms.numpy(), dtype=np.float64)
