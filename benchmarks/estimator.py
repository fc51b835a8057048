"""`layer_information` on all layers of the noisy SZT network beside its plug-in alone in torch and NumPy."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterator

from benchmarks.accuracy import ResultError
from benchmarks.calls import information_calls
from benchmarks.problems import noisy_szt_network
from benchmarks.timing import CHUNKS, Rounds, Spread, measure, ratio
from layerbits.estimators import layer_information

# By how much two estimates of one layer may differ: standard errors of the difference; queries at a rare overlap that
# one method met and the other did not, each worth log N at most; and nats for float32 at sigma = 0.005.
_STANDARD_ERRORS, _RARE_QUERIES, _ROUNDING = 5, 10, 1e-4


@dataclasses.dataclass(frozen=True)
class EstimatorRow:
    """All layers of the noisy SZT network, rivals in float64; `information` is the plug-in by layer and method."""

    inputs: int
    draws: int
    queries: int
    seconds: dict[str, float]
    over_torch: Spread
    over_numpy: Spread
    information: dict[str, dict[str, float]]
    standard_errors: dict[str, float]


def measure_estimator(n_inputs: int, *, draws: int, queries: int, rounds: Rounds) -> EstimatorRow:
    """Compare `layer_information`, intervals and all, with rivals that have none, from the inputs on."""
    noisy, inputs = noisy_szt_network(n_inputs)
    table = layer_information(noisy, inputs, draws=draws, queries=queries)
    errors = {row.layer: row.plug_in_error for row in table if row.quantity == "I(X;T)"}
    rare = _RARE_QUERIES * math.log(n_inputs) / (n_inputs * queries) + _ROUNDING
    allowed = {layer: _STANDARD_ERRORS * math.sqrt(2) * error + rare for layer, error in errors.items()}
    information: dict[str, dict[str, float]] = {}

    def check(results: dict[str, dict[str, float]]) -> None:
        for name, found in results.items():
            _check_information(name, found, results["layerbits"], allowed)
        information.update({layer: {name: results[name][layer] for name in results} for layer in errors})

    calls = information_calls(noisy, inputs, draws=draws, queries=queries, chunk=CHUNKS[1])
    seconds = measure(calls, check, rounds=rounds)
    return EstimatorRow(
        inputs=n_inputs,
        draws=draws,
        queries=queries,
        seconds={name: statistics.median(each) for name, each in seconds.items()},
        over_torch=ratio(seconds["torch"], seconds["layerbits"]),
        over_numpy=ratio(seconds["numpy"], seconds["layerbits"]),
        information=information,
        standard_errors=errors,
    )


def _check_information(name: str, found: dict[str, float], ours: dict[str, float], allowed: dict[str, float]) -> None:
    for layer, value in found.items():
        if not abs(value - ours[layer]) <= allowed[layer]:
            raise ResultError(
                f"{name}: I(X;T) of layer {layer} is {value:.5f} nats, layerbits has {ours[layer]:.5f}, "
                f"wanted at most {allowed[layer]:.5f} between them"
            )


def lines(row: EstimatorRow) -> Iterator[str]:
    yield (
        f"layer_information, SZT network, {row.inputs} inputs, {row.draws} draws, {row.queries} queries each: "
        + ", ".join(f"{name} {seconds:.3g} s" for name, seconds in row.seconds.items())
    )
    yield f"x torch (float64) {row.over_torch}, x NumPy {row.over_numpy}"
    yield f"{'plug-in, nats':<14}{'layerbits':>19}{'torch':>10}{'numpy':>10}"
    for layer, values in row.information.items():
        ours = f"{values['layerbits']:.4f} ± {row.standard_errors[layer]:.4f}"
        yield f"{layer:<14}{ours:>19}{values['torch']:>10.4f}{values['numpy']:>10.4f}"
