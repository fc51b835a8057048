"""Fixtures for tests on devices; some replace functions or limits of layerbits."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import layerbits
from layerbits.estimators import layer_groups, principal_view
from layerbits.kernels import random_streams, sharding
from layerbits.networks.passes import recorder

CUDA = layerbits.backends()[1]
USABLE = CUDA.usable and torch.cuda.is_available()
REASON = f"no device for layerbits and torch, and no stand-in: {CUDA.reason or 'torch finds none'}"


def pytest_collection_modifyitems(items):
    folder = f"{Path(__file__).parent}{os.sep}"
    for item in items:
        if str(item.path).startswith(folder):  # pytest passes the tests of other folders too
            item.add_marker(pytest.mark.cuda)
            item.add_marker(pytest.mark.skipif(not USABLE, reason=REASON))


@pytest.fixture
def copies_to_host():
    """Return a function that lists the bytes of each copy from a device to the host since its last call."""
    if not hasattr(torch.ops.layerbits_stand_in, "copies_to_host"):
        pytest.skip("only the stand-in counts copies")
    torch.ops.layerbits_stand_in.copies_to_host()
    return torch.ops.layerbits_stand_in.copies_to_host


@pytest.fixture
def second_device():
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one device")
    return "cuda:1"


@pytest.fixture
def same_noise(monkeypatch):
    """Give devices the noise of the CPU."""
    fill_host_rows = random_streams.fill_rows

    def fill_rows(streams, values):
        host = torch.empty(values.shape, dtype=values.dtype)
        fill_host_rows(streams, host)
        values.copy_(host)

    monkeypatch.setattr(random_streams, "fill_rows", fill_rows)
    monkeypatch.setattr(recorder, "fill_rows", fill_rows)


@pytest.fixture
def wide_layer_limits(monkeypatch):
    """Make the limits of a layer so small that it is too wide to be measured in all its dimensions."""
    monkeypatch.setattr(layer_groups, "_BUDGET_PER_VALUE", 2**40)
    monkeypatch.setattr(principal_view, "MAX_DIMENSIONS", 3)


@pytest.fixture
def devices_used(monkeypatch):
    """Return the set of devices that have computed log-sums; pieces are so small that each device gets several."""
    monkeypatch.setattr(sharding, "_PIECE_ROWS", 50)
    names, shared_log_sums = set(), sharding.log_sums

    def log_sums(operation, points, components, workers=sharding.NO_WORKERS):
        def recorded(piece, *arguments):
            names.add(str(piece.device))
            return operation(piece, *arguments)

        return shared_log_sums(recorded, points, components, workers)

    monkeypatch.setattr("layerbits.estimators.log_densities.log_sums", log_sums)
    monkeypatch.setattr(sharding, "log_sums", log_sums)  # of isotropic_log_sums
    return names


@pytest.fixture
def failing_second_device(monkeypatch):
    """Make every log-sum-exp on another device than cuda:0 raise RuntimeError("no")."""

    def fail(points, *arguments, **options):
        if points.device.index:
            raise RuntimeError("no")
        return points.new_zeros(len(points), dtype=torch.float64)

    monkeypatch.setattr(sharding, "log_sum_exp_isotropic", fail)


@pytest.fixture
def native_calls(monkeypatch):
    """Return a list of the calls of the native CUDA module: operation, positional arguments and options."""
    from layerbits.kernels import cuda_operations

    native, calls = cuda_operations._cuda, []

    class RecordedModule:
        def __getattr__(self, operation):
            def call(*arguments, **options):
                calls.append(SimpleNamespace(operation=operation, arguments=arguments, options=options))
                return getattr(native, operation)(*arguments, **options)

            return call

    monkeypatch.setattr(cuda_operations, "_cuda", RecordedModule())
    return calls


@pytest.fixture
def trial_for_any_size(monkeypatch):
    """Make the method "auto" try pruning for problems of any size."""
    monkeypatch.setattr("layerbits.kernels.cuda_pruning.TRIAL_INSTRUCTIONS", 0)
