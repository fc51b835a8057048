"""A lower end of I(T_k;T_l) from decoders of the caller: in a chain X -> T_k -> T_l, I(X;T_l) <= I(T_k;T_l)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from layerbits._base import Integers
from layerbits.estimators.between_layers.pair_sample import PairSample
from layerbits.estimators.classes import Classes
from layerbits.estimators.fitted_decoder import CallerDecoder
from layerbits.estimators.log_densities import terms
from layerbits.statistics import QUANTITIES, lower_mean_bound, mix_with_prior, split_passes, unseen_probability

_INFORMATION = QUANTITIES[0]  # I(X;T)


def decoder_lower_end(
    sample: PairSample, evaluated: int, trial_inputs: Integers, callers: Sequence[CallerDecoder], risk: float
) -> float:
    """Return a lower end of I(X;T_l) at a risk, by the decoder that is best at trial queries.

    Decoders are fitted to the pool. The first `evaluated` queries of each input are final; the others, of the trial
    inputs, choose the decoder.
    """
    queries = sample.queries
    n_inputs = queries.shape[0]
    classes, weight = Classes.of(None, n_inputs), unseen_probability(n_inputs * evaluated, risk)
    trial = queries.select(trial_inputs, slice(evaluated, None))
    processes = queries.workers.processes
    fitted = [caller.fitted(sample.pool, queries.sigma, classes, processes) for caller in callers]
    trial_terms = [mix_with_prior(terms(_INFORMATION, decoder.log_densities(trial)), weight) for decoder in fitted]
    best = max(range(len(fitted)), key=lambda index: float(trial_terms[index].mean()))
    final = queries.select(slice(None), slice(evaluated))
    final_terms = mix_with_prior(terms(_INFORMATION, fitted[best].log_densities(final)), weight)
    passes = [trial_terms[best].ravel(), *split_passes(final_terms)]
    return lower_mean_bound(passes, lower_limit=math.log(weight), upper_limit=math.log(n_inputs), risk=risk)
