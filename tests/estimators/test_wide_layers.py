"""Wide layers whose draws are far apart: axes, validity of the intervals, and the layers that keep all dimensions."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from layerbits import layer_information, noisify
from layerbits.estimators import Problem, layer_sample, principal_view
from layerbits.estimators.layer_sample import sample_layers, sample_of_signals
from layerbits.networks import GaussianNoise, read_inputs
from tests.support.answers import gaussian_mixture_information
from tests.support.networks import dense
from tests.support.random_arrays import normal_tensor

STANDARD_ERRORS = 5


def sample_network(noisy, inputs):
    problem = Problem.of(noisy, read_inputs(inputs, noisy), layers="1")
    return sample_layers(problem, problem.layers, 32, None, 0)["1"]


def wide_network(scale, units=300):
    """Return a network S = scale Q (X + Z), with a rotation Q, whose last layer has noise of the same deviation 0.5."""
    rotation = torch.linalg.qr(normal_tensor(units, units, seed=1)).Q
    return noisify(nn.Sequential(nn.Identity(), dense(scale * rotation)), sigma=0.5, layers=["0", "1"])


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_wide_layer_with_separated_draws_is_measured_on_the_means(monkeypatch, scale):
    """T given x is N(scale Q x, 0.25 (scale^2 + 1) I): its entropy is known, and I(X;T) is that of a mixture.

    The mean squared distance of two draws of an input is 300 scale^2 in units of 2 sigma^2, so all draws are separated,
    but the inputs are not.
    """
    monkeypatch.setattr(layer_sample, "_WHOLE_VALUES", 1)
    noisy, inputs = wide_network(scale), normal_tensor(20, 300) / 12
    sample = sample_network(noisy, inputs)
    assert sample.signals.shape == (20, 32, 19)
    variance = 0.25 * (scale**2 + 1)
    truth, error = gaussian_mixture_information(scale * inputs.numpy(), variance * np.eye(300), 30_000, seed=1)
    assert 0.5 < truth < math.log(20) - 0.5
    table = layer_information(noisy, inputs, layers="1", draws=32, confidence=0.999, estimator="draws")
    given_input = 150 * math.log(2 * math.pi * math.e * variance)
    truths = {"I(X;T)": (truth, error), "h(T|X)": (given_input, 0), "h(T)": (given_input + truth, error)}
    for quantity, (value, value_error) in truths.items():
        row = table["1", quantity]
        assert row.lower - STANDARD_ERRORS * value_error <= value <= row.upper + STANDARD_ERRORS * value_error, quantity
    assert table["1", "I(X;T)"].upper == pytest.approx(math.log(20), abs=1e-9)
    assert table["1", "I(X;T)"].decoded > 0.5


def test_wide_layer_with_draws_close_together_keeps_all_dimensions(monkeypatch):
    """At a scale of 0.05 two draws of an input are about 1.2 sigma apart, so the plug-in depends on all dimensions."""
    monkeypatch.setattr(layer_sample, "_WHOLE_VALUES", 1)
    sample = sample_network(wide_network(0.05), 20 * normal_tensor(20, 300))
    assert sample.signals.shape[2] > 64


@pytest.mark.parametrize("draws", [2, 3, 32])
def test_axes_do_not_depend_on_draws_with_queries(monkeypatch, draws):
    monkeypatch.setattr(layer_sample, "_WHOLE_VALUES", 1)
    monkeypatch.setattr(principal_view, "MAX_DIMENSIONS", 10)
    noise, signals = GaussianNoise(0.5), normal_tensor(20, draws, 300)
    n_queries = sample_of_signals(noise, signals, None).queries
    changed = signals.clone()
    changed[:, draws - n_queries :] += normal_tensor(20, n_queries, 300, seed=7)
    samples = [sample_of_signals(noise, values, None).signals[:, : draws - n_queries] for values in (signals, changed)]
    assert torch.equal(*samples)
