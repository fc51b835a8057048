"""Settings of a measurement: passes, queries, tolerance, limits, confidence, seed and estimator."""

from __future__ import annotations

import dataclasses
import math

from layerbits._base import check_confidence, check_count, check_positive, shown
from layerbits.kernels import RandomStream, derived_seed
from layerbits.networks import MAX_MEMORY, check_max_memory

# Layers behind noise are measured by draws, by the known network, or by both (the default).
DRAWS, KNOWN, AUTO = "draws", "known", "auto"

ESTIMATORS = (AUTO, DRAWS, KNOWN, "paper")

_MOST = 2**31  # draws or queries of an input: len() of a range of all of them must fit into 64 bits

# Default draws per input: the least and the largest number, and the least number of all inputs together. A quarter of
# the draws carry queries, and an interval is never narrower than some ten nats over the number of all queries.
_LEAST_DRAWS, _LARGEST_DRAWS, _TOTAL_DRAWS = 32, 4096, 2**14


@dataclasses.dataclass(frozen=True)
class MeasurementSettings:
    """Settings of `layer_information`, checked at construction.

    Parameters
    ----------
    draws : int, optional
        Noisy passes per input, at least 1; by default 32, but at least 16,384 of all inputs together (`draws_for`).
    queries : int, optional
        Queries per input, at least 2.
    tolerance : float, optional
        Wanted half width of the interval of I(X;T), in nats.
    confidence : float
        Level of each interval, or with `simultaneous` of all intervals together, between 0 and 1.
    max_seconds : float
        With a tolerance: no round begins that would likely end later than this after the start, as in
        `layer_information`.
    max_draws : int
        With a tolerance: largest number of noisy passes per input.
    seed : int
        Seed of all noise.
    estimator : {"auto", "draws", "known", "paper"}
        Estimator of layers behind noise, as in `layer_information`.
    max_memory : int
        Budget in bytes, at least 1 MiB, for passes and recorded signals. Beside this budget, the bounds of a layer
        behind noise take up to nine times the bytes of its signals.
    simultaneous : bool
        Whether all intervals of a table, or of all epochs of a `Monitor`, hold together with probability `confidence`.

    Raises
    ------
    TypeError, ValueError
        A setting has another type or value than wanted.

    Examples
    --------
    >>> import layerbits as lb
    >>> lb.MeasurementSettings(draws=8, confidence=0.5).risk
    0.25
    """

    draws: int | None = None
    queries: int | None = None
    tolerance: float | None = None
    confidence: float = 0.95
    max_seconds: float = 300.0
    max_draws: int = 4096
    seed: int = 0
    estimator: str = "auto"
    max_memory: int = MAX_MEMORY
    simultaneous: bool = False

    def __post_init__(self) -> None:
        draws = None if self.draws is None else check_count("draws", self.draws, minimum=1, maximum=_MOST)
        max_draws = check_count("max_draws", self.max_draws, minimum=1, maximum=_MOST)
        checked = {
            "draws": draws,
            "queries": None if self.queries is None else check_count("queries", self.queries, minimum=2, maximum=_MOST),
            "tolerance": None if self.tolerance is None else check_positive("tolerance", self.tolerance),
            "confidence": check_confidence(self.confidence),
            "max_seconds": check_positive("max_seconds", self.max_seconds),
            "max_draws": max_draws,
            "seed": check_count("seed", self.seed, minimum=0),
            "max_memory": check_max_memory(self.max_memory),
        }
        if draws is not None and max_draws < draws and self.tolerance is not None:
            raise ValueError(
                f"max_draws: got {max_draws}, wanted at least draws, {draws}; lower draws or raise max_draws"
            )
        if not isinstance(self.simultaneous, bool):
            raise TypeError(f"simultaneous: got {type(self.simultaneous).__name__}, wanted True or False")
        if not isinstance(self.estimator, str) or self.estimator not in ESTIMATORS:
            raise ValueError(f"estimator: got {shown(self.estimator)!r}, wanted one of {', '.join(ESTIMATORS)}")
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def risk(self) -> float:
        """Probability with which each end of a single interval may be wrong."""
        return (1 - self.confidence) / 2

    def share_of_round(self, number: int) -> float:
        """Return the share of the risk of round 1, 2, ...: with a tolerance 6 / (pi k)^2, and otherwise 1.

        With a tolerance the shares sum to 1, so the intervals of all rounds hold together.
        """
        return 1.0 if self.tolerance is None else 6 / (math.pi * number) ** 2

    def seed_of_round(self, number: int) -> int:
        """Return the seed of round 1, 2, ..., each of which has noise of its own."""
        return self.seed if number == 1 else derived_seed(self.seed, RandomStream.ROUND_SEED, number)

    def risk_of_each(self, n_intervals: int) -> float:
        """Return the probability with which each end of `n_intervals` intervals may be wrong.

        The probabilities of all ends sum to 1 - `confidence` if the intervals are simultaneous, whatever the dependence
        of the intervals.
        """
        return self.risk / n_intervals if self.simultaneous else self.risk

    def draws_for(self, n_inputs: int) -> int:
        """Return the noisy passes of each of `n_inputs` inputs in the first round.

        By default 32, but at least 16,384 of all inputs together, at most 4096 of an input, and with a tolerance at
        most `max_draws`.
        """
        if self.draws is not None:
            return self.draws
        draws = min(_LARGEST_DRAWS, max(_LEAST_DRAWS, math.ceil(_TOTAL_DRAWS / n_inputs)))
        return draws if self.tolerance is None else min(draws, self.max_draws)
