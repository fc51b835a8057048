"""Repeat measurements, monitors and noisy trainings, and print the growth of memory, threads, descriptors and hooks.

    python tools/soak.py [SHARE] [NAME ...]

SHARE (default: 1) of these numbers of repetitions runs: 20,000 `mixture_information`, 2,000 `layer_information`, 500
monitors, 10,000 training steps with the noise on and off, 200 cycles of `noisify` and `remove_noise`, 500 loaders; or
only those that NAME names. After the first tenth, the counts must not grow, and the slope of the resident memory must
be at most 4 of its standard errors, or 100 bytes a repetition. The script ends with status 1 otherwise.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import psutil
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import layerbits as lb

_SAMPLES = 100  # readings of each kind of repetition
_MARGIN, _BYTES = 4.0, 100.0


class _Reading(NamedTuple):
    """The state of the process after some repetitions."""

    repetitions: int
    resident: int
    threads: int
    descriptors: int
    seconds: float


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 2))


def _repetitions(folder: str) -> dict[str, tuple[int, Callable[[], object]]]:
    inputs, points = torch.randn(60, 4), torch.randn(20, 2)
    noisy = lb.noisify(_network(), sigma=0.3, inputs=inputs)
    trained = lb.noisify(_network(), sigma=0.3, inputs=inputs)
    optimizer = torch.optim.SGD(trained.parameters(), 1e-3)
    changed = _network()
    hooks = len(changed._forward_hooks)

    def measure_mixture() -> None:
        lb.mixture_information(points, 0.3, tolerance=None)

    def measure_layers() -> None:
        lb.layer_information(noisy, inputs, draws=4, queries=2)

    def monitor() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as directory:
            options = lb.MeasurementSettings(draws=4, queries=2)
            lb.Monitor(noisy, inputs, at=[1], directory=directory, settings=options).step(1)

    def train() -> None:
        for step in range(2):
            optimizer.zero_grad()
            if step:
                with lb.noise_off(trained):
                    trained(inputs).square().mean().backward()
            else:
                trained(inputs).square().mean().backward()
            optimizer.step()

    def change_noise() -> None:
        lb.noisify(changed, sigma=0.3, inputs=inputs)
        lb.remove_noise(changed)
        if len(changed._forward_hooks) != hooks:
            raise AssertionError("hooks are left after remove_noise")

    def load() -> None:
        loader = DataLoader(TensorDataset(inputs), batch_size=16)
        lb.layer_information(noisy, loader, draws=4, queries=2)

    return {
        "mixture_information": (20_000, measure_mixture),
        "layer_information": (2_000, measure_layers),
        "monitors": (500, monitor),
        "training steps": (5_000, train),
        "noisify, remove_noise": (200, change_noise),
        "loaders": (500, load),
    }


def _read(process: psutil.Process, repetitions: int, started: float) -> _Reading:
    seconds = time.process_time() - started
    gc.collect()  # Python keeps cycles until they are a quarter of all objects, here those of some 500 monitors
    return _Reading(repetitions, process.memory_info().rss, threading.active_count(), process.num_fds(), seconds)


def _soak(count: int, repeat: Callable[[], object]) -> list[_Reading]:
    """Repeat, and return readings after the first tenth."""
    process, readings, started = psutil.Process(), [], time.process_time()
    step = max(1, count // _SAMPLES)
    for number in range(1, count + 1):
        repeat()
        if number % step == 0 and number > count / 10:
            readings.append(_read(process, number, started))
    return readings


def _growth(name: str, readings: list[_Reading]) -> bool:
    """Print the slope of the memory and the changes of the counts, and return whether one has grown."""
    first, last = readings[0], readings[-1]
    numbers, resident = (np.array(values, float) for values in list(zip(*readings, strict=True))[:2])
    centered = numbers - numbers.mean()
    slope = float(centered @ resident / (centered @ centered))
    residuals = resident - resident.mean() - slope * centered
    error = float(np.sqrt(residuals @ residuals / max(1, len(numbers) - 2) / (centered @ centered)))
    has_grown = (
        slope > max(_MARGIN * error, _BYTES) or last.threads > first.threads or last.descriptors > first.descriptors
    )
    print(
        f"{name}: {last.repetitions} repetitions, {slope:.1f} +- {error:.1f} bytes each, "
        f"threads {first.threads} to {last.threads}, descriptors {first.descriptors} to {last.descriptors}, "
        f"{'grows' if has_grown else 'flat'}",
        flush=True,
    )
    return has_grown


def main() -> int:
    """Run all repetitions, and return the exit status."""
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    with tempfile.TemporaryDirectory() as folder:
        grown = [
            _growth(name, _soak(max(20, round(share * count)), repeat))
            for name, (count, repeat) in _repetitions(folder).items()
            if name in (sys.argv[2:] or name)
        ]
    return int(any(grown))


if __name__ == "__main__":
    sys.exit(main())
