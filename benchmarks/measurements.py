"""What is compared: each function checks the results of all methods first, then times them in interleaved rounds."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks import rivals
from benchmarks.accuracy import ResultError, check_gradients, largest_error, true_gradients
from benchmarks.calls import (
    DTYPES,
    NUMPY,
    Method,
    fastest_chunks,
    gradient_call,
    group_calls,
    information_calls,
    log_density_calls,
)
from benchmarks.problems import Problem, noisy_szt_network, truth
from benchmarks.rivals import Doubles
from benchmarks.timing import CHUNKS, Rounds, Spread, measure, ratio
from layerbits.information import layer_information
from layerbits.kernels import as_sigma, log_sum_exp

# By how much two estimates of one layer may differ: standard errors of the difference; queries at a rare overlap that
# one method met and the other did not, each worth log N at most; and nats for float32 at sigma = 0.005.
_STANDARD_ERRORS, _RARE_QUERIES, _ROUNDING = 5, 10, 1e-4

_CHECKED_ROWS = 64  # of gradients, by the slow twin


@dataclasses.dataclass(frozen=True)
class KernelRow:
    """Log-sums of one problem in one dtype, with NumPy in float64 always. Errors are the largest, in nats."""

    problem: str
    dtype: str
    pairs: int
    pairs_per_second: dict[str, float]
    over_torch: Spread
    over_tuned_torch: Spread | None
    over_numpy: Spread
    errors: dict[str, float]
    chunks: dict[str, int]
    target: float | None
    target_met: bool | None


@dataclasses.dataclass(frozen=True)
class GradientRow:
    """Gradients of points and centers: their time alone over the forward call's, and both together over torch."""

    problem: str
    dtype: str
    over_forward: Spread
    over_torch: Spread


@dataclasses.dataclass(frozen=True)
class EstimatorRow:
    """All layers of the noisy SZT network, rivals in float64; `information` is I(X;T) in nats by layer and method."""

    inputs: int
    draws: int
    queries: int
    seconds: dict[str, float]
    over_torch: Spread
    over_numpy: Spread
    information: dict[str, dict[str, float]]
    standard_errors: dict[str, float]


def kernel_rows(problem: Problem, targets: dict[torch.dtype, float], *, rounds: Rounds) -> list[KernelRow]:
    """Compare log densities, or for a problem of groups their log-sums; `targets` are ratios to torch."""
    chunks = {} if problem.is_grouped else fastest_chunks(problem)
    calls = group_calls(problem) if problem.is_grouped else log_density_calls(problem, chunks)
    exact = truth(problem)
    errors: dict[Method, float] = {}

    def check(results: dict[Method, Tensor | Doubles]) -> None:
        for (name, dtype), values in results.items():
            errors[name, dtype] = largest_error(name, values, problem, exact, dtype)

    seconds = measure(calls, check, rounds=rounds)

    def row(dtype: torch.dtype) -> KernelRow:
        names = ("layerbits", "torch", "tuned torch")
        methods: dict[str, Method] = {name: (name, dtype) for name in names if (name, dtype) in seconds}
        methods["numpy"] = NUMPY
        rates = {name: problem.pairs / statistics.median(seconds[method]) for name, method in methods.items()}
        over = {name: ratio(seconds[method], seconds["layerbits", dtype]) for name, method in methods.items()}
        target = targets.get(dtype)
        return KernelRow(
            problem=problem.name,
            dtype=str(dtype).removeprefix("torch."),
            pairs=problem.pairs,
            pairs_per_second=rates,
            over_torch=over["torch"],
            over_tuned_torch=over.get("tuned torch"),
            over_numpy=over["numpy"],
            errors={name: errors[method] for name, method in methods.items()},
            chunks={name: chunks[method] for name, method in methods.items() if method in chunks},
            target=target,
            target_met=None if target is None else over["torch"].median >= target,
        )

    return [row(dtype) for dtype in DTYPES]


def gradient_row(problem: Problem, dtype: torch.dtype, *, rounds: Rounds) -> GradientRow:
    """Compare forward and gradient with forward alone, and with torch."""
    given, sigma = problem.to(dtype), as_sigma(problem.sigma)
    upstream = torch.ones(len(given.points), dtype=dtype)
    forward = partial(log_sum_exp, given.points, given.centers, sigma)

    def check(results: dict[str, tuple[Tensor, ...]]) -> None:
        check_gradients("torch and layerbits", results["torch"], results["layerbits"], given)

    few = given.first(_CHECKED_ROWS)
    check_gradients("layerbits", gradient_call(few, upstream[:_CHECKED_ROWS])(), true_gradients(few), few)
    calls: dict[str, Callable[[], tuple[Tensor, ...]]] = {
        "forward": lambda: (forward(),),
        "layerbits": gradient_call(given, upstream),
        "torch": partial(rivals.torch_gradient, given, upstream, chunk=CHUNKS[1]),
    }
    seconds = measure(calls, check, rounds=rounds)
    alone = [both - one for both, one in zip(seconds["layerbits"], seconds["forward"], strict=True)]
    return GradientRow(
        problem.name,
        str(dtype).removeprefix("torch."),
        over_forward=ratio(alone, seconds["forward"]),
        over_torch=ratio(seconds["torch"], seconds["layerbits"]),
    )


def estimator_row(n_inputs: int, *, draws: int, queries: int, rounds: Rounds) -> EstimatorRow:
    """Compare `layer_information` on all layers, from the inputs on."""
    noisy, inputs = noisy_szt_network(n_inputs)
    table = layer_information(noisy, inputs, draws=draws, queries=queries)
    errors = {row.layer: row.standard_error for row in table if row.quantity == "I(X;T)"}
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
