"""Coverage: how often the estimators' intervals contain the true value, on tasks whose information is known."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from typing import get_args

import numpy as np
from scipy.special import bdtr, ndtri

from layerbits._base import Doubles, check_count, check_positive, check_type, progress
from layerbits.calibration.task_estimates import IntervalEstimate, estimator_of
from layerbits.calibration.tasks import (
    BaselineTask,
    CoverageTask,
    MixtureTask,
    ModuleTask,
    NetworkTask,
    SliceTask,
    Task,
    Truth,
)

_MOST_SEEDS = 10**6
_CONFIDENCE = 0.95
# Largest probability that correct intervals of one quantity have too few hits by chance.
_FALSE_ALARM = 1e-4
# Bound on the rounding of sums and logarithms in float64 in up to 1000 dimensions: an interval of width 0 may miss the
# true value by rounding.
_ROUNDING = 1e-9
# Stands for the true value of layers that are no chain: no interval contains it.
_REFUSAL = Truth(math.nan, 0.0, math.nan, "refusal")
# Processor seconds of one estimate of all quantities, with the defaults of `coverage`: means over every third or fourth
# task of the lists, 3 seeds of each, on a core of Zen 4.
_SECONDS = {MixtureTask: 0.01, NetworkTask: 0.16, ModuleTask: 0.25, SliceTask: 0.3, BaselineTask: 0.1}


@dataclasses.dataclass(frozen=True)
class Coverage:
    """Estimates of one quantity of one task over many seeds; information in nats.

    Attributes
    ----------
    task, quantity : str
        Names of the task and of the quantity.
    source : str
        The source of the true value, as in `Truth`; ``"refusal"`` if the estimator must refuse the quantity.
    truth, truth_error : float
        The true value and a bound on its error; NaN and 0 for a refusal.
    mean_value, rms_error : float
        Mean of the estimates, and the root of their mean square error; NaN if all estimates are refused.
    seeds, hits : int
        Number of estimates, and number of intervals that contain the true value, or of refusals that are right.
    required_hits : int
        Number of hits that correct intervals reach with probability 0.9999: 95 % of the seeds less a binomial margin.
        All seeds for a refusal, which does not depend on chance.
    half_width : float
        Mean half width of the intervals.
    achievable : float
        Half width of a normal interval from as many queries with known densities; NaN for entropies and I(T_k;T_l).
    seconds : float
        Time of one estimate of all quantities of the task.

    Examples
    --------
    >>> import layerbits as lb
    >>> task = next(task for task in lb.calibration.V1 if task.name == "bpsk-1")
    >>> (row,) = lb.calibration.coverage([task], seeds=[0], tolerance=0.05)
    >>> row.task, row.seeds, row.source
    ('bpsk-1', 1, 'quadrature')
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
        """Whether enough intervals contain the true value, or all estimates that must be refused are refused."""
        return self.hits >= self.required_hits


def coverage(
    tasks: Sequence[CoverageTask],
    *,
    seeds: Sequence[int],
    tolerance: float = 0.03,
    queries: int = 256,
) -> list[Coverage]:
    """Estimate known quantities of the tasks once for each seed, and count the intervals that contain the true value.

    Parameters
    ----------
    tasks : sequence of MixtureTask, NetworkTask, ModuleTask and BaselineTask
        Tasks such as those in `layerbits.calibration.V1`, `V2`, `V3` and `BASELINES`.
    seeds : sequence of int
        Seeds of the estimates.
    tolerance : float
        Tolerance of `mixture_information` for mixtures, in nats.
    queries : int
        Number of queries of all inputs of a network; an input has at least 2, and twice as many draws. The information
        between two layers has the default number.

    Returns
    -------
    list of Coverage
        One row for each task and quantity: I(X;T) of mixtures, every known quantity of networks, and I(T_k;T_l) of the
        two layers of a `ModuleTask`, which must be refused if they are no chain. A baseline has no interval: the
        interval of a `BaselineTask` is the estimate with the bounds on its error.

    Raises
    ------
    TypeError, ValueError
        An argument has a wrong type or value.

    Examples
    --------
    >>> import layerbits as lb
    >>> task = next(task for task in lb.calibration.V1 if task.name == "bpsk-1")
    >>> (row,) = lb.calibration.coverage([task], seeds=range(20), tolerance=0.05)
    >>> row.quantity, round(row.truth, 4), row.sufficient
    ('I(X;T)', 0.3368, True)
    """
    check_tasks(tasks)
    check_seeds(seeds)
    check_positive("tolerance", tolerance)
    check_count("queries", queries, minimum=1)
    rows = []
    for task in progress(tasks, name="check", total=len(tasks)):
        rows += task_coverage(task, seeds, tolerance, queries)
    return rows


def check_tasks(tasks: Sequence[Task]) -> None:
    """Raise a TypeError unless `tasks` is a sequence of tasks."""
    check_type("tasks", tasks, Sequence, wanted="a sequence of tasks")
    for task in [tasks] if isinstance(tasks, str) else tasks:
        check_type("tasks", task, get_args(CoverageTask), wanted="tasks, such as those of V1")


def check_seeds(seeds: Sequence[int]) -> None:
    """Raise a TypeError or ValueError unless `seeds` is a sequence of integers >= 0, at least one."""
    check_type("seeds", seeds, Sequence, wanted="a sequence of integers >= 0")
    if not seeds:
        raise ValueError("seeds: got none, wanted at least one")
    if len(seeds) > _MOST_SEEDS:
        raise ValueError(f"seeds: got more than {_MOST_SEEDS}, wanted fewer")
    for seed in seeds:
        check_count("seeds", seed, minimum=0)


def task_coverage(
    task: CoverageTask, seeds: Sequence[int], tolerance: float = 0.03, queries: int = 256
) -> list[Coverage]:
    """Return the rows of `coverage` of a single task, without a progress bar."""
    started = time.perf_counter()
    estimate = estimator_of(task, tolerance, queries)
    estimates = [estimate(seed) for seed in seeds]
    seconds = (time.perf_counter() - started) / len(estimates)
    return [
        _summarize(task, quantity, [by_quantity[quantity] for by_quantity in estimates], seconds)
        for quantity in estimates[0]
    ]


def expected_seconds(tasks: Sequence[Task], seeds: int) -> float:
    """Return about how many seconds `coverage` takes on one core, with its defaults, for this number of seeds.

    Raises
    ------
    TypeError, ValueError
        An argument has a wrong type or value.

    Examples
    --------
    >>> import layerbits as lb
    >>> lb.calibration.expected_seconds(lb.calibration.V2, seeds=20) < 300
    True
    """
    check_tasks(tasks)
    check_count("seeds", seeds, minimum=1, maximum=2**53)
    return math.fsum(seeds * _SECONDS[type(task)] for task in tasks)


def _summarize(task: Task, quantity: str, estimates: Sequence[IntervalEstimate | None], seconds: float) -> Coverage:
    measured = np.array([estimate for estimate in estimates if estimate is not None]).reshape(-1, 4)
    values, lower, upper, queries = measured.T
    truth = task.truths.get(quantity, _REFUSAL)
    slack = truth.error + _ROUNDING
    hits = int(((lower <= truth.value + slack) & (upper >= truth.value - slack)).sum())
    refusals = len(estimates) - len(measured)
    must_be_refused = quantity not in task.truths
    if must_be_refused or (isinstance(task, ModuleTask) and task.may_be_refused):
        hits += refusals
    quantile = float(ndtri(0.5 + _CONFIDENCE / 2))
    return Coverage(
        task=task.name,
        quantity=quantity,
        source=truth.source,
        truth=truth.value,
        truth_error=truth.error,
        mean_value=_mean(values),
        rms_error=math.sqrt(_mean((values - truth.value) ** 2)),
        seeds=len(estimates),
        hits=hits,
        required_hits=len(estimates) if must_be_refused else _required_hits(len(estimates)),
        half_width=_mean(upper - lower) / 2,
        achievable=quantile * truth.spread / math.sqrt(_mean(queries)),
        seconds=seconds,
    )


def _required_hits(seeds: int) -> int:
    """Return the quantile `_FALSE_ALARM` of the number of hits of intervals with the level `_CONFIDENCE`."""
    return int(np.searchsorted(bdtr(np.arange(seeds), seeds, _CONFIDENCE), _FALSE_ALARM))


def _mean(values: Doubles) -> float:
    return float(values.mean()) if len(values) else math.nan
