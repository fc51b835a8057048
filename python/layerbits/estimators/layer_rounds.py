"""The rounds of one layer with a tolerance, each with more draws or queries.

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

from layerbits.estimators.audits import Shortfall
from layerbits.estimators.known_layer import KnownLayer, known_layers
from layerbits.estimators.layer_groups import is_wide
from layerbits.estimators.layer_measurement import LayerMeasurement, estimate_layer, sample_seeds
from layerbits.estimators.layer_sample import LayerSample, sample_layers
from layerbits.estimators.problem import Problem
from layerbits.estimators.risk_shares import UNDIVIDED, RiskShares
from layerbits.estimators.round_outlook import Effort, Outlook, Round
from layerbits.estimators.settings import AUTO, DRAWS, MeasurementSettings
from layerbits.kernels import Processes

# Largest number of queries of all inputs in a round behind no noise, where draws do not limit them: 0.5 GB of terms.
MAX_QUERIES = 2**22

# If the last round left more than this share of the width, the note on a missed tolerance names the part removed.
_HARDLY_NARROWER = 0.9


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
        The finished rounds, with the first label set: I(X;T) does not depend on the labels.
    """

    problem: Problem
    settings: MeasurementSettings
    name: str
    risk: float
    shares: RiskShares = UNDIVIDED
    measurements: dict[str, LayerMeasurement] = dataclasses.field(default_factory=dict)
    rounds: list[Round] = dataclasses.field(default_factory=list)

    @property
    def processes(self) -> Processes:
        """Processes that share the work."""
        return self.problem.workers.processes

    @property
    def seconds(self) -> float:
        """Time of all rounds, without the first passes, which other layers share."""
        return sum(finished_round.seconds for finished_round in self.rounds) - self.rounds[0].seconds_of_passes

    @property
    def is_narrow(self) -> bool:
        """Whether the last interval of I(X;T) is narrow enough; always without a tolerance."""
        tolerance = self.settings.tolerance
        return tolerance is None or self.rounds[-1].half_width <= tolerance

    def measure(
        self, samples: Sequence[LayerSample | KnownLayer], seconds_of_passes: float, show: Callable[[str], object]
    ) -> None:
        """Estimate every quantity from the samples of a round, whose passes took some seconds.

        `show` is called with a line about the round.
        """
        started, number = time.monotonic(), len(self.rounds) + 1
        risk, seed = self._risk(number), self.settings.seed_of_round(number)
        for labels, classes in self.problem.label_sets.items():
            problem = dataclasses.replace(self.problem, classes=classes)
            estimates = estimate_layer(problem, self.name, samples, risk, seed, self.shares)
            self.measurements[labels] = LayerMeasurement(samples[0].draws, estimates)
        information = next(iter(self.measurements.values())).estimates["I(X;T)"]
        interval, effort = information.interval, Effort(samples[0].draws, samples[0].queries)
        gap = interval.overlap(information.decoded, information.plug_in)
        # Decisions depend on the seconds, so all processes must use the same number.
        seconds = self.processes.agreed("seconds", time.monotonic() - started)
        self.rounds.append(
            Round(effort, interval.half_width, gap, information.limited_by, risk, seconds_of_passes, seconds)
        )
        show(f"{self.name}: {interval.lower:.3f} to {interval.upper:.3f} nats, {effort.draws} draws")

    def measure_again(self, show: Callable[[str], object]) -> None:
        """Run the next round, with passes of its own."""
        started, last = time.monotonic(), self.rounds[-1]
        effort, first = self._larger(last.effort, last.limited_by), self.rounds[0].effort
        growth = max(effort.draws // first.draws, effort.queries // first.queries)
        known = known_layers(self.problem, (self.name,), self.settings, growth)
        samples: list[LayerSample | KnownLayer] = [
            sample_layers(self.problem, (self.name,), effort.draws, effort.queries, seed)[self.name]
            for seed in sample_seeds(self.settings, self.settings.seed_of_round(len(self.rounds) + 1))
            if all(layer.beside_draws for layer in known.values())
        ]
        samples += known.values()
        self.measure(samples, self.processes.agreed("seconds", time.monotonic() - started), show)

    def outlook(self) -> Outlook:
        """Return the expected course of further rounds."""
        return Outlook.of(self.rounds, self._larger, self._risk, self._tolerance)

    def limit(self, seconds_left: float) -> str:
        """Return the limit that forbids the next round; empty if none does."""
        effort, cause = self.rounds[-1].effort, self.rounds[-1].limited_by
        if cause == "frames" or (cause == "dimensions" and (effort.draws == 1 or self._is_wide)):
            return "any number of draws"
        if self._larger(effort, cause) == effort:
            exact_limit, limit = f"{effort.queries} queries of an input", f"max_draws {self.settings.max_draws}"
            return exact_limit if effort.draws == 1 else limit
        return "" if self.outlook().seconds <= seconds_left else f"max_seconds {self.settings.max_seconds:g}"

    def end_at(self, limit: str) -> None:
        """Note in the measurements that the tolerance was missed, the limit, and the option that helps."""
        shortfall = Shortfall(self._tolerance, limit, self.rounds[-1].limited_by, self._remedy(limit))
        for labels, measurement in self.measurements.items():
            self.measurements[labels] = dataclasses.replace(measurement, shortfall=shortfall)

    @property
    def _tolerance(self) -> float:
        assert self.settings.tolerance is not None, "without a tolerance there is one round"
        return self.settings.tolerance

    def _risk(self, number: int) -> float:
        return self.risk * self.settings.share_of_round(number)

    @property
    def _is_wide(self) -> bool:
        """Whether the signals do not fit into `max_memory`: the probing passes alone choose the dimensions."""
        return is_wide(self.problem, self.name, self.rounds[-1].effort.draws)

    def _larger(self, effort: Effort, limited_by: str) -> Effort:
        return effort.larger(limited_by, self.settings.max_draws, MAX_QUERIES // self.problem.n_inputs)

    def _remedy(self, limit: str) -> str:
        """Return the options that help most."""
        remedy = self._remedy_of_draws(limit)
        return f"{remedy}, or try estimator={AUTO!r}" if self._known_network_may_narrow() else remedy

    def _known_network_may_narrow(self) -> bool:
        """Return whether draws leave a gap between the bounds that the known network is expected to close."""
        last = self.rounds[-1]
        if self.settings.estimator != DRAWS or last.limited_by == "queries":
            return False
        settings = dataclasses.replace(self.settings, estimator=AUTO)
        try:
            known = known_layers(self.problem, (self.name,), settings).get(self.name)
        except MemoryError:
            return False
        information = next(iter(self.measurements.values())).estimates["I(X;T)"]
        return known is not None and known.may_narrow(information, last.effort.queries)

    def _remedy_of_draws(self, limit: str) -> str:
        last, option = self.rounds[-1], limit.split()[0]
        if last.limited_by == "dimensions" and self._is_wide:
            return "raise max_memory"
        if last.limited_by == "frames":
            return "raise count"
        if option not in ("max_seconds", "max_draws"):
            return "raise tolerance"
        before = self.rounds[-2].half_width if len(self.rounds) > 1 else math.inf
        if last.limited_by == "queries" or last.half_width <= _HARDLY_NARROWER * before:
            return f"raise {option}"
        narrowed = max(0.0, 1 - last.half_width / before)
        return f"the last round narrowed it by {narrowed:.0%}, raise {option}, tolerance or sigma"
