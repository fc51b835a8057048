"""Errors of the allocator of scratch memory, and arrays on another device than the current one."""

import numpy as np
import pytest
import torch

import layerbits
from layerbits.kernels.back_ends import cuda
from tests.cuda.support.emulated_module import load_emulated
from tests.cuda.support.kernel_tests import DEVICE, needs_emulation


def call(module, allocate):
    module.log_sum_exp_isotropic(np.zeros((1, 1)), np.zeros((1, 1)), 1.0, np.zeros(1), stream=0, allocate=allocate)


@needs_emulation
def test_error_of_the_allocator_is_raised():
    def fail(count):
        raise MemoryError(f"no memory for {count}")

    with pytest.raises(MemoryError, match="no memory for"):
        call(load_emulated(), fail)


@needs_emulation
def test_allocator_that_returns_too_few_values_is_refused():
    with pytest.raises(ValueError, match="too short"):
        call(load_emulated(), lambda count: np.zeros(1))


@pytest.mark.skipif(not DEVICE.built, reason=DEVICE.reason)
def test_arrays_of_the_cpu_are_refused_by_the_module_for_devices():
    with pytest.raises(ValueError, match=r"^points: got an array that is not in the memory of a CUDA device"):
        call(cuda(), None)


@pytest.mark.cuda
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two devices")
def test_tensors_may_be_on_another_device_than_the_current_one():
    points = torch.randn(5, 3, device="cuda:1", requires_grad=True)
    density = layerbits.mixture_log_density(points, points.detach(), 0.8)
    density.sum().backward()
    assert (density.device, points.grad.device, torch.cuda.current_device()) == (points.device, points.device, 0)
