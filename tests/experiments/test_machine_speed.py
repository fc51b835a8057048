"""The probe of the machine, by which announced durations are scaled."""

import itertools

import pytest
import torch

from layerbits.experiments import slowdown
from layerbits.experiments.framework import machine_speed


def test_machine_of_half_the_speed_takes_twice_as_long(monkeypatch):
    """Each block of the kernel takes 4 times the reference, and each block of the training as long as there."""
    durations = itertools.cycle([machine_speed._KERNEL_SECONDS * 4] * 9 + [machine_speed._TRAINING_SECONDS] * 9)
    clock, readings = 0.0, itertools.count()

    def perf_counter():
        nonlocal clock
        clock += next(durations) if next(readings) % 2 else 0.0
        return clock

    monkeypatch.setattr(machine_speed.time, "perf_counter", perf_counter)
    assert slowdown() == pytest.approx(2.0)


def test_probe_leaves_generator_and_threads_alone():
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    assert slowdown() > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
