"""The information of every random slice of a layer, and their mean over the frames."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import torch

from layerbits.estimators.classes import Classes
from layerbits.estimators.layer_sample import LayerSample
from layerbits.estimators.slices.frame_mean import SLICE_SHARE, frame_mean
from layerbits.estimators.two_sided_estimate import Point, TwoSidedEstimate
from layerbits.kernels import map_in_threads
from layerbits.mixtures import line_information
from layerbits.statistics import Interval

# Function of the samples of a slice, the risk of each end and the number of the slice; it estimates every quantity.
SliceEstimator = Callable[[Sequence[LayerSample], float, int], Mapping[str, TwoSidedEstimate]]


def random_slice_estimates(
    samples: Sequence[LayerSample], classes: Classes, risk: float, estimate: SliceEstimator
) -> dict[str, TwoSidedEstimate]:
    """Estimate the mean of every information over the random frames of a layer.

    Parameters
    ----------
    samples : sequence of LayerSample
        Samples with frames: one, or two for the paper's estimator.
    risk : float
        Probability with which each end of an interval may be wrong.
    estimate : callable
        Estimates the quantities of one slice. Slices of one dimension behind no noise are computed by quadrature.

    Notes
    -----
    A quarter of the risk is divided among the slices, because they share their passes, and the rest is for the sampling
    of the frames. Behind no noise I(X; A^T T) is at most 1/2 log det(I + A^T Cov(S) A / sigma^2), the information of
    Gaussian signals. This number limits the upper end of each slice, and its maximum over all frames limits the terms
    of the bets.
    """
    frames, is_exact = samples[0].frames, samples[0].is_exact
    assert frames is not None
    names = [quantity.name for quantity in classes.quantities if not quantity.is_entropy]
    is_line = is_exact and frames.size == 1

    def estimate_slice(number: int) -> Mapping[str, TwoSidedEstimate]:
        of_slice = [_slice(sample, frames.size, number) for sample in samples]
        if is_line:
            return _line_estimates(of_slice[0], classes)
        estimates = estimate(of_slice, SLICE_SHARE * risk / frames.count, number)
        ceiling = _gaussian_ceiling(of_slice[0]) if is_exact else math.inf
        return {name: _below(estimates[name], ceiling) for name in names}

    if samples[0].workers.processes.size == 1 and samples[0].signals.device.type == "cpu":
        by_slice = map_in_threads(estimate_slice, frames.count)
    else:  # processes share the sums of a slice, in the same order
        by_slice = list(map(estimate_slice, range(frames.count)))
    largest = min(frames.ceiling, frames.ceiling_of_function if is_exact else math.inf)
    frame_risk = risk if is_line else (1 - SLICE_SHARE) * risk
    return {
        name: frame_mean([estimates[name] for estimates in by_slice], min(classes.ceilings[name], largest), frame_risk)
        for name in names
    }


def _slice(sample: LayerSample, size: int, number: int) -> LayerSample:
    """Return the sample of a slice, of `size` coordinates."""
    signals = sample.signals[..., number * size : (number + 1) * size].contiguous()
    return dataclasses.replace(sample, signals=signals, frames=None, is_slice=True)


def _line_estimates(sample: LayerSample, classes: Classes) -> dict[str, TwoSidedEstimate]:
    centers = sample.signals[:, 0, 0].numpy(force=True)
    values, errors = line_information(centers, sample.sigma, classes.labels)
    estimates = {}
    for name, value in values.items():
        error = errors[name]
        interval = Interval(value - error, value + error).clipped(0.0, classes.ceilings[name])
        point = Point(Interval(value, value), error, Interval(value, value))
        estimates[name] = TwoSidedEstimate(interval, value, error, value, error, "exact", "queries", point)
    return estimates


def _gaussian_ceiling(sample: LayerSample) -> float:
    """Return the information of Gaussian signals with the covariance of the signals, behind no noise, in nats."""
    values = sample.signals[:, 0].double()
    deviations = (values - values.mean(0)) / sample.sigma
    covariance = deviations.mT @ deviations / len(deviations)
    identity = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    return float(torch.linalg.slogdet(covariance + identity).logabsdet) / 2


def _below(estimate: TwoSidedEstimate, ceiling: float) -> TwoSidedEstimate:
    """Return an estimate whose upper end is at most a ceiling that holds with certainty."""
    interval = estimate.interval
    return dataclasses.replace(estimate, interval=Interval(interval.lower, min(interval.upper, ceiling)))
