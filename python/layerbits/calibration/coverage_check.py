"""Coverage: how often the estimators' intervals contain the true value, on tasks whose information is known."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri
from scipy.stats import binom

from layerbits._base import progress
from layerbits.calibration.tasks import MixtureTask, NetworkTask
from layerbits.estimators import layer_information
from layerbits.mixtures import mixture_information

_CONFIDENCE = 0.95
# Largest probability that correct intervals of one quantity have too few hits by chance.
_FALSE_ALARM = 1e-4
# Bound on the rounding of sums and logarithms in float64 in up to 1000 dimensions: an interval of width 0 may miss the
# true value by rounding.
_ROUNDING = 1e-9


class _Estimate(NamedTuple):
    value: float
    lower: float
    upper: float
    queries: int


_Estimator = Callable[[int], Mapping[str, _Estimate]]  # from a seed to an estimate of each quantity


@dataclasses.dataclass(frozen=True)
class Coverage:
    """Estimates of one quantity of one task over many seeds; information in nats.

    Attributes
    ----------
    task, quantity : str
        Names of the task and of the quantity.
    source : str
        The source of the true value, as in `Truth`.
    truth, truth_error : float
        The true value and a bound on its error.
    mean_value, rms_error : float
        Mean of the estimates, and the root of their mean square error.
    seeds, hits : int
        Number of intervals, and number of intervals that contain the true value.
    required_hits : int
        Number of hits that correct intervals reach with probability 0.9999: 95 % of the seeds less a binomial margin.
    half_width : float
        Mean half width of the intervals.
    achievable : float
        Half width of a normal interval from as many queries with known densities; NaN for an entropy.
    seconds : float
        Time of one estimate of all quantities of the task.
    """

    task: str
    quantity: str
    source: str
    truth: float
    truth_error: float
    mean_value: float
    rms_error: float
    seeds: int
    hits: int
    required_hits: int
    half_width: float
    achievable: float
    seconds: float

    @property
    def sufficient(self) -> bool:
        """Whether enough intervals contain the true value."""
        return self.hits >= self.required_hits


def coverage(
    tasks: Sequence[MixtureTask | NetworkTask],
    *,
    seeds: Sequence[int],
    tolerance: float = 0.01,
    queries: int = 1024,
) -> list[Coverage]:
    """Estimate known quantities of the tasks once for each seed, and count the intervals that contain the true value.

    Parameters
    ----------
    tasks : sequence of MixtureTask and NetworkTask
        Tasks such as those in `layerbits.calibration.V1`.
    seeds : sequence of int
        Seeds of the estimates.
    tolerance : float
        Tolerance of `mixture_information` for mixtures, in nats.
    queries : int
        Number of queries of all inputs of a network; an input has at least 2, and twice as many draws.

    Returns
    -------
    list of Coverage
        One row for each task and quantity: I(X;T) of mixtures, and every known quantity of networks.

    Examples
    --------
    >>> import layerbits as lb
    >>> task = next(task for task in lb.calibration.V1 if task.name == "bpsk-1")
    >>> (row,) = lb.calibration.coverage([task], seeds=range(20), tolerance=0.05)
    >>> row.quantity, round(row.truth, 4), row.sufficient
    ('I(X;T)', 0.3368, True)
    """
    rows = []
    for task in progress(tasks, name="check", total=len(tasks)):
        started = time.perf_counter()
        if isinstance(task, NetworkTask):
            estimate = _network_estimator(task, queries)
        else:
            estimate = _mixture_estimator(task, tolerance)
        estimates = [estimate(seed) for seed in seeds]
        seconds = (time.perf_counter() - started) / len(estimates)
        for quantity in estimates[0]:
            rows.append(_summarize(task, quantity, [by_quantity[quantity] for by_quantity in estimates], seconds))
    return rows


def _mixture_estimator(task: MixtureTask, tolerance: float) -> _Estimator:
    def estimate(seed: int) -> dict[str, _Estimate]:
        result = mixture_information(task.centers, task.sigma, weights=task.weights, tolerance=tolerance, seed=seed)
        return {"I(X;T)": _Estimate(result.value, result.lower, result.upper, result.draws)}

    return estimate


def _network_estimator(task: NetworkTask, queries: int) -> _Estimator:
    network, per_input = task.network(), max(2, queries // len(task.inputs))

    def estimate(seed: int) -> dict[str, _Estimate]:
        table = layer_information(
            network, task.inputs, task.labels, layers=task.layer, draws=2 * per_input, queries=per_input, seed=seed
        )
        rows = {quantity: table[task.layer, quantity] for quantity in task.truths}
        return {
            quantity: _Estimate(row.value, row.lower, row.upper, per_input * len(task.inputs))
            for quantity, row in rows.items()
        }

    return estimate


def _summarize(
    task: MixtureTask | NetworkTask, quantity: str, estimates: Sequence[_Estimate], seconds: float
) -> Coverage:
    values, lower, upper, queries = np.array(estimates).T
    truth = task.truths[quantity]
    slack = truth.error + _ROUNDING
    quantile = float(ndtri(0.5 + _CONFIDENCE / 2))
    return Coverage(
        task=task.name,
        quantity=quantity,
        source=truth.source,
        truth=truth.value,
        truth_error=truth.error,
        mean_value=float(values.mean()),
        rms_error=math.sqrt(((values - truth.value) ** 2).mean()),
        seeds=len(estimates),
        hits=int(((lower <= truth.value + slack) & (upper >= truth.value - slack)).sum()),
        required_hits=int(binom.ppf(_FALSE_ALARM, len(estimates), _CONFIDENCE)),
        half_width=float((upper - lower).mean() / 2),
        achievable=quantile * truth.spread / math.sqrt(queries.mean()),
        seconds=seconds,
    )
