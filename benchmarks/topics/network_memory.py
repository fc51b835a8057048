"""`python -m benchmarks.topics.network_memory [NAME ...]`: memory and time of `layer_information`.

The networks are noisy and have random weights. Each runs in a process of its own, on one thread; seconds are those of
the processor. Peak memory is the peak of the resident memory in the first call, less the resident memory after the
network and its inputs were made. The ratio is the median time of later measurements over that of the passes alone; the
two alternate. Passes alone include the check of the rows. `by hand` is the time of plain calls of the noisy network,
without gradients. `gpt2` needs the package transformers, `resnet18` torchvision; neither downloads weights.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.harness import Target
from benchmarks.topics.memory import status
from layerbits.estimators import layer_information
from layerbits.networks import Passes, check_rows, noisify, noisy_network, read_inputs, record

_MIB = 2**20

# Numbers of rows of a pass, of which the fastest is chosen, and rounds of the comparison.
_CHUNKS = (8, 16, 32, 64, 128, 512)
_ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Case:
    """A noisy network, its inputs and options, and the bounds of its measurement.

    Attributes
    ----------
    max_bytes : int
        Bound of the peak memory.
    max_ratio : float, optional
        Bound of the time of the measurement over the time of the passes alone with the fastest number of rows.
    """

    make: Callable[[], tuple[nn.Module, Any]]
    draws: int
    max_bytes: int
    layers: str | None = None
    queries: int | None = None
    max_ratio: float | None = None


@dataclasses.dataclass(frozen=True)
class Measured:
    """Seconds of a measurement, its peak memory in bytes, and with a `max_ratio` seconds of passes alone and by hand.

    `seconds` is the median of later measurements, or the first one without a `max_ratio`.
    """

    seconds: float
    peak: int
    seconds_of_passes: float | None = None
    seconds_by_hand: float | None = None


class _Mean(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return tokens.mean(1)


def _tokens() -> tuple[nn.Module, Any]:
    model = nn.Sequential(nn.Embedding(100, 512), nn.Tanh(), _Mean(), nn.Linear(512, 3), nn.Tanh(), nn.Linear(3, 2))
    inputs = torch.randint(0, 100, (2000, 64))
    return noisify(model, sigma=0.1, inputs=inputs), inputs


def _gpt2() -> tuple[nn.Module, Any]:
    from tests.support.vision import import_transformers  # optional: only this case needs it

    transformers = import_transformers()
    config = transformers.GPT2Config(
        vocab_size=1000, n_embd=256, n_layer=2, n_head=4, n_positions=64, bos_token_id=0, eos_token_id=0
    )
    inputs = {"input_ids": torch.randint(0, 1000, (32, 64))}
    return noisify(transformers.GPT2Model(config), sigma=1.0, inputs=inputs), inputs


def _resnet18() -> tuple[nn.Module, Any]:
    from tests.support.vision import import_torchvision  # optional: only this case needs it

    inputs = torch.randn(500, 3, 32, 32)
    return noisify(import_torchvision().models.resnet18(num_classes=10), sigma=1.0, inputs=inputs), inputs


def _images() -> tuple[nn.Module, Any]:
    model = nn.Sequential(
        *(nn.Conv2d(1, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(400, 64), nn.ReLU(), nn.Linear(64, 10)),
    )
    inputs = torch.rand(10_000, 1, 28, 28)
    return noisify(model, sigma=1.0, inputs=inputs), inputs


def _wide_images() -> tuple[nn.Module, Any]:
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 784, 10))
    inputs = torch.rand(10_000, 1, 28, 28)
    return noisify(model, sigma=1.0, layers="1", inputs=inputs), inputs


def _bfloat16() -> tuple[nn.Module, Any]:
    model = nn.Sequential(nn.Linear(16, 2**18), nn.Tanh(), nn.Linear(2**18, 1)).bfloat16()
    inputs = torch.randn(256, 16).bfloat16()
    return noisify(model, sigma=1.0, inputs=inputs), inputs


CASES = {
    "tokens": Case(_tokens, draws=8, max_bytes=10**9, layers="4"),
    "gpt2": Case(_gpt2, draws=32, max_bytes=300 * _MIB, max_ratio=1.1),
    "resnet18": Case(_resnet18, draws=8, max_bytes=2**30, max_ratio=2.0),
    "images": Case(_images, draws=2, queries=2, max_bytes=2**31),
    # The first layer has 6272 units.
    "wide_images": Case(_wide_images, draws=2, queries=2, max_bytes=2**31),
    # The bound is below the 256 MiB of one copy of the signals in float32.
    "bfloat16": Case(_bfloat16, draws=2, max_bytes=250 * _MIB),
}


def measure_case(name: str) -> Measured:
    """Measure a case in a spawned process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, name).result()


def targets(name: str, measured: Measured) -> list[Target]:
    """Return the bounds of a case beside what was measured."""
    case = CASES[name]
    bounds = [Target(f"{name}: peak memory, MiB", measured.peak / _MIB, case.max_bytes / _MIB, at_most=True)]
    if case.max_ratio is not None and measured.seconds_of_passes is not None:
        ratio = measured.seconds / measured.seconds_of_passes
        bounds.append(Target(f"{name}: time over that of the passes", ratio, case.max_ratio, at_most=True))
    return bounds


def _measured(name: str) -> Measured:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    case = CASES[name]
    model, inputs = case.make()
    before = status("VmRSS")
    seconds = _seconds_of_measurement(model, inputs, case)
    peak = status("VmHWM") - before
    if case.max_ratio is None:
        return Measured(seconds, peak)
    passes = functools.partial(_seconds_of_passes, model, inputs, case)
    by_hand = functools.partial(_seconds_by_hand, model, inputs, case)
    best, best_by_hand = min(_CHUNKS, key=passes), min(_CHUNKS, key=by_hand)
    rounds = [
        (_seconds_of_measurement(model, inputs, case), passes(best), by_hand(best_by_hand)) for _ in range(_ROUNDS)
    ]
    seconds, seconds_of_passes, seconds_by_hand = map(statistics.median, zip(*rounds, strict=True))
    return Measured(seconds, peak, seconds_of_passes, seconds_by_hand)


def _seconds_of_measurement(model: nn.Module, inputs: Any, case: Case) -> float:
    start = time.process_time()
    layer_information(model, inputs, layers=case.layers, draws=case.draws, queries=case.queries)
    return time.process_time() - start


def _seconds_of_passes(model: nn.Module, inputs: object, case: Case, chunk: int) -> float:
    """Return the CPU seconds to prepare the network and run all passes up to the last layer.

    One value of each input and draw is recorded.
    """
    start = time.process_time()
    data = read_inputs(inputs, model)
    network = noisy_network(model, data)
    last = network.choose(case.layers)[-1:]
    check_rows(network, data.tensors, last)
    record(network, data.tensors, Passes(last, range(case.draws), 0, rows=chunk, views=dict.fromkeys(last, _one_value)))
    return time.process_time() - start


def _seconds_by_hand(model: nn.Module, inputs: Any, case: Case, chunk: int) -> float:
    """Return the CPU seconds of the calls of the noisy network with all inputs in chunks, for each draw."""
    tensor = inputs if isinstance(inputs, Tensor) else next(iter(inputs.values()))
    model.eval()
    start = time.process_time()
    with torch.inference_mode():
        for _ in range(case.draws):
            for rows in tensor.split(chunk):
                model(rows)
    return time.process_time() - start


def _one_value(signals: Tensor) -> Tensor:
    return signals[..., :1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    # argparse compares the empty default of nargs="*" with the choices.
    parser.add_argument("names", nargs="*", choices=[[], *CASES], help="all by default")
    for name in parser.parse_args().names or CASES:
        measured = measure_case(name)
        passes = ""
        if measured.seconds_of_passes is not None:
            passes = f", passes alone {measured.seconds_of_passes:.1f} s, by hand {measured.seconds_by_hand:.1f} s"
        print(f"{name}: {measured.seconds:.1f} s{passes}")
        for target in targets(name, measured):
            print(target)


if __name__ == "__main__":
    main()
