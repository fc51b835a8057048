"""The log density of a mixture against 50 digits, integrals and closed forms, with its gradients and array types."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate
from torch.autograd import gradcheck

from layerbits import mixture_log_density
from tests.support.answers import exact_log_sum
from tests.support.random_arrays import normal_array, normal_tensor


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weights", [None, np.array([1.0, 0.5, 0.25, 3, 0])])
@pytest.mark.parametrize("sigma", [0.01, 0.5, 30])
def test_log_density_agrees_with_50_digits(dtype, weights, sigma):
    """The error is that of the kernel, of sums and products in float64, and of one rounding.

    The terms of the sums are at most |log_sum| + |log total| + d (|log sigma| + 1) and round a few times each.
    """
    points, centers = normal_array(7, 3, dtype=dtype), normal_array(5, 3, seed=1, dtype=dtype)
    center_weights = np.ones(5) if weights is None else weights
    density = mixture_log_density(points, centers, sigma, weights=None if weights is None else weights.astype(dtype))
    log_sums, spreads = np.transpose([exact_log_sum(point, centers, sigma, center_weights) for point in points])
    truth = log_sums - math.log(center_weights.sum()) - 3 / 2 * math.log(2 * math.pi * sigma**2)
    kernel_error = (4 + 3 / 64) * np.finfo(dtype).eps * (1 + spreads)
    sum_error = 8 * np.finfo(float).eps * (abs(log_sums) + math.log(5) + 3 * (abs(math.log(sigma)) + 1))
    rounding = np.finfo(dtype).eps * abs(truth) / 2
    assert (abs(density - truth) <= kernel_error + sum_error + rounding).all()


def test_density_on_the_line_integrates_to_one():
    centers, weights = normal_array(4, 1), np.array([1.0, 2, 3, 4])

    def density(t):
        return math.exp(mixture_log_density(np.array([[t]]), centers, 0.3, weights=weights)[0])

    total, error = integrate.quad(density, -10, 10, points=centers.ravel(), limit=200)
    assert abs(total - 1) <= error + 1e-10  # beyond 10, at least 30 sigma away, the mass is below rounding


def test_density_in_the_plane_integrates_to_one():
    """In steps of sigma / 4 the trapezoidal rule errs by 2 exp(-2 (4 pi)^2); the mass beyond 12 sigma is some e^-72."""
    centers, sigma = normal_array(3, 2), 0.5
    axis = np.arange(-10, 10, sigma / 4)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    total = np.exp(mixture_log_density(points, centers, sigma)).sum() * (sigma / 4) ** 2
    assert abs(total - 1) <= 1e-12


def test_common_factor_of_all_weights_has_no_effect():
    """Scaling by 7 rounds every weight and the total by a few eps."""
    points, centers, weights = normal_array(9, 2), normal_array(5, 2, seed=1), np.arange(1.0, 6)
    scaled = mixture_log_density(points, centers, 0.7, weights=7 * weights)
    np.testing.assert_allclose(scaled, mixture_log_density(points, centers, 0.7, weights=weights), atol=1e-13)


def test_log_density_is_differentiable_in_points_centers_sigma_and_weights():
    """The tolerances are those of gradcheck: central differences of step 1e-6 are off by about 1e-9 in float64."""
    sigma, weights = torch.tensor(0.6).double(), torch.arange(1.0, 6).double()
    arguments = [normal_tensor(4, 3), normal_tensor(5, 3, seed=1), sigma, weights]
    arguments = [argument.requires_grad_() for argument in arguments]
    assert gradcheck(lambda p, c, s, w: mixture_log_density(p, c, s, weights=w), arguments)


def test_gradient_at_coincident_points_is_finite():
    points = normal_tensor(4, 3).requires_grad_()
    mixture_log_density(points, points, 0.01).sum().backward()
    assert points.grad.isfinite().all()


def test_gradient_of_a_single_center_is_that_of_a_normal_density():
    """d log N / dt = (c - t) / sigma^2, to a few eps."""
    point, center = normal_tensor(1, 3).requires_grad_(), normal_tensor(1, 3, seed=1)
    mixture_log_density(point, center, 0.5).sum().backward()
    np.testing.assert_allclose(point.grad, (center - point.detach()) / 0.25, rtol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_give_a_tensor_of_their_dtype(dtype):
    density = mixture_log_density(normal_tensor(4, 2, dtype=dtype), normal_tensor(3, 2, dtype=dtype), 1.0)
    assert density.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_give_an_array_of_their_dtype(dtype):
    density = mixture_log_density(normal_array(4, 2, dtype=dtype), normal_array(3, 2, dtype=dtype), 1.0)
    assert (type(density), density.dtype) == (np.ndarray, dtype)


def test_arrays_and_tensors_give_the_same_bits():
    points, centers = normal_array(4, 2), normal_array(3, 2, seed=1)
    density = mixture_log_density(torch.from_numpy(points), torch.from_numpy(centers), 0.3)
    np.testing.assert_array_equal(density.numpy(), mixture_log_density(points, centers, 0.3))


def test_the_default_device_of_torch_has_no_effect():
    points = np.ones((2, 3))
    with torch.device("meta"):
        density = mixture_log_density(points, points, 0.5)
    np.testing.assert_array_equal(density, mixture_log_density(points, points, 0.5))


def test_sigma_may_be_a_tensor():
    points, centers = normal_tensor(4, 2), normal_tensor(3, 2, seed=1)
    density = mixture_log_density(points, centers, torch.tensor(0.25))
    assert density.equal(mixture_log_density(points, centers, 0.25))


def test_log_density_of_no_points_is_empty():
    assert mixture_log_density(normal_array(0, 2), normal_array(3, 2), 1.0).shape == (0,)
