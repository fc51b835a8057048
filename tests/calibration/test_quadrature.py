"""Channels and quadrature against tabulated values, closed forms and other integrals."""

import math

import numpy as np
import pytest
from scipy import stats

from layerbits.calibration import leaky_relu_channel, line_channel, quadrature_truths
from layerbits.calibration.tasks.quadrature import separated_truths
from tests.support.answers import BPSK


@pytest.mark.parametrize(("sigma", "value"), BPSK.items())
def test_bpsk_has_the_tabulated_information(sigma, value):
    truth = quadrature_truths(line_channel([-1, 1], sigma))["I(X;T)"]
    assert truth.value == pytest.approx(value, abs=5.1e-7)  # the table has six digits


def test_weights_are_equivalent_to_repeated_inputs():
    weighted = quadrature_truths(line_channel([0, 1, 3], 1), weights=np.array([2.0, 1, 1]), labels=np.array([0, 1, 0]))
    repeated = quadrature_truths(line_channel([0, 0, 1, 3], 1), labels=np.array([0, 0, 1, 0]))
    for name, truth in weighted.items():
        assert abs(truth.value - repeated[name].value) <= truth.error + repeated[name].error
        assert truth.spread == pytest.approx(repeated[name].spread, abs=1e-11, nan_ok=True)  # as in the values


@pytest.mark.parametrize("gap", [4, 5, 6, 7])
def test_error_of_separated_points_is_within_its_bound(gap):
    information, limit = quadrature_truths(line_channel([0, gap], 1))["I(X;T)"], separated_truths(2, gap)["I(X;T)"]
    assert information.value < limit.value <= information.value + limit.error


def test_leaky_relu_of_slope_1_is_linear():
    signals, weight, sigma = np.array([-1.0, 0.2, 1.0]), -1.5, 0.4
    truths = quadrature_truths(leaky_relu_channel(signals, weight, 0.3, 1.0, sigma))
    linear = quadrature_truths(line_channel(weight * signals, sigma * math.hypot(1, weight)))
    for name, truth in truths.items():
        assert abs(truth.value - linear[name].value) <= truth.error + linear[name].error


@pytest.mark.parametrize(("weight", "bias"), [(-1.0, 0.0), (2.0, 0.3), (-0.2, 0.2), (0.0, 0.0), (0.0, -1.0)])
def test_leaky_relu_agrees_with_integrals_on_both_sides_of_the_kink(weight, bias):
    signals, slope, sigma = np.array([-0.5, 0.0, 0.3]), 0.1, 0.3
    nodes, weights = np.polynomial.legendre.leggauss(200)
    line = np.linspace(-6, 6, 6001)
    density = np.zeros((3, line.size))
    for row, signal in enumerate(signals):
        # The kink U = 0 divides the noise, in standard deviations, into two intervals.
        kink = -(weight * signal + bias) / (weight * sigma) if weight else 0.0
        for lower, upper in ((-12, np.clip(kink, -12, 12)), (np.clip(kink, -12, 12), 12)):
            z = (lower + upper) / 2 + (upper - lower) / 2 * nodes
            u = weight * (signal + sigma * z) + bias
            weighted = (upper - lower) / 2 * weights * stats.norm.pdf(z)
            density[row] += weighted @ stats.norm.pdf(line, np.maximum(u, slope * u)[:, None], sigma)
    marginal = density.mean(0)
    terms = density * (np.log(density + 1e-300) - np.log(marginal + 1e-300))
    information = terms.sum(1).mean() * (line[1] - line[0])
    truth = quadrature_truths(leaky_relu_channel(signals, weight, bias, slope, sigma))["I(X;T)"]
    assert truth.value == pytest.approx(information, abs=1e-9)  # rounding of sums of 6001 terms and 200 nodes
    assert truth.error < 1e-9
