"""Point values behind noise: dead layers, wide layers with a known truth, and wide layers bounded by their first layer.

On average the true value lies between the decoder bound and the plug-in bound. So the expectation of a value between
them is at most two distances u from the truth, u the root mean square distance from a point that is uniform between the
bounds (`layerbits.statistics.point_value`), and E|value - truth| <= 2 u + s for a sampling error s. The standard error
is the square root of u^2 + s^2, so E|value - truth| is at most sqrt(5) standard errors.
"""

import functools
import math

import numpy as np
import pytest
import torch
from torch import nn

from layerbits import layer_information, noisify
from tests.support.networks import dense
from tests.support.random_arrays import normal_tensor

SEEDS = 4
MONTE_CARLO = 40_000  # points of a true value


class Dead(nn.Module):
    """A layer whose signal is 0 for every input."""

    def forward(self, x):
        return 0 * x


@pytest.mark.parametrize("n", [2, 3, 8, 50])
def test_dead_layer_has_the_value_zero(n):
    """Both bounds are 0 exactly: all signals are equal."""
    noisy = noisify(nn.Sequential(nn.Identity(), Dead()), sigma=0.3, layers=["0", "1"])
    row = layer_information(noisy, torch.linspace(-1, 1, n).double()[:, None], layers="1", estimator="draws")[
        "1", "I(X;T)"
    ]
    assert row.plug_in == pytest.approx(0, abs=1e-12)
    assert row.decoded == pytest.approx(0, abs=1e-12)
    assert row.value == pytest.approx(0, abs=1e-12)
    assert row.standard_error == pytest.approx(0, abs=1e-12)


class WideChain:
    """T_1 = A x + Z_1 and T_2 = B T_1 + Z_2 of `width` units, so that T_2 is Gaussian given x."""

    def __init__(self, width, sigma, n=32):
        self.inputs, self.sigma = normal_tensor(n, 10), sigma
        self.first = normal_tensor(width, 10, seed=1) / 3
        self.second = normal_tensor(width, width, seed=2) * 1.5 / (3 * width) ** 0.5

    def noisy(self):
        network = nn.Sequential(dense(self.first), dense(self.second))
        return noisify(network, sigma=self.sigma, layers=["0", "1"])

    @functools.cached_property
    def truth(self):
        """Return I(X;T_2) and its standard error, by Monte Carlo over the known densities."""
        means = self.inputs @ self.first.T @ self.second.T
        covariance = self.sigma**2 * (self.second @ self.second.T + torch.eye(len(self.second)).double())
        centers = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), means.T, upper=False).T
        rows = torch.arange(MONTE_CARLO) % len(centers)
        noise = normal_tensor(MONTE_CARLO, centers.shape[1], seed=3)
        exponents = -(torch.cdist(centers[rows] + noise, centers) ** 2) / 2
        terms = -noise.square().sum(1) / 2 - exponents.logsumexp(1) + math.log(len(centers))
        return float(terms.mean()), float(terms.std()) / math.sqrt(MONTE_CARLO)


@functools.cache
def wide_chain(width, sigma):
    return WideChain(width, sigma)


def rows_of_seeds(noisy, inputs, layer, draws, seeds=SEEDS):
    tables = [
        layer_information(noisy, inputs, layers=layer, draws=draws, seed=seed, estimator="draws")
        for seed in range(seeds)
    ]
    return [table[layer, "I(X;T)"] for table in tables]


@pytest.mark.parametrize("draws", [8, 128])
@pytest.mark.parametrize(("width", "sigma"), [(8, 0.5), (64, 0.9), (64, 2.0)])
def test_value_in_a_wide_linear_layer_is_as_near_to_the_truth_as_its_error_says(width, sigma, draws):
    chain = wide_chain(width, sigma)
    truth, truth_error = chain.truth
    rows = rows_of_seeds(chain.noisy(), chain.inputs, "1", draws)
    # Without a standard error, half of the width of an interval that holds the truth is the largest error.
    claims = [
        (row.upper - row.lower) / 2 if math.isnan(row.standard_error) else math.sqrt(5) * row.standard_error
        for row in rows
    ]
    assert np.mean([abs(row.value - truth) for row in rows]) <= np.mean(claims) + 5 * truth_error
    assert all(math.isnan(row.standard_error) == (row.upper - row.lower > 0.5) for row in rows)
    assert all(row.lower <= row.value <= row.upper for row in rows)


@pytest.mark.parametrize("draws", [8, 128])
def test_wide_layer_whose_bounds_are_apart_has_no_standard_error(draws):
    """64 units, sigma 2: the plug-in bound is near log 32 with any number of draws, and the truth near 1.

    The bounds do not tell which of them is off, and no note calls the layer saturated.
    """
    chain = wide_chain(64, 2.0)
    truth, _ = chain.truth
    for row in rows_of_seeds(chain.noisy(), chain.inputs, "1", draws, seeds=4):
        assert row.plug_in > truth + 1
        assert row.value == (row.lower + row.upper) / 2
        assert math.isnan(row.standard_error)
        assert row.limited_by == "draws or decoder"
        assert row.flags == ()


@pytest.mark.parametrize("draws", [8, 64])
def test_value_in_a_wide_layer_is_within_half_a_width_of_what_its_first_layer_allows(draws):
    """I(X;T_2) <= I(X;T_1): the truth lies between the lower end of the second layer and the upper end of the first."""
    network = nn.Sequential(dense(normal_tensor(128, 20, seed=1) / 5), nn.Tanh(), dense(normal_tensor(128, 128) / 11))
    noisy = noisify(nn.Sequential(*network, nn.Tanh()), sigma={"1": 8.0, "3": 0.2}, layers=["1", "3"])
    inputs = normal_tensor(64, 20)
    first = layer_information(noisy, inputs, layers="1", estimator="draws")["1", "I(X;T)"]
    assert first.upper < 1
    rows = rows_of_seeds(noisy, inputs, "3", draws)
    assert all(row.plug_in > 2 for row in rows)
    errors = [max(row.value - row.lower, abs(first.upper - row.value)) for row in rows]
    claims = [(row.upper - row.lower) / 2 if math.isnan(row.standard_error) else 2 * row.standard_error for row in rows]
    assert np.mean(errors) <= np.mean(claims) + 1e-9
