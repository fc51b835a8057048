"""Second derivatives on a device agree with those of the CPU."""

import pytest
import torch

import layerbits
from tests.support.random_arrays import normal_tensor


def gradients_of_penalty(device, method):
    """Return the gradients of points, centers, sigma and weights for a loss that contains a score."""
    sigma, weights = torch.tensor(0.7).double(), normal_tensor(20, seed=2).abs()
    inputs = [normal_tensor(30, 3), normal_tensor(20, 3, seed=1), sigma, weights]
    points, centers, sigma, weights = variables = [tensor.to(device).requires_grad_() for tensor in inputs]
    log_density = layerbits.mixture_log_density(points, centers, sigma, weights=weights, method=method)
    (score,) = torch.autograd.grad(log_density.sum(), points, create_graph=True)
    return torch.autograd.grad((score + points).square().sum(), variables)


@pytest.mark.parametrize("method", ["dense", "pruned"])
def test_gradient_of_a_loss_with_a_score_agrees_with_that_of_the_cpu(method):
    """Sums of 30 * 20 * 3 terms of both signs: 1e5 eps of the largest result suffices for terms 50 times as large."""
    for value, truth in zip(gradients_of_penalty("cuda", method), gradients_of_penalty("cpu", method), strict=True):
        assert value.device.type == "cuda"
        tolerance = 1e5 * 2.0**-52 * float(truth.abs().max())
        torch.testing.assert_close(value.cpu(), truth, rtol=0, atol=tolerance)
