"""`python -m benchmarks.breakdown [--epochs N]`: where the seconds of `layer_information` go, in a network of szt-tanh.

Seen by Python's profiler, which counts a call as long as its caller waits; the quickest of some runs counts. And how
many times as long as the plug-in alone, with its jackknife, all of it takes, in turns and without the profiler.
"""

from __future__ import annotations

import argparse
import cProfile
import statistics
from types import CodeType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.accuracy import ResultError
from benchmarks.timing import Rounds, Spread, measure, ratio
from layerbits._base import Integers
from layerbits.data import szt_dataset
from layerbits.estimators import layer_information, measurement
from layerbits.estimators.log_densities import Queries
from layerbits.estimators.plug_in_bound import exact_surprisals, plug_in
from layerbits.estimators.sampling import LayerSample, sample_layers
from layerbits.experiments.szt.noisy_network import SZT_TANH
from layerbits.kernels import NormalStream
from layerbits.networks import NoisyModule, record
from layerbits.statistics import class_numbers
from layerbits.training import Batches, single_threaded, train

_REPEATS = 5
_DRAWS = 32


def breakdown(noisy: NoisyModule, inputs: Tensor, labels: Tensor, **options: Any) -> dict[str, float]:
    """Return the seconds of each phase of `layer_information`, and of the rest."""
    profile = cProfile.Profile()
    profile.runcall(layer_information, noisy, inputs, labels, **options)
    seconds = {entry.code: entry.totaltime for entry in profile.getstats()}
    whole, sampling, measuring, propagation, *plug_ins = (
        seconds.get(_code(function), 0.0)
        for function in (layer_information, sample_layers, measurement.measure, record, plug_in, exact_surprisals)
    )
    return {
        "propagation": propagation,
        "reduction of dimension": sampling - propagation,
        "plug-in": sum(plug_ins),
        "decoders and intervals": measuring - sum(plug_ins),
        "rest": whole - sampling - measuring,
    }


def over_plug_in(
    noisy: NoisyModule, inputs: Tensor, labels: Tensor, *, draws: int, rounds: Rounds
) -> tuple[float, Spread]:
    """Return the median seconds of `layer_information`, and how many times as long as the plug-in alone it takes."""
    classes = class_numbers(labels, len(inputs))

    def plug_ins() -> dict[str, float]:
        samples = sample_layers(noisy, inputs, layers=None, draws=draws, queries=None, seed=0)
        return {
            layer: _plug_in(sample, classes, place) + sample.lost
            for place, (layer, sample) in enumerate(samples.items())
        }

    def intervals() -> dict[str, float]:
        table = layer_information(noisy, inputs, labels, draws=draws)
        return {row.layer: row.plug_in for row in table if row.quantity == "I(X;T)"}

    def check(results: dict[str, dict[str, float]]) -> None:
        # The same sums, but for the order in which they are taken.
        alone, whole = ([*found.values()] for found in results.values())
        if not np.allclose(alone, whole, rtol=0, atol=1e-9):
            raise ResultError(f"the plug-in alone is not that of layer_information: {results}")

    seconds = measure({"alone": plug_ins, "with intervals": intervals}, check, rounds)
    return statistics.median(seconds["with intervals"]), ratio(seconds["with intervals"], seconds["alone"])


def _plug_in(sample: LayerSample, classes: Integers, place: int) -> float:
    """Return the plug-in of I(X;T) in nats at the queries of `layer_information` with seed 0."""
    signals, others = sample.signals, sample.signals.shape[1] - sample.queries
    bases = signals.expand(-1, sample.queries, -1) if sample.is_exact else signals[:, others:].contiguous()
    queries = Queries.around(bases, sample.sigma, NormalStream(0, 1, place).like(bases))
    if sample.is_exact:
        return float(exact_surprisals(queries, signals, classes, sample.sigma).terms("I(X;T)").mean())
    entropies, _ = plug_in(queries, signals[:, :others].contiguous(), classes, sample.sigma)
    return entropies.marginal.value - entropies.by_input.value


def _code(function: object) -> CodeType:
    assert isinstance(function, FunctionType)
    return function.__code__


def trained(epochs: int) -> tuple[NoisyModule, Tensor, Tensor]:
    """Return the network of szt-tanh, trained for some epochs as in its quick run, with inputs and labels."""
    config, data = SZT_TANH.quick_config(), szt_dataset()
    noisy = SZT_TANH.network(config)
    optimizer = torch.optim.Adam(noisy.parameters(), lr=config.learning_rate, fused=True)
    batches = Batches(data.inputs, data.labels, batch_size=config.batch_size, seed=config.seed)
    for _ in single_threaded(train(noisy, optimizer, batches, range(epochs))):
        pass
    return noisy, data.inputs, data.labels


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.breakdown", description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=200, help="epochs of training before (default: %(default)s)")
    epochs = parser.parse_args().epochs
    if epochs < 1:
        parser.error(f"--epochs: got {epochs}, wanted at least 1")
    given = trained(epochs)
    found = min((breakdown(*given, draws=_DRAWS) for _ in range(_REPEATS)), key=lambda found: sum(found.values()))
    for phase, seconds in found.items():
        print(f"{phase:24}{seconds:8.3f} s {seconds / sum(found.values()):6.0%}")
    print(f"{'in all':24}{sum(found.values()):8.3f} s")
    seconds, over = over_plug_in(*given, draws=_DRAWS, rounds=Rounds(2 * _REPEATS))
    print(f"five layers, {_DRAWS} draws: {seconds:.3f} s, {over} times as long as the plug-in alone")


if __name__ == "__main__":
    main()
