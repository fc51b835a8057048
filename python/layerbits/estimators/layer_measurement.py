"""The estimates of one layer from the samples of one round."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from layerbits.estimators.audits import Shortfall
from layerbits.estimators.best_ends import best_ends
from layerbits.estimators.classes import Classes
from layerbits.estimators.first_layer import first_layer_estimates
from layerbits.estimators.fitted_decoder import caller_decoders
from layerbits.estimators.input_decoders import InputDecoder
from layerbits.estimators.known_layer import SHARE_OF_DRAWS, KnownLayer
from layerbits.estimators.known_network import OtherEstimate
from layerbits.estimators.known_network.linear_models import UnboundedGainError
from layerbits.estimators.layer_behind_noise import noisy_layer_estimates
from layerbits.estimators.layer_sample import LayerSample
from layerbits.estimators.noise_entropies import entropies_of_layer
from layerbits.estimators.noisy_sample import NoisySample
from layerbits.estimators.problem import Problem
from layerbits.estimators.risk_shares import UNDIVIDED, RiskShares
from layerbits.estimators.settings import MeasurementSettings
from layerbits.estimators.slices import random_slice_estimates
from layerbits.estimators.two_sided_estimate import TwoSidedEstimate
from layerbits.kernels import NormalStream, RandomStream, derived_seed, single_threaded_torch, stream


@dataclasses.dataclass(frozen=True)
class LayerMeasurement:
    """The estimates of a layer from its last round.

    Attributes
    ----------
    draws : int
        Noisy passes per input.
    estimates : mapping of str to TwoSidedEstimate
        The estimate of each quantity.
    shortfall : Shortfall or None
        Why the tolerance was missed; None otherwise.
    """

    draws: int
    estimates: Mapping[str, TwoSidedEstimate]
    shortfall: Shortfall | None = None


def sample_seeds(settings: MeasurementSettings, seed: int) -> list[int]:
    """Return the seeds of a round's samples: one seed, or two for the paper's estimator."""
    if settings.estimator == "paper":
        return [seed, derived_seed(seed, RandomStream.SEPARATE_SEED)]
    return [seed]


def estimate_layer(
    problem: Problem,
    layer: str,
    samples: Sequence[LayerSample | KnownLayer],
    risk: float,
    seed: int,
    shares: RiskShares = UNDIVIDED,
) -> dict[str, TwoSidedEstimate]:
    """Estimate every quantity of a layer from its samples; each end of an interval is wrong with at most this risk.

    `layer` names a part of the problem. A layer and its readouts use the same streams of random numbers. `shares`
    divide the risk of the ends of an information.
    """
    recorded = [sample for sample in samples if isinstance(sample, LayerSample)]
    known = next((sample for sample in samples if isinstance(sample, KnownLayer)), None)
    if known is not None and not recorded:
        return known.estimates(problem.classes, risk, seed, shares)
    index = problem.network.layer_names.index(problem.parts[layer].layer)
    source = SampleSource(seed, index, problem.decoders)
    if recorded[0].frames is not None:

        def estimate_slice(of_slice: Sequence[LayerSample], risk: float, number: int) -> dict[str, TwoSidedEstimate]:
            slice_source = SampleSource(derived_seed(seed, RandomStream.SLICE_SEED, number), index)
            return estimate_samples(of_slice, problem.classes, risk, slice_source)

        return random_slice_estimates(recorded, problem.classes, risk, estimate_slice)
    if known is not None:
        by_draws = estimate_samples(recorded, problem.classes, SHARE_OF_DRAWS * risk, source, shares)
        if not known.may_narrow(by_draws["I(X;T)"], recorded[0].queries):
            return by_draws
        try:
            # Draws, models and pilot have taken half of the work; the rest would pay for about twice as many draws.
            information = by_draws["I(X;T)"]
            other = OtherEstimate(information.interval, known.width_of_more_draws(information, 2))
            by_network = known.estimates(problem.classes, (1 - SHARE_OF_DRAWS) * risk, seed, shares, other)
        except UnboundedGainError:
            return by_draws
        if not by_network:
            return by_draws
        return {
            quantity.name: best_ends(by_draws[quantity.name], by_network[quantity.name], is_entropy=quantity.is_entropy)
            for quantity in problem.classes.quantities
        }
    return estimate_samples(recorded, problem.classes, risk, source, shares)


@dataclasses.dataclass(frozen=True)
class SampleSource:
    """The random numbers of the estimates of one layer in one round, and the decoders of the caller.

    Attributes
    ----------
    seed : int
        Seed of the round.
    index : int
        Index of the layer, which selects its streams.
    decoders : tuple of InputDecoder
        Decoders of the caller, which compete with the built-in ones.
    """

    seed: int
    index: int
    decoders: tuple[InputDecoder, ...] = ()


def estimate_samples(
    samples: Sequence[LayerSample],
    classes: Classes,
    risk: float,
    source: SampleSource,
    shares: RiskShares = UNDIVIDED,
) -> dict[str, TwoSidedEstimate]:
    """Estimate every quantity from samples of a layer; each end of an interval is wrong with at most this risk."""
    sample = samples[0]
    streams = (
        NormalStream(source.seed, RandomStream.QUERIES, source.index),
        NormalStream(source.seed, RandomStream.SEPARATE_QUERIES, source.index),
    )
    with single_threaded_torch():
        if sample.is_exact:
            factors = NormalStream(source.seed, RandomStream.QUERY_FACTORS, source.index) if sample.alpha else None
            estimates = first_layer_estimates(sample, classes, risk, streams[0], factors, shares)
        else:
            callers = caller_decoders(source.decoders, source.seed, source.index)
            noisy_samples = [
                NoisySample(
                    *sample.split(queries),
                    sample.dimension_loss,
                    sample.diameter,
                    callers,
                    sample.omitted,
                    sample.is_slice,
                )
                for sample, queries in zip(samples, streams, strict=False)
            ]
            choice = stream(source.seed, RandomStream.TRIAL_INPUTS, source.index)
            estimates = noisy_layer_estimates(noisy_samples, classes, risk, choice, shares)
    return estimates | entropies_of_layer(estimates, sample, risk)
