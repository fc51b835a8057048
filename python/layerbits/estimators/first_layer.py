"""A layer behind no noise: its signal s is a function of the input, so p(t|x) is known.

Plug-in bound and decoder bound are the same mean of independent terms, without a bias; the bound above adds the loss of
the omitted dimensions. The interval is a betting interval (`layerbits.mixtures`).
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
    """Estimate every quantity of a sample with one signal for each input; entropies are less the entropy of the noise.

    Parameters
    ----------
    risk : float
        Probability with which each end of an interval may be wrong.
    stream : NormalStream
        Source of the noise of the queries.
    factors : NormalStream, optional
        Source of the noise relative to the signals; needed for a sample with `alpha`.
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
