"""A layer behind no noise: its signal s is a function of the input, so T given x is s(x) plus noise: a known channel.

Both bounds are the mean of independent terms, without a bias, and the interval is a bet on it (`layerbits.mixtures`).
"""

from __future__ import annotations

from layerbits.estimators.classes import Classes
from layerbits.estimators.layer_sample import LayerSample
from layerbits.estimators.two_sided_estimate import TwoSidedEstimate, exact_estimate
from layerbits.kernels import NormalStream
from layerbits.mixtures import ChannelEstimate, DropoutChannel, KnownChannel
from layerbits.statistics import Interval

_ZERO = ChannelEstimate(mean=0.0, standard_error=0.0, interval=Interval(0.0, 0.0))


def first_layer_estimates(
    sample: LayerSample, classes: Classes, risk: float, stream: NormalStream, factors: NormalStream | None = None
) -> dict[str, TwoSidedEstimate]:
    """Estimate every quantity of a sample with one signal for each input.

    Parameters
    ----------
    risk : float
        Probability with which each end of an interval may be wrong.
    stream : NormalStream
        Noise of the queries.
    factors : NormalStream, optional
        Noise relative to the signals, for a sample with `alpha`.
    """
    if sample.alpha:
        assert factors is not None
        dropout = DropoutChannel(sample.signals[:, 0], sample.alpha, sample.sigma, classes.labels)
        channel_estimates = dropout.estimates(sample.queries, factors, stream, risk)
    else:
        channel = KnownChannel(sample.signals[:, 0], sample.sigma, classes=classes.labels, devices=sample.devices)
        channel_estimates = channel.estimates(sample.queries, stream, risk)
    estimates = {
        name: exact_estimate(estimate, classes.ceilings[name], sample.dimension_loss)
        for name, estimate in channel_estimates.items()
    }
    # Less the entropy of the noise, h(T|X) is 0 and h(T) is I(X;T).
    estimates["h(T|X)"] = exact_estimate(_ZERO, ceiling=0.0, dimension_loss=0.0)
    estimates["h(T)"] = estimates["I(X;T)"]
    return {quantity.name: estimates[quantity.name] for quantity in classes.quantities}
