"""Kernels run on the caller's current stream."""

from types import SimpleNamespace

import pytest
import torch

from layerbits.kernels import as_sigma, operations

STREAM = 7


def call_all_operations():
    points, centers = (torch.randn(rows, 2, device="cuda", requires_grad=True) for rows in (5, 6))
    sigma, offsets = as_sigma(0.5), torch.zeros(6, device="cuda")
    for method in ("dense", "pruned"):
        operations.log_sum_exp_isotropic(points, centers, sigma, method=method).sum().backward()
    factors = torch.eye(2, device="cuda").expand(6, 2, 2)
    operations.log_sum_exp_full(points.detach(), centers.detach(), factors, offsets)
    operations.log_sum_exp_diagonal(points.detach(), centers.detach(), centers.detach(), offsets)
    operations.distance_histogram(points, torch.linspace(0, 1, 3, dtype=torch.float64))
    operations.largest_distance(points)
    operations.fill_standard_normal(torch.empty(1, 3, device="cuda"), [0], 0)


def test_every_operation_is_called_with_the_current_stream(copies_to_host, native_calls, monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: SimpleNamespace(cuda_stream=STREAM))
    call_all_operations()
    assert {(call.operation, call.options["stream"]) for call in native_calls} == {
        ("log_sum_exp_isotropic", STREAM),
        ("log_sum_exp_isotropic_gradient", STREAM),
        ("log_sum_exp_full", STREAM),
        ("log_sum_exp_diagonal", STREAM),
        ("distance_histogram", STREAM),
        ("largest_distance", STREAM),
        ("standard_normal", STREAM),
    }


def test_kernel_runs_after_earlier_work_on_the_current_stream():
    if not hasattr(torch._C, "_cuda_sleep"):
        pytest.skip("the stand-in has no streams")
    points, centers = (torch.zeros(rows, 2, device="cuda") for rows in (5, 6))
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda._sleep(10**8)  # about 50 ms
        points.fill_(1)
        log_sum = operations.log_sum_exp_isotropic(points, centers, as_sigma(1.0), method="dense")
        expected = torch.full((5,), 6.0, dtype=torch.float64).log() - 1
        torch.testing.assert_close(log_sum.cpu(), expected, rtol=0, atol=1e-5)
