"""A layer behind no noise: its signal s is a function of the input, so T = s(x) + Z is a known channel.

Both bounds are the mean of independent terms, without a bias, and the interval is a bet on it (`layerbits.mixtures`).
"""

from __future__ import annotations

from layerbits.estimators.classes import Classes
from layerbits.estimators.layer_sample import LayerSample
from layerbits.estimators.two_sided_estimate import TwoSidedEstimate, exact_estimate
from layerbits.kernels import NormalStream
from layerbits.mixtures import ChannelEstimate, KnownChannel
from layerbits.statistics import Interval

_ZERO = ChannelEstimate(mean=0.0, standard_error=0.0, interval=Interval(0.0, 0.0))


def first_layer_estimates(
    sample: LayerSample, classes: Classes, risk: float, stream: NormalStream
) -> dict[str, TwoSidedEstimate]:
    """Estimate every quantity of a sample with one signal for each input.

    Parameters
    ----------
    risk : float
        Probability with which each end of an interval may be wrong.
    stream : NormalStream
        Noise of the queries.
    """
    channel = KnownChannel(sample.signals[:, 0], sample.sigma, classes=classes.labels, devices=sample.devices)
    loss = sample.dimension_loss
    estimates = {
        name: exact_estimate(estimate, classes.ceilings[name], loss)
        for name, estimate in channel.estimates(sample.queries, stream, risk).items()
    }
    # Less the entropy of the noise, h(T|X) is 0 and h(T) is I(X;T).
    estimates["h(T|X)"] = exact_estimate(_ZERO, ceiling=0.0, dimension_loss=0.0)
    estimates["h(T)"] = estimates["I(X;T)"]
    return {quantity.name: estimates[quantity.name] for quantity in classes.quantities}
