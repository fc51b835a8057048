"""Bounds from pairwise distances against their formulas and quadrature."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from layerbits import mixture_entropy_bounds
from tests.support.answers import information_in_plane
from tests.support.random_arrays import normal_array, normal_tensor

PAIR = np.array([[-1.0], [1.0]])


def brute_force_bounds(centers, sigma, weights):
    """Compute h(Z) - sum_i w_i log sum_j w_j exp(-|c_i - c_j|^2 / (8 sigma^2)), and the same with 2 sigma^2."""
    weights = weights / weights.sum()
    squares = ((centers[:, None] - centers) ** 2).sum(-1)
    noise = centers.shape[1] / 2 * math.log(2 * math.pi * math.e * sigma**2)
    return [noise - weights @ np.log(np.exp(-squares / (scale * sigma**2)) @ weights) for scale in (8, 2)]


@pytest.mark.parametrize("weights", [None, np.arange(1.0, 13)])
def test_bounds_are_the_formulas_of_kolchinsky_and_tracey(weights):
    """Sums of 12 terms in float64 are rounded by less than 1e-13."""
    centers = normal_array(12, 3)
    truth = brute_force_bounds(centers, 0.6, np.ones(12) if weights is None else weights)
    np.testing.assert_allclose(mixture_entropy_bounds(centers, 0.6, weights=weights), truth, atol=1e-13)


@pytest.mark.parametrize("sigma", [0.05, 0.2, 0.5, 2])
@pytest.mark.parametrize("weights", [None, np.exp(normal_array(8, seed=1))])
def test_the_true_value_lies_between_the_bounds(sigma, weights):
    centers = normal_array(8, 2)
    truth = information_in_plane(centers, sigma, weights) + math.log(2 * math.pi * math.e * sigma**2)
    lower, upper = mixture_entropy_bounds(centers, sigma, weights=weights)
    assert lower - 1e-9 <= truth <= upper + 1e-9  # the error of quadrature


def test_bounds_are_differentiable_in_centers_sigma_and_weights():
    arguments = [normal_tensor(5, 3), torch.tensor(0.6).double(), torch.arange(1.0, 6).double()]
    arguments = [argument.requires_grad_() for argument in arguments]
    assert gradcheck(lambda c, s, w: mixture_entropy_bounds(c, s, weights=w), arguments)


def test_bounds_of_arrays_are_numbers():
    assert all(isinstance(bound, np.floating) for bound in mixture_entropy_bounds(PAIR, 1))


def test_bounds_of_tensors_are_tensors():
    assert all(bound.shape == () for bound in mixture_entropy_bounds(torch.from_numpy(PAIR), 1))


def test_arguments_keep_their_values():
    centers, weights = normal_array(9, 3), np.exp(normal_array(9))
    copies = centers.copy(), weights.copy()
    mixture_entropy_bounds(centers, 0.5, weights=weights)
    np.testing.assert_array_equal(centers, copies[0])
    np.testing.assert_array_equal(weights, copies[1])
