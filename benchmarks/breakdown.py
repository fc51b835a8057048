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
from layerbits.data import szt_dataset
from layerbits.estimators import Problem, layer_information
from layerbits.estimators.classes import Classes
from layerbits.estimators.layer_measurement import estimate_layer
from layerbits.estimators.layer_sample import LayerSample, sample_layers
from layerbits.estimators.plug_in_bound import plug_in
from layerbits.experiments.szt.szt_tanh import QUICK, Config, network
from layerbits.kernels import NormalStream
from layerbits.mixtures import KnownChannel
from layerbits.networks import NoisyModule, record
from layerbits.statistics import QUANTITIES
from layerbits.training import single_threaded, train

_REPEATS = 5
_DRAWS = 32


def breakdown(noisy: NoisyModule, inputs: Tensor, labels: Tensor, **options: Any) -> dict[str, float]:
    """Return the seconds of each phase of `layer_information`, and of the rest."""
    profile = cProfile.Profile()
    profile.runcall(layer_information, noisy, inputs, labels, **options)
    seconds = {entry.code: entry.totaltime for entry in profile.getstats()}
    whole, sampling, measuring, propagation, *plug_ins = (
        seconds.get(_code(function), 0.0)
        for function in (layer_information, sample_layers, estimate_layer, record, plug_in, KnownChannel.surprisals)
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
    problem = Problem.of(noisy, inputs, labels)

    def plug_ins() -> dict[str, float]:
        samples = sample_layers(problem, problem.layers, draws, None, 0)
        return {
            layer: _plug_in(sample, problem.classes, index) + sample.dimension_loss
            for index, (layer, sample) in enumerate(samples.items())
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


def _plug_in(sample: LayerSample, classes: Classes, index: int) -> float:
    """Return the plug-in of I(X;T) in nats at the queries of `layer_information` with seed 0."""
    stream = NormalStream(0, 1, index)
    if not sample.is_exact:
        return plug_in(*sample.split(stream), classes).bound(QUANTITIES[0]).value
    centers = sample.signals.expand(-1, sample.queries, -1)
    points = torch.add(centers, stream.like(centers), alpha=sample.sigma)
    channel = KnownChannel(sample.signals[:, 0], sample.sigma, classes.labels)
    return float(channel.surprisals(np.arange(len(points)), points).marginal.mean())


def _code(function: object) -> CodeType:
    assert isinstance(function, FunctionType)
    return function.__code__


def trained(epochs: int) -> tuple[NoisyModule, Tensor, Tensor]:
    """Return the network of szt-tanh, trained for some epochs as in its quick run, with inputs and labels."""
    noisy, data = network(Config()), szt_dataset()
    optimizer = torch.optim.Adam(noisy.parameters(), lr=QUICK["learning_rate"], fused=True)
    batches = train(
        noisy, optimizer, data.inputs, data.labels, epochs=range(epochs), batch_size=QUICK["batch_size"], seed=0
    )
    for _ in single_threaded(batches):
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
