"""`python -m benchmarks.topics.breakdown [--epochs N]`: the time of each phase of `layer_information` on szt-tanh.

Python's profiler gives the phases; the fastest of several runs is printed. A second measurement, without the profiler,
alternates `layer_information` and its plug-in estimate (with the jackknife), and prints the ratio of their times.
"""

from __future__ import annotations

import argparse
import cProfile
import statistics
from functools import partial
from types import CodeType, FunctionType

import numpy as np
from torch import Tensor, nn

from benchmarks.harness import Rounds, Spread, measure, ratio
from benchmarks.methods import ResultError
from benchmarks.problems import trained_szt_network
from layerbits.estimators import Problem, layer_information
from layerbits.estimators.first_layer import first_layer_estimates
from layerbits.estimators.layer_measurement import estimate_layer
from layerbits.estimators.layer_sample import LayerSample, sample_layers
from layerbits.estimators.plug_in_bound import plug_in
from layerbits.kernels import NormalStream, RandomStream
from layerbits.networks import read_inputs, record_draws

_REPEATS = 5
_DRAWS = 32


def measure_phases(
    noisy: nn.Module, inputs: Tensor, labels: Tensor, *, draws: int, queries: int | None = None
) -> dict[str, float]:
    """Return the seconds of each phase of `layer_information`; their sum is the seconds of the call."""
    profile = cProfile.Profile()
    profile.runcall(layer_information, noisy, inputs, labels, draws=draws, queries=queries)
    seconds = {entry.code: entry.totaltime for entry in profile.getstats()}
    functions = (layer_information, sample_layers, estimate_layer, record_draws, plug_in, first_layer_estimates)
    total, sampling, measuring, propagation, *plug_ins = (seconds.get(_code(function), 0.0) for function in functions)
    return {
        "propagation": propagation,
        "reduction of dimension": sampling - propagation,
        "plug-in": sum(plug_ins),
        "decoders and intervals": measuring - sum(plug_ins),
        "rest": total - sampling - measuring,
    }


def time_over_plug_in(
    noisy: nn.Module, inputs: Tensor, labels: Tensor, *, draws: int, rounds: Rounds
) -> tuple[float, Spread]:
    """Return the median seconds of `layer_information` and their ratio to the seconds of the plug-in alone."""
    calls = {
        "alone": partial(_plug_in_information, noisy, inputs, labels, draws),
        "with intervals": partial(_information_with_intervals, noisy, inputs, labels, draws),
    }
    seconds = measure(calls, _check_equal, rounds)
    return statistics.median(seconds["with intervals"]), ratio(seconds["with intervals"], seconds["alone"])


def _plug_in_information(noisy: nn.Module, inputs: Tensor, labels: Tensor, draws: int) -> dict[str, float]:
    problem = Problem.of(noisy, read_inputs(inputs, noisy, labels))
    samples = sample_layers(problem, problem.layers, draws, None, seed=0)
    return {layer: _plug_in(problem, sample, index) for index, (layer, sample) in enumerate(samples.items())}


def _plug_in(problem: Problem, sample: LayerSample, index: int) -> float:
    """Return the plug-in I(X;T) in nats at the queries that `layer_information` has with seed 0."""
    stream = NormalStream(0, RandomStream.QUERIES, index)
    if sample.is_exact:
        return first_layer_estimates(sample, problem.classes, 0.5, stream)["I(X;T)"].plug_in
    entropies = plug_in(*sample.split(stream), problem.classes).entropies
    return entropies.marginal.value - entropies.given_input.value + sample.dimension_loss


def _information_with_intervals(noisy: nn.Module, inputs: Tensor, labels: Tensor, draws: int) -> dict[str, float]:
    table = layer_information(noisy, inputs, labels, draws=draws, estimator="draws")
    return {row.layer: row.plug_in for row in table if row.quantity == "I(X;T)"}


def _check_equal(results: dict[str, dict[str, float]]) -> None:
    alone, with_intervals = ([*values.values()] for values in results.values())
    # Differences of the same entropies, in nats: float64 rounds values below 100 by less than 1e-14.
    if not np.allclose(alone, with_intervals, rtol=0, atol=1e-9):
        raise ResultError(f"the plug-in alone differs from the plug-in of layer_information: {results}")


def _code(function: object) -> CodeType:
    assert isinstance(function, FunctionType)
    return function.__code__


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.topics.breakdown", description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=200, help="epochs of training beforehand (default: %(default)s)")
    epochs = parser.parse_args().epochs
    if epochs < 1:
        parser.error(f"--epochs: got {epochs}, wanted an integer >= 1")
    network = trained_szt_network(epochs)
    runs = [measure_phases(*network, draws=_DRAWS) for _ in range(_REPEATS)]
    fastest = min(runs, key=lambda phases: sum(phases.values()))
    total = sum(fastest.values())
    for phase, phase_seconds in fastest.items():
        print(f"{phase:24}{phase_seconds:8.3f} s {phase_seconds / total:6.0%}")
    print(f"{'total':24}{total:8.3f} s")
    seconds, over = time_over_plug_in(*network, draws=_DRAWS, rounds=Rounds(2 * _REPEATS))
    print(f"five layers, {_DRAWS} draws: {seconds:.3f} s, {over} times as long as the plug-in alone")


if __name__ == "__main__":
    main()
