"""Estimates of the known quantities of a task, by the estimator that the task tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import nn

from layerbits.calibration.tasks import (
    BETWEEN,
    BaselineTask,
    CoverageTask,
    MixtureTask,
    ModuleTask,
    NetworkTask,
    SliceTask,
)
from layerbits.estimators import information_between_layers, layer_information
from layerbits.mixtures import mixture_information


class IntervalEstimate(NamedTuple):
    """An estimate with the ends of its interval, in nats, and the number of queries of all inputs."""

    value: float
    lower: float
    upper: float
    queries: int


# From a seed to an estimate of each quantity, or None where the estimator refuses the quantity.
_Estimator = Callable[[int], Mapping[str, IntervalEstimate | None]]


def estimator_of(task: CoverageTask, tolerance: float, queries: int) -> _Estimator:
    """Return the function from a seed to the estimates of a task; the other arguments are those of `coverage`."""
    if isinstance(task, BaselineTask):
        return _baseline_estimator(task)
    if isinstance(task, ModuleTask):
        return _module_estimator(task, queries)
    if isinstance(task, NetworkTask):
        return _network_estimator(task, queries)
    return _mixture_estimator(task, tolerance)


def _baseline_estimator(task: BaselineTask) -> _Estimator:
    def estimate(seed: int) -> dict[str, IntervalEstimate | None]:
        bounds = task.bounds
        return {
            quantity: IntervalEstimate(value, value - bounds[quantity].above, value + bounds[quantity].below, 1)
            for quantity, value in task.estimate(seed).items()
        }

    return estimate


def _mixture_estimator(task: MixtureTask, tolerance: float) -> _Estimator:
    def estimate(seed: int) -> dict[str, IntervalEstimate | None]:
        result = mixture_information(task.centers, task.sigma, weights=task.weights, tolerance=tolerance, seed=seed)
        return {"I(X;T)": IntervalEstimate(result.value, result.lower, result.upper, result.draws)}

    return estimate


def _network_estimator(task: NetworkTask, queries: int) -> _Estimator:
    network = task.network()
    return lambda seed: _layer_estimates(network, task, queries, seed)


def _module_estimator(task: ModuleTask, queries: int) -> _Estimator:
    network = task.network()

    def estimate(seed: int) -> dict[str, IntervalEstimate | None]:
        estimates: dict[str, IntervalEstimate | None] = {}
        try:
            estimates |= _layer_estimates(network, task, queries, seed)
        except ValueError:
            if not task.may_be_refused:
                raise
            estimates |= dict.fromkeys(quantity for quantity in task.truths if quantity != BETWEEN)
        if task.pair is not None:
            estimates[BETWEEN] = _between_layers(network, task, task.pair, seed)
        return estimates

    return estimate


def _layer_estimates(
    network: nn.Module, task: NetworkTask | ModuleTask, queries: int, seed: int
) -> dict[str, IntervalEstimate | None]:
    per_input = max(2, queries // len(task.inputs))
    readout, name = (task.readout, task.row_name) if isinstance(task, SliceTask) else (None, task.layer)
    table = layer_information(
        network,
        task.inputs,
        task.labels,
        layers=task.layer,
        readout=readout,
        draws=2 * per_input,
        queries=per_input,
        seed=seed,
    )
    rows = {quantity: table[name, quantity] for quantity in task.truths if quantity != BETWEEN}
    return {
        quantity: IntervalEstimate(row.value, row.lower, row.upper, per_input * len(task.inputs))
        for quantity, row in rows.items()
    }


def _between_layers(network: nn.Module, task: ModuleTask, pair: tuple[str, str], seed: int) -> IntervalEstimate | None:
    try:
        estimate = information_between_layers(network, task.inputs, *pair, seed=seed)
    except ValueError as error:
        if not str(error).startswith("first:"):
            raise
        return None
    return IntervalEstimate(estimate.value, estimate.lower, estimate.upper, estimate.draws * len(task.inputs))
