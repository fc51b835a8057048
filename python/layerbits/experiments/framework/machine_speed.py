"""`slowdown`: the time of fixed work on this machine, relative to the machine where durations were measured."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from layerbits.kernels import single_threaded_torch
from layerbits.mixtures import mixture_log_density

# Seconds of the work below on two Zen 4 cores beside another job, where the durations of experiments were measured.
_KERNEL_SECONDS, _TRAINING_SECONDS = 7.0e-3, 8.1e-3

# Number of runs of each work, so that a probe takes a fifth of a second on that machine.
_REPEATS = 9

# Steps of the training.
_STEPS = 20


def slowdown() -> float:
    """Return the time of kernel calls and training steps, relative to the machine where durations were measured.

    Each time is the median of some repeats, so other work of the machine counts. The result is the geometric mean of
    the two ratios, since an experiment has both kinds of work.
    """
    points = torch.randn(4096, 10, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=()):  # weights come from the generator of the CPU
        network = _network()
    kernel = _seconds(lambda: mixture_log_density(points, points, sigma=1.0))
    with single_threaded_torch():
        training = _seconds(lambda: _train(network, points[:256]))
    return math.sqrt(kernel / _KERNEL_SECONDS * training / _TRAINING_SECONDS)


def _seconds(work: Callable[[], object]) -> float:
    """Return the median of the seconds of `_REPEATS` runs, after one that is not counted."""
    work()
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _network() -> nn.Sequential:
    layers = itertools.pairwise((10, 10, 7, 5, 4))
    return nn.Sequential(*(nn.Sequential(nn.Linear(*widths), nn.Tanh()) for widths in layers), nn.Linear(4, 1))


def _train(network: nn.Module, inputs: torch.Tensor) -> None:
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        network(inputs).square().mean().backward()
        optimizer.step()
