"""One layer, measured once: a sample of its signals and queries about them in, the brackets of its quantities out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from layerbits._base import Integers
from layerbits.estimators.intervals import TwoSidedEstimate, exact_estimates, sampled_estimates
from layerbits.estimators.log_densities import Queries
from layerbits.estimators.plug_in_bound import plug_in
from layerbits.estimators.sampling import LayerSample
from layerbits.kernels import NormalStream, single_threaded_torch, stream

# Streams of random numbers under one seed; the keys of propagate are triples that begin otherwise.
_QUERY_STREAM, _SECOND_QUERY_STREAM, _CHOICE_STREAM = 1, 2, 4

# Fresh queries on which decoders are compared, at the most: enough to tell apart what differs by a few hundredths.
_COMPARED = 2048


@single_threaded_torch()
def measure(
    samples: Sequence[LayerSample], classes: Integers | None, risk: float, key: tuple[int, int]
) -> dict[str, TwoSidedEstimate]:
    """Bound the quantities of a layer; h(T) and h(T|X) with the entropy of the noise.

    Parameters
    ----------
    samples : sequence of LayerSample
        One, or two, of which the second then serves for h(T|X) and h(T|Y) of the plug-in.
    risk : float
        Probability with which either end of an interval may be wrong.
    key : (int, int)
        Seed, and number of the layer.
    """
    sample, (seed, place) = samples[0], key
    if sample.is_exact:
        bases = sample.signals.expand(-1, sample.queries, -1)
        asked = _queries(bases, sample, (seed, _QUERY_STREAM, place))
        brackets = exact_estimates(asked, sample.signals, classes, sample.sigma, risk, sample.lost)
    else:
        (asked, draws), *second = (
            _split(one, (seed, number, place))
            for one, number in zip(samples, (_QUERY_STREAM, _SECOND_QUERY_STREAM), strict=False)
        )
        other = plug_in(*second[0], classes, samples[1].sigma)[0] if second else None
        n, q = asked.shape
        shown = max(1, _COMPARED // max(1, q // 2))
        some = np.sort(
            stream(seed, _CHOICE_STREAM, place).permutation(n)[:shown]
        )  # not every k-th: inputs have an order
        brackets = sampled_estimates(asked, draws, classes, sample.sigma, risk, sample.lost, some=some, other=other)
    entropies = {name: brackets[name].plus(sample.entropy) for name in ("h(T)", "h(T|X)")}
    return brackets | entropies


def _split(sample: LayerSample, key: tuple[int, int, int]) -> tuple[Queries, Tensor]:
    others = sample.signals.shape[1] - sample.queries
    bases, draws = sample.signals[:, others:].contiguous(), sample.signals[:, :others].contiguous()
    return _queries(bases, sample, key), draws


def _queries(bases: Tensor, sample: LayerSample, key: tuple[int, int, int]) -> Queries:
    return Queries.around(bases, sample.sigma, NormalStream(*key).like(bases), sample.devices)
