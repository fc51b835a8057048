"""Work goes on the stream that is the caller's current one, whatever asks for it."""

from types import SimpleNamespace

import pytest
import torch

from layerbits.kernels import operations as kernels

STREAM = 7


def ask_for_everything():
    points, centers = (torch.randn(rows, 2, device="cuda", requires_grad=True) for rows in (5, 6))
    sigma, offsets = kernels.as_sigma(0.5), torch.zeros(6, device="cuda")
    for method in ("dense", "pruned"):
        kernels.log_sum_exp_isotropic(points, centers, sigma, method=method).sum().backward()
    factors = torch.eye(2, device="cuda").expand(6, 2, 2)
    kernels.log_sum_exp_full(points, centers, factors, offsets)
    kernels.distance_histogram(points, torch.linspace(0, 1, 3, dtype=torch.float64))
    kernels.largest_distance(points)
    kernels.fill_standard_normal(torch.empty(1, 3, device="cuda"), [0], 0)


def test_every_verb_is_told_the_current_stream(copies_to_host, monkeypatch):
    native, told = kernels.cuda(), {}

    class Noted:
        def __getattr__(self, verb):
            def call(*arguments, stream, **options):
                told[verb] = stream
                return getattr(native, verb)(*arguments, stream=stream, **options)

            return call

    monkeypatch.setattr(kernels, "cuda", Noted)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: SimpleNamespace(cuda_stream=STREAM))
    ask_for_everything()
    operations = (
        "log_sum_exp_isotropic log_sum_exp_isotropic_gradient log_sum_exp_full distance_histogram largest_distance "
        "standard_normal"
    )
    assert told == dict.fromkeys(operations.split(), STREAM)


def test_work_waits_for_what_is_on_the_current_stream():
    if not hasattr(torch._C, "_cuda_sleep"):
        pytest.skip("the stand-in knows no streams")
    points, centers = (torch.zeros(rows, 2, device="cuda") for rows in (5, 6))
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda._sleep(10**8)  # some 50 ms
        points.fill_(1)
        found = kernels.log_sum_exp_isotropic(points, centers, kernels.as_sigma(1.0), method="dense")
        expected = torch.full((5,), 6.0, dtype=torch.float64).log() - 1
        torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-5)
