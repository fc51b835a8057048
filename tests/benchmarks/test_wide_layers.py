"""The benchmark of wide layers: its true value, and a line for each layer."""

import math

import torch

from benchmarks.problems import WideNetwork, linear_network
from benchmarks.topics.wide_layers import lines, true_information
from layerbits import noisify
from tests.support.answers import gaussian_mixture_information
from tests.support.networks import tanh_mlp


def test_true_information_of_a_linear_network_is_that_of_its_gaussian_mixture():
    means, covariance = linear_network(20, 30).truth
    expected, error = gaussian_mixture_information(means.numpy(), covariance.numpy(), 20_000, 1)
    # Both values have the same standard error; 5 of their difference are exceeded with a probability of 6e-7.
    assert abs(true_information(means, covariance) - expected) < 5 * math.sqrt(2) * error


def test_every_layer_behind_noise_has_a_line_with_both_intervals():
    model = noisify(tanh_mlp(3, 4, 4, 4, 2), sigma=0.3)
    printed = list(lines("small", WideNetwork(model, torch.eye(3), ("3", "5")), "known"))
    assert [line.split()[:2] for line in printed] == [["small", "3"], ["small", "5"]]
    assert all(line.count("[") == 2 for line in printed)
