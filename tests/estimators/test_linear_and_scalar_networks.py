"""Compare the measured information of layers behind noise with true values, on networks of known densities.

The plug-in bound of r draws is biased. E is the mean over draws, h^ and I^ are the plug-in estimates, and p^ is the
mixture of r draws from p(t|x):

    0 <= h(T|X) - E h^(T|X) = E KL(p^ || p) <= E log(1 + (R_x - 1) / r),   R_x = E int N(t; S, sigma^2 I)^2 / p(t|x) dt

(Jensen; draws are independent given x), with a mean over x before each term. E h^(T) <= h(T) too, and I is convex in
the channel, so

    0 <= E I^(X;T) - I(X;T) <= mean over x of log(1 + (R_x - 1) / r).

Means are compared within 5 standard errors. A correct estimator errs by more with a probability of 6e-7 if errors
are normal, and of 1.6e-4 with the standard error of 16 seeds (Student, 15 degrees of freedom). Seeds are fixed.
"""

import functools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import ndtr
from torch import nn

from layerbits import layer_information, noisify
from tests.support.answers import gaussian_mixture_information, information_of_channel, information_on_line
from tests.support.networks import INPUTS, LinearChain, ScalarChain, dense
from tests.support.random_arrays import normal_tensor

STANDARD_ERRORS = 5
LINEAR, COPIES = LinearChain(), 10
CLASSES = np.arange(30) % 2


def linear_information(layer, classes=None):
    """Return I(X;T) of a layer of the linear network, or I(T;Y) with `classes`, and its standard error."""
    return gaussian_mixture_information(LINEAR.means(layer), LINEAR.covariance(0, layer), 200_000, 1, classes=classes)


def linear_bias(layer, draws):
    """Return the bound of the bias, where R_x = det(C) / sigma^(2 d) for the covariance C of T given x."""
    covariance = LINEAR.covariance(0, layer)
    ratio = np.linalg.det(covariance) / LINEAR.sigma ** (2 * len(covariance))
    return math.log1p((ratio - 1) / draws)


@pytest.mark.parametrize("estimator", ["draws", "paper"])
@pytest.mark.parametrize("draws", [4, 64])
def test_linear_network_has_the_information_of_its_gaussian_channel(draws, estimator):
    truth, error = linear_information(3)
    options = {"layers": "2", "draws": draws, "queries": min(draws // 2, 16), "estimator": estimator}
    row = layer_information(LINEAR.noisy(), LINEAR.inputs(COPIES), **options)["2", "I(X;T)"]
    error = STANDARD_ERRORS * math.hypot(row.plug_in_error, error)
    assert truth - error <= row.plug_in <= truth + linear_bias(3, draws) + error


def test_linear_network_has_the_class_information_of_its_gaussian_channel():
    """Classes pool 15 inputs, 10 copies and r draws; h^(T|Y) and h^(T) are biased by no more than h^(T|X)."""
    truth, error = linear_information(3, CLASSES)
    labels = np.tile(CLASSES, COPIES)
    row = layer_information(LINEAR.noisy(), LINEAR.inputs(COPIES), labels, layers="2", queries=16, estimator="draws")[
        "2", "I(T;Y)"
    ]
    error, bias = STANDARD_ERRORS * math.hypot(row.plug_in_error, error), linear_bias(3, 32)
    assert truth - bias - error <= row.plug_in <= truth + bias + error


def test_linear_network_has_the_conditional_entropy_of_a_gaussian():
    truth = np.linalg.slogdet(2 * np.pi * np.e * LINEAR.covariance(0, 3))[1] / 2
    options = {"layers": "2", "draws": 64, "queries": 16}
    row = layer_information(LINEAR.noisy(), LINEAR.inputs(COPIES), **options)["2", "h(T|X)"]
    error = STANDARD_ERRORS * row.plug_in_error
    assert truth - linear_bias(3, 64) - error <= row.plug_in <= truth + error


SCALAR = ScalarChain(np.linspace(-1, 1, 5))


def scalar_bias(draws):
    """Return the bound of the bias, with R_x by quadrature."""
    densities = SCALAR.densities(2)
    squares = SCALAR.densities(1) @ SCALAR.kernel(1) ** 2 * SCALAR.step
    ratios = np.trapezoid(squares / densities, SCALAR.axis, axis=1)
    return np.log1p((ratios - 1) / draws).mean()


@functools.cache
def scalar_rows(draws):
    """Return the rows of I(X;T_2) of 16 seeds."""
    options = {"draws": draws, "queries": max(2, min(draws // 2, 24)), "layers": "3"}
    tables = [
        layer_information(SCALAR.noisy(), SCALAR.inputs(100), seed=seed, **options, estimator="draws")
        for seed in range(16)
    ]
    return [table["3", "I(X;T)"] for table in tables]


def scalar_mean(draws, column):
    """Return the mean of a column over seeds, and 5 times its standard error."""
    values = [getattr(row, column) for row in scalar_rows(draws)]
    return np.mean(values), STANDARD_ERRORS * stats.sem(values)


SCALAR_TRUTH = information_of_channel(SCALAR.densities(2), SCALAR.axis)


@pytest.mark.parametrize("draws", [3, 24])
def test_plug_in_of_a_scalar_network_is_above_the_true_value_by_at_most_the_bound_of_its_bias(draws):
    mean, error = scalar_mean(draws, "plug_in")
    assert SCALAR_TRUTH - error <= mean <= SCALAR_TRUTH + scalar_bias(draws) + error


def test_plug_in_falls_towards_the_true_value_as_draws_grow():
    """The biases at r = 3 and at r = 24 differ by more than the sum of the two errors."""
    (few_draws, few_error), (many_draws, many_error) = scalar_mean(3, "plug_in"), scalar_mean(24, "plug_in")
    assert SCALAR_TRUTH - many_error <= many_draws < few_draws - few_error - many_error


@pytest.mark.parametrize("draws", [3, 24])
def test_decoder_bounds_of_a_scalar_network_are_below_the_true_value(draws):
    mean, error = scalar_mean(draws, "decoded")
    assert mean <= SCALAR_TRUTH + error


# Extreme layers


@pytest.mark.parametrize("quantity", ["h(T)", "h(T|X)"])
def test_layer_with_nearly_equal_signals_has_the_entropy_of_its_noise(quantity):
    """Signals lie within 1e-8 of one another: log densities differ by |z| 1e-8 / sigma^2 < 1e-6."""
    noisy = noisify(nn.Sequential(nn.Identity(), dense(1e-9 * torch.eye(4))), sigma=0.5, layers=["0", "1"])
    row = layer_information(noisy, INPUTS, draws=4, estimator="draws")["1", quantity]
    assert row.plug_in == pytest.approx(2 * math.log(2 * math.pi * math.e * 0.25), abs=1e-6)


def test_interval_of_draws_far_apart_contains_the_true_value():
    # A gain of a million separates the signals of different passes by thousands of sigmas. At a query every component
    # but that of the query's own pass underflows, so the density is 0 if the jackknife leaves that pass out.
    network = nn.Sequential(nn.Identity(), dense(1e6 * torch.ones(1, 1)), nn.Identity())
    noisy = noisify(network, sigma=0.5, layers=nn.Identity)
    row = layer_information(noisy, normal_tensor(20, 1), draws=8, layers="2", estimator="draws")["2", "I(X;T)"]
    # Each sum has one term that is not 0, so the error is the rounding of a few logarithms, each below ten.
    assert abs(row.plug_in - math.log(20)) < 1e-12
    # The gain multiplies the first noise, so the second one, of the same sigma, is negligible.
    truth = information_on_line(normal_tensor(20, 1).numpy()[:, 0], 0.5)
    assert row.lower <= truth < row.upper == pytest.approx(math.log(20), abs=1e-12)


class Sign(nn.Module):
    def forward(self, x):
        return torch.sign(x)


def test_signals_that_are_equal_in_two_passes_are_not_a_known_channel():
    """A known channel would have the information log 2, which excludes the true value in every run.

    Fewer hits than the bound occur once in a million runs if the coverage is 95 %.
    """
    flip, sigma = float(ndtr(-2)), 0.2
    noisy = noisify(nn.Sequential(nn.Identity(), Sign()), sigma={"0": 0.5, "1": sigma}, layers=[nn.Identity, Sign])
    truth = math.log(2) + flip * math.log(flip) + (1 - flip) * math.log(1 - flip)
    inputs = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    rows = [
        layer_information(noisy, inputs, layers="1", draws=512, seed=seed, estimator="draws")["1", "I(X;T)"]
        for seed in range(20)
    ]
    # Signs lie five sigmas from zero, so the second noise hardly confuses them.
    assert sum(row.lower < truth < row.upper for row in rows) >= stats.binom.ppf(1e-6, 20, 0.95)


def test_upper_end_includes_rare_signals_that_no_query_has():
    """A signal is -1 with a probability of 0.8 % at 0.6, and of 0.02 % at 0.9; each seed has 64 queries."""
    sigma, values = 0.25, np.linspace(0.6, 0.9, 16)
    noisy = noisify(nn.Sequential(nn.Identity(), Sign()), sigma=sigma, layers=[nn.Identity, Sign])
    flips = ndtr(-values / sigma)
    # I(X;S) of the signal S is above I(X;T) of its noisy value T.
    signal_information = stats.bernoulli(flips.mean()).entropy() - stats.bernoulli(flips).entropy().mean()
    inputs = torch.from_numpy(values[:, None])
    tables = [
        layer_information(noisy, inputs, layers="1", draws=32, queries=4, seed=seed, estimator="draws")
        for seed in range(5)
    ]
    assert all(table["1", "I(X;T)"].upper > signal_information for table in tables)
