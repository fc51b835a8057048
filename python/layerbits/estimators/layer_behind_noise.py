"""A layer behind noise: every quantity between the plug-in bound and a decoder bound.

Both bounds use the same passes: the plug-in is made of all draws, the decoders of the draws without queries. A sum over
all draws is the sum over the draws without queries, which is the mixture decoder, plus the sum over the other draws. So
the decoder bound adds only the sums of the other decoders.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial

import numpy as np

from layerbits.estimators.classes import Classes
from layerbits.estimators.decoder_bound import DecoderBounds
from layerbits.estimators.decoder_candidates import TrialSplit
from layerbits.estimators.noisy_sample import NoisySample
from layerbits.estimators.plug_in_bound import entropy_lower_end, information_upper_end, plug_in
from layerbits.estimators.risk_shares import UNDIVIDED, RiskShares
from layerbits.estimators.two_sided_estimate import Bounds, TwoSidedEstimate, entropy_estimate, information_estimate
from layerbits.statistics import Interval


def noisy_layer_estimates(
    samples: Sequence[NoisySample],
    classes: Classes,
    risk: float,
    generator: np.random.Generator,
    shares: RiskShares = UNDIVIDED,
) -> dict[str, TwoSidedEstimate]:
    """Estimate every quantity of a layer behind noise; entropies lack the entropy of the noise given the signal.

    Parameters
    ----------
    samples : sequence of NoisySample
        One sample, or two for the paper's estimator. With two, the plug-in bound takes h(T|X) and h(T|Y) from the
        second sample, and `value` is the plug-in bound, moved into the interval.
    risk : float
        Probability with which each end of an interval may be wrong; half of it for an entropy with `alpha`.
    generator : numpy.random.Generator
        Chooses the inputs at which decoders are compared.
    shares : RiskShares
        How the risk of the ends of an information is divided.
    """
    decoder_sample = samples[0]
    # With `alpha`, the other half of an entropy's risk is that of the entropy of the noise (`noise_entropies`).
    entropy_risk = risk / 2 if decoder_sample.queries.alpha else risk
    plug_ins = [plug_in(sample.queries, sample.draws, classes) for sample in samples]
    split = TrialSplit.random(decoder_sample.queries, generator)
    decoders = DecoderBounds.of(decoder_sample, split, plug_ins[0], classes, entropy_risk)
    combined = plug_ins[0] if len(plug_ins) == 1 else plug_ins[0].with_conditionals_of(plug_ins[1])
    shape, n_draws = decoder_sample.queries.shape, decoder_sample.draws.shape[1]
    estimates = {}
    for quantity in classes.quantities:
        if quantity.is_entropy and decoder_sample.is_slice:
            continue
        plug_in_bound = combined.bound(quantity)
        bounds = Bounds(plug_in_bound, decoders.bound(quantity, shares.lower * risk), combined.own_share(quantity))
        if quantity.is_entropy:
            loss = decoder_sample.dimension_loss
            upper = bounds.decoder.end + (loss if decoder_sample.omitted is None else 0.0)
            components = (n_draws + shape[1]) * (classes.n_inputs if quantity.name == "h(T)" else 1)
            ends = Interval(entropy_lower_end(plug_in_bound, components, shape, entropy_risk), upper)
            estimate = entropy_estimate(bounds, ends, loss)
        else:
            upper_end = partial(information_upper_end, plug_in_bound, classes.largest_terms[quantity.name], shape)
            lent_risk, lent = shares.lent * risk, None
            if lent_risk:
                lent = Interval(decoders.bound(quantity, lent_risk).end, upper_end(lent_risk))
            ceiling = classes.ceilings[quantity.name]
            # The lent ends have the smaller risk, if there are any.
            loss = decoder_sample.loss(lent_risk or shares.upper * risk)
            estimate = information_estimate(bounds, upper_end(shares.upper * risk), ceiling, loss, lent)
        if len(samples) > 1:
            estimate = estimate.with_value(plug_in_bound.value, plug_in_bound.standard_error)
        estimates[quantity.name] = dataclasses.replace(estimate, tail_assumed=bounds.decoder.tail_assumed)
    return estimates
