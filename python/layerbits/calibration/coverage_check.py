"""How often the intervals of the estimators hold the truth, and how wide they are: over tasks with known answers."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import binom

from layerbits._base import progress
from layerbits.calibration.tasks import MixtureTask, NetworkTask, Truth
from layerbits.estimators import layer_information
from layerbits.mixtures import mixture_information

_CONFIDENCE = 0.95
# A right interval falls short of the hits that are wanted for one quantity in 10,000.
_FALSE_ALARM = 1e-4
# Of sums and logarithms in float64, up to 1000 dimensions: an interval may have no width at all.
_ROUNDING = 1e-9


# Value, lower and upper end, and queries of each quantity.
_Found = Mapping[str, tuple[float, float, float, int]]


@dataclasses.dataclass(frozen=True)
class Coverage:
    """How one quantity of one task was estimated, seed by seed; all but counts and names in nats.

    Attributes
    ----------
    task, quantity, source : str
        What was estimated, and how the truth is known.
    truth, truth_error : float
        The truth, and how exactly it is known.
    mean_value, rms_error : float
        Mean of the estimates, and the root of their mean squared error.
    seeds, hits, wanted : int
        How many intervals there are, how many hold the truth, and how many must: 95 % less the binomial margin.
    half_width : float
        Of the mean interval.
    achievable : float
        Half width of the normal interval of who knows the densities, and asks as many queries.
    seconds : float
        Of an estimate, with all quantities of the task.
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
    wanted: int
    half_width: float
    achievable: float
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether enough intervals hold the truth."""
        return self.hits >= self.wanted


def coverage(
    tasks: Sequence[MixtureTask | NetworkTask],
    *,
    seeds: Sequence[int],
    tolerance: float = 0.01,
    queries: int = 1024,
) -> list[Coverage]:
    """Estimate every known quantity of the tasks once for each seed, and count the intervals that hold it.

    Parameters
    ----------
    tasks : sequence of MixtureTask and NetworkTask
        What to estimate.
    seeds : sequence of int
        A seed for each estimate.
    tolerance : float
        Of the information of mixtures, in nats.
    queries : int
        Of networks, over all inputs; an input has twice as many draws.

    Returns
    -------
    list of Coverage
        A row for each task and quantity: the information of mixtures, all that is known of networks.
    """
    rows = []
    for task in progress(tasks, name="check", total=len(tasks)):
        started = time.perf_counter()
        estimate = _network(task, queries) if isinstance(task, NetworkTask) else _mixture(task, tolerance)
        found = [estimate(seed) for seed in seeds]
        seconds = (time.perf_counter() - started) / len(found)
        for quantity in found[0]:
            intervals = np.array([one[quantity] for one in found])
            rows.append(_row(task.name, quantity, task.truths[quantity], intervals, seconds))
    return rows


def _mixture(task: MixtureTask, tolerance: float) -> Callable[[int], _Found]:
    def estimate(seed: int) -> _Found:
        one = mixture_information(task.centers, task.sigma, weights=task.weights, tolerance=tolerance, seed=seed)
        return {"I(X;T)": (one.value, one.lower, one.upper, one.draws)}

    return estimate


def _network(task: NetworkTask, queries: int) -> Callable[[int], _Found]:
    network, each = task.network(), max(2, queries // len(task.inputs))

    def estimate(seed: int) -> _Found:
        table = layer_information(
            network, task.inputs, task.labels, layers=task.layer, draws=2 * each, queries=each, seed=seed
        )
        rows = {quantity: table[task.layer, quantity] for quantity in task.truths}
        return {name: (row.value, row.lower, row.upper, each * len(task.inputs)) for name, row in rows.items()}

    return estimate


def _row(task: str, quantity: str, truth: Truth, found: npt.NDArray[np.float64], seconds: float) -> Coverage:
    """Make a row of what was found, an array of shape (seeds, 4)."""
    values, lows, highs, queries = found.T
    slack = truth.error + _ROUNDING
    quantile = float(ndtri(0.5 + _CONFIDENCE / 2))
    return Coverage(
        task=task,
        quantity=quantity,
        source=truth.source,
        truth=truth.value,
        truth_error=truth.error,
        mean_value=float(values.mean()),
        rms_error=math.sqrt(((values - truth.value) ** 2).mean()),
        seeds=len(found),
        hits=int(((lows <= truth.value + slack) & (highs >= truth.value - slack)).sum()),
        wanted=int(binom.ppf(_FALSE_ALARM, len(found), _CONFIDENCE)),
        half_width=float((highs - lows).mean() / 2),
        achievable=quantile * truth.spread / math.sqrt(queries.mean()),
        seconds=seconds,
    )
