"""`python -m benchmarks.breakdown [--epochs N]`: where the seconds of `layer_information` go, in a network of szt-tanh.

Seen by Python's profiler, which counts a call as long as its caller waits; the quickest of some runs counts.
"""

from __future__ import annotations

import argparse
import cProfile
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import Tensor

from layerbits.data.szt import szt_dataset
from layerbits.experiments.szt_tanh import QUICK, Config, network
from layerbits.information import layer_information
from layerbits.kernels import log_sum_exp
from layerbits.noise import NoisyModule
from layerbits.propagation import propagate
from layerbits.subspace import affine_coordinates
from layerbits.training.loop import single_threaded, train

_REPEATS = 5
_PHASES = {"propagation": propagate, "reduction of dimension": affine_coordinates, "kernels": log_sum_exp}


def breakdown(noisy: NoisyModule, inputs: Tensor, labels: Tensor, **options: Any) -> dict[str, float]:
    """Return the seconds of each phase of `layer_information`, and of the rest."""
    profile = cProfile.Profile()
    profile.runcall(layer_information, noisy, inputs, labels, **options)
    seconds = {entry.code: entry.totaltime for entry in profile.getstats()}
    found = {phase: seconds[_code(function)] for phase, function in _PHASES.items()}
    return found | {"rest": seconds[_code(layer_information)] - sum(found.values())}


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
    found = min((breakdown(*given) for _ in range(_REPEATS)), key=lambda found: sum(found.values()))
    for phase, seconds in found.items():
        print(f"{phase:24}{seconds:8.3f} s {seconds / sum(found.values()):6.0%}")
    print(f"{'in all':24}{sum(found.values()):8.3f} s")


if __name__ == "__main__":
    main()
