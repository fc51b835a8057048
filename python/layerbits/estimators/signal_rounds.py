"""The rounds of recorded signals; with a tolerance, each round has more queries than the last.

As in `layer_rounds`, round k has 6 / (pi k)^2 of the risk. The draws are given, so only queries can be added: up to
`MAX_QUERIES` if the signal is a function of the input, otherwise until half of the draws carry queries. So round k, if
it runs, has the same number of queries whatever the earlier rounds showed, and the intervals of all rounds hold
together.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Mapping

import torch
from torch import Tensor

from layerbits.estimators.audits import Shortfall
from layerbits.estimators.classes import Classes
from layerbits.estimators.input_decoders import InputDecoder
from layerbits.estimators.layer_measurement import LayerMeasurement, SampleSource, estimate_samples
from layerbits.estimators.layer_rounds import MAX_QUERIES
from layerbits.estimators.layer_sample import LayerSample, sample_of_signals
from layerbits.estimators.round_outlook import Effort
from layerbits.estimators.settings import MeasurementSettings
from layerbits.kernels import NO_WORKERS, Workers
from layerbits.networks import GaussianNoise


@dataclasses.dataclass(frozen=True)
class SignalRounds:
    """The measurement of the signals of a layer.

    Attributes
    ----------
    signals : Tensor of shape (n, r, d)
        r draws of each row; r = 1: the signal is a function of the row.
    noise : GaussianNoise
        The noise of the layer.
    label_sets : mapping of str to Classes
        The classes of the rows by the name of the label set.
    index : int
        Index of the layer, which selects its streams of random numbers.
    settings : MeasurementSettings
        The settings; numbers of draws have no effect.
    workers : Workers
        Devices that share the work on the queries.
    decoders : tuple of InputDecoder
        Decoders of the caller, which compete with the built-in ones.
    n_intervals : int
        Number of the intervals that hold together if they are simultaneous.
    """

    signals: Tensor
    noise: GaussianNoise
    label_sets: Mapping[str, Classes]
    index: int
    settings: MeasurementSettings
    workers: Workers = NO_WORKERS
    decoders: tuple[InputDecoder, ...] = ()
    n_intervals: int = 1

    def measure(self, deadline: float) -> dict[str, LayerMeasurement]:
        """Return the measurement with each label set.

        With a tolerance, no round begins that would likely end after the deadline (`time.monotonic`).
        """
        settings, queries = self.settings, self.settings.queries
        for number in itertools.count(1):
            started = time.monotonic()
            samples = self._samples(queries)
            measurements = self._measurements(samples, number)
            information = next(iter(measurements.values())).estimates["I(X;T)"]
            if settings.tolerance is None or information.interval.half_width <= settings.tolerance:
                break
            effort = Effort(samples[0].draws, samples[0].queries)
            larger = effort.larger(information.limited_by, effort.draws, MAX_QUERIES // len(self.signals))
            expected_end = time.monotonic() + (time.monotonic() - started) * larger.queries / effort.queries
            limit_and_remedy = self._limit(effort, larger, information.limited_by, expected_end > deadline)
            if limit_and_remedy is not None:
                limit, remedy = limit_and_remedy
                shortfall = Shortfall(settings.tolerance, limit, information.limited_by, remedy)
                return {
                    name: dataclasses.replace(measurement, shortfall=shortfall)
                    for name, measurement in measurements.items()
                }
            queries = larger.queries
        return measurements

    def _samples(self, queries: int | None) -> list[LayerSample]:
        """Return one sample; for the paper's estimator two, each of half of the draws."""
        in_halves = self.settings.estimator == "paper" and self.signals.shape[1] > 1
        parts: tuple[Tensor, ...] = torch.tensor_split(self.signals, 2, dim=1) if in_halves else (self.signals,)
        return [sample_of_signals(self.noise, part, queries, self.workers) for part in parts]

    def _measurements(self, samples: list[LayerSample], number: int) -> dict[str, LayerMeasurement]:
        settings = self.settings
        seed = settings.seed_of_round(number)
        risk = settings.risk_of_each(self.n_intervals) * settings.share_of_round(number)
        source = SampleSource(seed, self.index, self.decoders)
        return {
            name: LayerMeasurement(samples[0].draws, estimate_samples(samples, classes, risk, source))
            for name, classes in self.label_sets.items()
        }

    def _limit(self, effort: Effort, larger: Effort, cause: str, is_late: bool) -> tuple[str, str] | None:
        """Return the limit that forbids the next round, and the remedy; None if no limit does."""
        if cause == "dimensions" and effort.draws == 1:
            return "any number of draws", "raise tolerance"
        if larger == effort and effort.draws == 1:
            return f"{effort.queries} queries of a row", "raise tolerance"
        if larger == effort:
            return f"{effort.draws} draws of a row", "pass more draws"
        return (f"max_seconds {self.settings.max_seconds:g}", "raise max_seconds") if is_late else None
