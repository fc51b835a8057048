"""Time of `layer_information` on the noisy SZT network, beside rivals that compute the plug-in bound alone."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterator

from benchmarks.harness import DEFAULT_CHUNK, Rounds, Spread, measure, ratio
from benchmarks.methods import ResultError, information_calls
from benchmarks.problems import noisy_szt_network
from layerbits.estimators import layer_information

# Allowed difference of two estimates of a layer: 5 standard errors of the difference, 10 queries of log N nats each, at
# which centers overlap in one method alone, and 1e-4 nats for the rounding of float32.
_STANDARD_ERRORS, _RARE_QUERIES, _ROUNDING = 5, 10, 1e-4


@dataclasses.dataclass(frozen=True)
class InformationTimeRow:
    """Results for all layers of the noisy SZT network; rivals compute in float64.

    `information` is the plug-in estimate in nats, by layer and method. The speedups are the time of a rival over the
    time of layerbits.
    """

    inputs: int
    draws: int
    queries: int
    seconds: dict[str, float]
    speedup_over_torch: Spread
    speedup_over_numpy: Spread
    information: dict[str, dict[str, float]]
    standard_errors: dict[str, float]


def measure_information_time(n_inputs: int, *, draws: int, queries: int, rounds: Rounds) -> InformationTimeRow:
    """Compare `layer_information` with rivals that compute no intervals; every time includes the passes."""
    noisy, inputs = noisy_szt_network(n_inputs)
    table = layer_information(noisy, inputs, draws=draws, queries=queries, estimator="draws")
    errors = {row.layer: row.plug_in_error for row in table if row.quantity == "I(X;T)"}
    rare_queries = _RARE_QUERIES * math.log(n_inputs) / (n_inputs * queries)
    allowed = {
        layer: _STANDARD_ERRORS * math.sqrt(2) * error + rare_queries + _ROUNDING for layer, error in errors.items()
    }
    information: dict[str, dict[str, float]] = {}

    def check(results: dict[str, dict[str, float]]) -> None:
        for method, values in results.items():
            _check_information(method, values, results["layerbits"], allowed)
        information.update({layer: {method: results[method][layer] for method in results} for layer in errors})

    calls = information_calls(noisy, inputs, draws=draws, queries=queries, chunk=DEFAULT_CHUNK)
    seconds = measure(calls, check, rounds=rounds)
    return InformationTimeRow(
        inputs=n_inputs,
        draws=draws,
        queries=queries,
        seconds={method: statistics.median(times) for method, times in seconds.items()},
        speedup_over_torch=ratio(seconds["torch"], seconds["layerbits"]),
        speedup_over_numpy=ratio(seconds["numpy"], seconds["layerbits"]),
        information=information,
        standard_errors=errors,
    )


def _check_information(
    method: str, values: dict[str, float], expected: dict[str, float], allowed: dict[str, float]
) -> None:
    for layer, value in values.items():
        if not abs(value - expected[layer]) <= allowed[layer]:
            raise ResultError(
                f"{method}: I(X;T) of layer {layer} is {value:.5f} nats, layerbits has {expected[layer]:.5f}, "
                f"wanted a difference of at most {allowed[layer]:.5f}"
            )


def lines(row: InformationTimeRow) -> Iterator[str]:
    yield (
        f"layer_information, SZT network, {row.inputs} inputs, {row.draws} draws, {row.queries} queries each: "
        + ", ".join(f"{method} {seconds:.3g} s" for method, seconds in row.seconds.items())
    )
    yield f"x torch (float64) {row.speedup_over_torch}, x NumPy {row.speedup_over_numpy}"
    yield f"{'plug-in, nats':<14}{'layerbits':>19}{'torch':>10}{'numpy':>10}"
    for layer, values in row.information.items():
        value = f"{values['layerbits']:.4f} ± {row.standard_errors[layer]:.4f}"
        yield f"{layer:<14}{value:>19}{values['torch']:>10.4f}{values['numpy']:>10.4f}"
