"""A layer behind no noise: its signal s is a function of the input, so p(t|x) is known.

Plug-in bound and decoder bound are the same mean of independent terms, without a bias; the bound above adds the loss of
the omitted dimensions. The interval is a betting interval (`layerbits.mixtures`).
"""

from __future__ import annotations

import dataclasses

from layerbits.estimators.classes import Classes
from layerbits.estimators.layer_sample import LayerSample
from layerbits.estimators.risk_shares import UNDIVIDED, RiskShares
from layerbits.estimators.two_sided_estimate import TwoSidedEstimate, exact_estimate
from layerbits.kernels import NormalStream
from layerbits.mixtures import ChannelEstimate, DropoutChannel, KnownChannel
from layerbits.statistics import Interval

_ZERO = ChannelEstimate(mean=0.0, standard_error=0.0, interval=Interval(0.0, 0.0))


def first_layer_estimates(
    sample: LayerSample,
    classes: Classes,
    risk: float,
    stream: NormalStream,
    factors: NormalStream | None = None,
    shares: RiskShares = UNDIVIDED,
) -> dict[str, TwoSidedEstimate]:
    """Estimate every quantity of a sample with one signal for each input; entropies lack the entropy of the noise.

    Parameters
    ----------
    risk : float
        Probability with which each end of an interval may be wrong.
    stream : NormalStream
        Source of the noise of the queries.
    factors : NormalStream, optional
        Source of the noise relative to the signals; needed for a sample with `alpha`.
    shares : RiskShares
        How the risk of the ends of an information is divided.
    """
    risks = dict.fromkeys(share * risk for share in (1.0, shares.lower, shares.upper, shares.lent) if share)
    if sample.alpha:
        assert factors is not None
        dropout = DropoutChannel(sample.signals[:, 0], sample.alpha, sample.sigma, classes.labels)
        by_risk = dropout.estimates_of_risks(sample.queries, factors, stream, risks)
    else:
        channel = KnownChannel(sample.signals[:, 0], sample.sigma, classes=classes.labels, workers=sample.workers)
        by_risk = channel.estimates_of_risks(sample.queries, stream, risks)
    of_lower, of_upper = by_risk[shares.lower * risk], by_risk[shares.upper * risk]
    estimates = {
        name: exact_estimate(
            dataclasses.replace(estimate, interval=Interval(estimate.interval.lower, of_upper[name].interval.upper)),
            classes.ceilings[name],
            sample.dimension_loss,
            by_risk[shares.lent * risk][name].interval if shares.lent else None,
        )
        for name, estimate in of_lower.items()
    }
    # Without the entropy of the noise, h(T|X) is 0 and h(T) is I(X;T).
    estimates["h(T|X)"] = exact_estimate(_ZERO, ceiling=0.0, dimension_loss=0.0)
    estimates["h(T)"] = exact_estimate(by_risk[risk]["I(X;T)"], classes.ceilings["I(X;T)"], sample.dimension_loss)
    return {quantity.name: estimates[quantity.name] for quantity in classes.quantities}
