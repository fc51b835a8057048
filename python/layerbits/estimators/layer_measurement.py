"""One layer, measured once or, with a tolerance, in rounds of more and more draws or queries.

Round k of a measurement with a tolerance has 6 / (pi k)^2 of the risk. These shares sum to 1, so the intervals of all
rounds hold together, and the measurement may stop after any round. Each round has its own seed, because the size of a
round depends on the round before.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence

from layerbits.estimators.audits import note
from layerbits.estimators.classes import Classes
from layerbits.estimators.first_layer import first_layer_estimates
from layerbits.estimators.fitted_decoder import caller_decoders
from layerbits.estimators.input_decoders import InputDecoder
from layerbits.estimators.layer_behind_noise import NoisySample, noisy_layer_estimates
from layerbits.estimators.layer_sample import LayerSample, sample_layers
from layerbits.estimators.problem import Problem
from layerbits.estimators.risk_shares import UNDIVIDED, RiskShares
from layerbits.estimators.settings import MeasurementSettings
from layerbits.estimators.two_sided_estimate import TwoSidedEstimate
from layerbits.kernels import NormalStream, RandomStream, derived_seed, single_threaded_torch, stream

# Largest number of queries of all inputs in a round behind no noise, where draws do not limit them: 0.5 GB of terms.
_MAX_QUERIES = 2**22


@dataclasses.dataclass(frozen=True)
class LayerMeasurement:
    """The estimates of a layer from its last round.

    Attributes
    ----------
    draws : int
        Noisy passes per input.
    estimates : mapping of str to TwoSidedEstimate
        The estimate of each quantity.
    shortfall : str
        Why the tolerance was missed; empty otherwise.
    """

    draws: int
    estimates: Mapping[str, TwoSidedEstimate]
    shortfall: str = ""


def sample_seeds(settings: MeasurementSettings, seed: int) -> list[int]:
    """Return the seeds of a round's samples: one seed, or two for the paper's estimator."""
    if settings.estimator == "paper":
        return [seed, derived_seed(seed, RandomStream.SEPARATE_SEED)]
    return [seed]


def estimate_layer(
    problem: Problem,
    layer: str,
    samples: Sequence[LayerSample],
    risk: float,
    seed: int,
    shares: RiskShares = UNDIVIDED,
) -> dict[str, TwoSidedEstimate]:
    """Estimate every quantity of a layer from its samples; each end of an interval is wrong with at most this risk.

    `layer` names a part of the problem. A layer and its readouts use the same streams of random numbers. `shares`
    divide the risk of the ends of an information.
    """
    index = problem.network.layer_names.index(problem.parts[layer].layer)
    return estimate_samples(samples, problem.classes, index, risk, seed, shares, problem.decoders)


def estimate_samples(
    samples: Sequence[LayerSample],
    classes: Classes,
    index: int,
    risk: float,
    seed: int,
    shares: RiskShares = UNDIVIDED,
    decoders: Sequence[InputDecoder] = (),
) -> dict[str, TwoSidedEstimate]:
    """Estimate every quantity from samples of a layer; the index of the layer selects the streams of random numbers.

    `decoders` are those of the caller, which compete with the built-in ones.
    """
    sample = samples[0]
    streams = (
        NormalStream(seed, RandomStream.QUERIES, index),
        NormalStream(seed, RandomStream.SEPARATE_QUERIES, index),
    )
    with single_threaded_torch():
        if sample.is_exact:
            factors = NormalStream(seed, RandomStream.QUERY_FACTORS, index) if sample.alpha else None
            estimates = first_layer_estimates(sample, classes, risk, streams[0], factors, shares)
        else:
            callers = caller_decoders(decoders, seed, index)
            noisy_samples = [
                NoisySample(*sample.split(queries), sample.dimension_loss, sample.diameter, callers, sample.omitted)
                for sample, queries in zip(samples, streams, strict=False)
            ]
            choice = stream(seed, RandomStream.TRIAL_INPUTS, index)
            estimates = noisy_layer_estimates(noisy_samples, classes, risk, choice, shares)
    entropies = {name: estimates[name].shifted(sample.noise_entropy) for name in ("h(T)", "h(T|X)")}
    return estimates | entropies


@dataclasses.dataclass(frozen=True)
class Effort:
    """Noisy passes and queries per input; one pass behind no noise."""

    draws: int
    queries: int

    def larger(self, limited_by: str, max_draws: int, max_queries: int) -> Effort:
        """Return the effort of the next round.

        `limited_by` is the main cause of the width of the interval, as in `TwoSidedEstimate`. The effort stays the same
        if a limit is reached, or if the cause is the omitted dimensions, which no effort reduces.
        """
        if limited_by == "dimensions":
            return self
        if self.draws == 1:
            return Effort(1, 2 * self.queries) if 2 * self.queries <= max_queries else self
        if limited_by == "queries":
            queries = max(self.queries, min(2 * self.queries, max_draws // 2))
            return Effort(max(self.draws, 2 * queries), queries)
        return Effort(max(self.draws, min(2 * self.draws, max_draws)), self.queries)


@dataclasses.dataclass(frozen=True)
class LayerTask:
    """The measurement of a layer with settings and a deadline.

    Attributes
    ----------
    deadline : float
        No round begins that is likely to end after this time (`time.monotonic`).
    shares : RiskShares
        How the risk of the ends of an information is divided.
    """

    problem: Problem
    settings: MeasurementSettings
    layer: str
    deadline: float
    shares: RiskShares = UNDIVIDED

    def measure(self, samples: Sequence[LayerSample], report: Callable[[str], object]) -> LayerMeasurement:
        """Measure in rounds until the interval of I(X;T) is narrow or a limit is reached; without a tolerance, once.

        `samples` are those of the first round. `report` gets a line on each round.
        """
        settings, seed, start = self.settings, self.settings.seed, time.monotonic()
        max_queries = _MAX_QUERIES // self.problem.n_inputs
        for round_number in itertools.count(1):
            share = 1.0 if settings.tolerance is None else 6 / (math.pi * round_number) ** 2
            risk = share * settings.risk
            estimates = estimate_layer(self.problem, self.layer, samples, risk, seed, self.shares)
            effort, information = Effort(samples[0].draws, samples[0].queries), estimates["I(X;T)"]
            interval, cause = information.interval, information.limited_by
            report(f"{interval.lower:.3f} to {interval.upper:.3f} nats, {effort.draws} draws")
            if settings.tolerance is None or interval.half_width <= settings.tolerance:
                break
            larger_effort = effort.larger(cause, settings.max_draws, max_queries)
            limit = self._limit(effort, larger_effort, cause, time.monotonic() - start)
            if limit:
                _, shortfall = note("tolerance_missed", tolerance=settings.tolerance, limit=limit, cause=cause)
                return LayerMeasurement(effort.draws, estimates, shortfall)
            start = time.monotonic()
            seed = derived_seed(settings.seed, RandomStream.ROUND_SEED, round_number + 1)
            samples = self._sample(larger_effort, seed)
        return LayerMeasurement(effort.draws, estimates)

    def _sample(self, effort: Effort, seed: int) -> list[LayerSample]:
        return [
            sample_layers(self.problem, (self.layer,), effort.draws, effort.queries, sample_seed)[self.layer]
            for sample_seed in sample_seeds(self.settings, seed)
        ]

    def _limit(self, effort: Effort, larger_effort: Effort, cause: str, seconds: float) -> str:
        """Return the limit that forbids a round of `larger_effort` after a round of `seconds`; empty if none does."""
        if cause == "dimensions":
            return "any number of draws"
        if larger_effort == effort and effort.draws == 1:
            return f"{effort.queries} queries of an input"
        if larger_effort == effort:
            return f"max_draws {self.settings.max_draws}"
        growth = larger_effort.draws * larger_effort.queries / (effort.draws * effort.queries)
        is_late = time.monotonic() + seconds * growth > self.deadline
        return f"max_seconds {self.settings.max_seconds:g}" if is_late else ""
