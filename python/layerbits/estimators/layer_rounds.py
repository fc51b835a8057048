"""The rounds of one layer with a tolerance, each with more draws or queries, and the expected course of further rounds.

Round k has 6 / (pi k)^2 of the risk. These shares sum to 1, so the intervals of all rounds hold together, and the
rounds may stop at any time, for any reason. Each round has its own seed, because the size of a round depends on the
round before. Sizes and seeds depend on the results of the same layer alone: neither the clock nor the rounds of other
layers change what round k of a layer measures.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence

from layerbits.estimators.audits import note
from layerbits.estimators.known_layer import KnownLayer, known_layers
from layerbits.estimators.layer_groups import is_wide
from layerbits.estimators.layer_measurement import LayerMeasurement, estimate_layer, sample_seeds
from layerbits.estimators.layer_sample import LayerSample, sample_layers
from layerbits.estimators.problem import Problem
from layerbits.estimators.risk_shares import UNDIVIDED, RiskShares
from layerbits.estimators.settings import MeasurementSettings
from layerbits.kernels import RandomStream, derived_seed
from layerbits.statistics import Interval

# Largest number of queries of all inputs in a round behind no noise, where draws do not limit them: 0.5 GB of terms.
_MAX_QUERIES = 2**22

# A last round that left more than this share of the width shows that further rounds hardly narrow the interval.
_HARDLY_NARROWER = 0.9


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

    @property
    def work(self) -> int:
        """Number of pairs of a draw and a query of an input, to which the time of a round is proportional."""
        return self.draws * self.queries


@dataclasses.dataclass(frozen=True)
class Round:
    """A finished round.

    Attributes
    ----------
    effort : Effort
        Its draws and queries.
    interval : Interval
        The interval of I(X;T).
    limited_by : str
        Main cause of the width of the interval.
    seconds_of_passes, seconds_of_estimates : float
        Time of its passes, which the layers of a group share in the first round, and of its estimates.
    """

    effort: Effort
    interval: Interval
    limited_by: str
    seconds_of_passes: float
    seconds_of_estimates: float

    @property
    def seconds(self) -> float:
        """Time of a round alone."""
        return self.seconds_of_passes + self.seconds_of_estimates


@dataclasses.dataclass(frozen=True)
class Outlook:
    """The expected course of the further rounds of a layer.

    Attributes
    ----------
    seconds : float
        Time of the next round.
    seconds_to_tolerance : float
        Time of all rounds until the interval is narrow enough; infinite if no allowed number of draws suffices.
    reduction : float
        Amount by which the next round narrows the half width, in nats, down to the tolerance at most.
    has_known_rate : bool
        Whether theory or two rounds show how fast the interval narrows.
    """

    seconds: float
    seconds_to_tolerance: float
    reduction: float
    has_known_rate: bool


@dataclasses.dataclass
class LayerRounds:
    """The rounds of a part of a problem: a layer or a readout, with every label set.

    Attributes
    ----------
    risk : float
        Probability with which an end of an interval may be wrong in any of the rounds.
    shares : RiskShares
        How the risk of the ends of an information is divided.
    measurements : dict of str to LayerMeasurement
        The last round, by label set.
    rounds : list of Round
        The finished rounds. The first label set decides on further ones: I(X;T) does not depend on the labels.
    """

    problem: Problem
    settings: MeasurementSettings
    name: str
    risk: float
    shares: RiskShares = UNDIVIDED
    measurements: dict[str, LayerMeasurement] = dataclasses.field(default_factory=dict)
    rounds: list[Round] = dataclasses.field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Time of all rounds, without the first passes, which other layers share."""
        return sum(finished_round.seconds for finished_round in self.rounds) - self.rounds[0].seconds_of_passes

    @property
    def is_narrow(self) -> bool:
        """Whether the last interval of I(X;T) is narrow enough; always without a tolerance."""
        tolerance = self.settings.tolerance
        return tolerance is None or self.rounds[-1].interval.half_width <= tolerance

    def measure(
        self, samples: Sequence[LayerSample | KnownLayer], seconds_of_passes: float, show: Callable[[str], object]
    ) -> None:
        """Estimate every quantity from the samples of a round, whose passes took some seconds.

        `show` gets a line on the round.
        """
        started, number = time.monotonic(), len(self.rounds) + 1
        risk = self.risk * (1.0 if self.settings.tolerance is None else 6 / (math.pi * number) ** 2)
        for labels, classes in self.problem.label_sets.items():
            problem = dataclasses.replace(self.problem, classes=classes)
            estimates = estimate_layer(problem, self.name, samples, risk, self._seed(number), self.shares)
            self.measurements[labels] = LayerMeasurement(samples[0].draws, estimates)
        information = next(iter(self.measurements.values())).estimates["I(X;T)"]
        interval, effort = information.interval, Effort(samples[0].draws, samples[0].queries)
        seconds = time.monotonic() - started
        self.rounds.append(Round(effort, interval, information.limited_by, seconds_of_passes, seconds))
        show(f"{self.name}: {interval.lower:.3f} to {interval.upper:.3f} nats, {effort.draws} draws")

    def measure_again(self, show: Callable[[str], object]) -> None:
        """Run the next round, with passes of its own."""
        started, effort = time.monotonic(), self._larger(self.rounds[-1].effort)
        first = self.rounds[0].effort
        growth = max(effort.draws // first.draws, effort.queries // first.queries)
        known = known_layers(self.problem, (self.name,), self.settings, growth)
        samples: list[LayerSample | KnownLayer] = [
            sample_layers(self.problem, (self.name,), effort.draws, effort.queries, seed)[self.name]
            for seed in sample_seeds(self.settings, self._seed(len(self.rounds) + 1))
            if all(layer.beside_draws for layer in known.values())
        ]
        samples += known.values()
        self.measure(samples, time.monotonic() - started, show)

    def outlook(self) -> Outlook:
        """Return the expected course of further rounds, of which at least one must be possible."""
        last, tolerance = self.rounds[-1], self._tolerance
        rate = self._expected_rate()
        ratio = math.sqrt(0.5) if rate is None else rate
        half_width, effort, seconds, total = last.interval.half_width, last.effort, last.seconds, 0.0
        next_seconds = seconds * self._larger(effort).work / effort.work
        while half_width > tolerance:
            larger_effort = self._larger(effort)
            if larger_effort == effort or ratio >= 1:
                total = math.inf
                break
            seconds *= larger_effort.work / effort.work
            half_width, effort, total = half_width * ratio, larger_effort, total + seconds
        reduction = last.interval.half_width - max(tolerance, last.interval.half_width * min(ratio, 1))
        return Outlook(next_seconds, total, reduction, has_known_rate=rate is not None)

    def limit(self, seconds_left: float) -> str:
        """Return the limit that forbids the next round; empty if none does."""
        effort, most_draws = self.rounds[-1].effort, self.settings.max_draws
        if self.rounds[-1].limited_by == "dimensions":
            return "any number of draws"
        if self._larger(effort) == effort:
            return f"{effort.queries} queries of an input" if effort.draws == 1 else f"max_draws {most_draws}"
        return "" if self.outlook().seconds <= seconds_left else f"max_seconds {self.settings.max_seconds:g}"

    def end_at(self, limit: str) -> None:
        """Say in the measurements that the tolerance was missed, within which limit, and which option helps."""
        cause = self.rounds[-1].limited_by
        _, shortfall = note(
            "tolerance_missed", tolerance=self._tolerance, limit=limit, cause=cause, remedy=self._remedy(limit)
        )
        for labels, measurement in self.measurements.items():
            self.measurements[labels] = dataclasses.replace(measurement, shortfall=shortfall)

    @property
    def _tolerance(self) -> float:
        assert self.settings.tolerance is not None, "without a tolerance there is one round"
        return self.settings.tolerance

    def _seed(self, number: int) -> int:
        seed = self.settings.seed
        return seed if number == 1 else derived_seed(seed, RandomStream.ROUND_SEED, number)

    def _larger(self, effort: Effort) -> Effort:
        max_queries = _MAX_QUERIES // self.problem.n_inputs
        return effort.larger(self.rounds[-1].limited_by, self.settings.max_draws, max_queries)

    def _expected_rate(self) -> float | None:
        """Return the expected ratio of the half widths of the next round and the last; None if nothing shows it.

        After the first round, a width that is due to queries falls like n^(-1/2), with the logarithm of the smaller
        risk, and the bias of the plug-in like 1/r. No rate is known for the gap of a decoder.
        """
        if len(self.rounds) > 1:
            before, last = (finished_round.interval.half_width for finished_round in self.rounds[-2:])
            return last / before
        if self.rounds[-1].limited_by == "queries":
            first, second = (-math.log(self.risk * 6 / (math.pi * number) ** 2) for number in (1, 2))
            return math.sqrt(second / first / 2)
        return 0.5 if self.rounds[-1].limited_by == "draws" else None

    def _remedy(self, limit: str) -> str:
        """Return the option that helps most."""
        rate = self._expected_rate()
        if limit.startswith("any number") and is_wide(self.problem, self.name, self.rounds[-1].effort.draws):
            return "raise max_memory"
        if limit.startswith("max_") and (rate is None or rate <= _HARDLY_NARROWER):
            return f"raise {limit.split()[0]}"
        if limit.startswith("max_"):
            return "more draws hardly narrow it, raise tolerance or sigma"
        return "raise tolerance"
