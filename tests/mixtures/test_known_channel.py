"""The estimator of a known channel: surprisals against sums over all centers, information against quadrature."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from layerbits.kernels import NormalStream
from layerbits.mixtures import KnownChannel
from layerbits.mixtures import known_channel as module
from layerbits.statistics import Interval
from tests.support.answers import information_on_line
from tests.support.random_arrays import normal_array, normal_tensor

STANDARD_ERRORS = 5
N = 40

# Up to 4 classes have a call each, more classes share one call; inputs are not sorted by class.
CLASSES = {
    "no classes": None,
    "one class": np.zeros(N, int),
    "few classes": np.arange(N) * 7 % 3,
    "many classes": np.arange(N) * 7 % 13,
    "classes of one input": np.arange(N)[::-1].copy(),
}
every_partition = pytest.mark.parametrize("classes", CLASSES.values(), ids=CLASSES)


def brute_force(channel, inputs, points):
    """Return log p(t|x) - log p(t|y) and log p(t|x) - log p(t) of points (m, q, d) from sums over all centers."""
    exponents = -((points[:, :, None] - channel.centers) / channel.sigma).square().sum(-1).numpy() / 2
    weights = np.ones(len(channel.centers)) if channel.weights is None else channel.weights.numpy()
    given_input = exponents[np.arange(len(inputs))[:, None], np.arange(points.shape[1]), inputs[:, None]]
    in_class = np.ones((len(inputs), 1, len(weights)), bool)
    if channel.classes is not None:
        in_class = (channel.classes[inputs][:, None] == channel.classes)[:, None]
    given_class = logsumexp(exponents, axis=-1, b=weights * in_class) - np.log((weights * in_class).sum(-1))
    marginal = logsumexp(exponents, axis=-1, b=weights) - np.log(weights.sum())
    return given_input - given_class, given_input - marginal


@every_partition
@pytest.mark.parametrize("weights", [None, torch.arange(1.0, N + 1).double()], ids=["equal", "weighted"])
def test_surprisals_are_those_of_sums_over_all_centers(classes, weights):
    """Inputs may come in any order and more than once. Exponents up to 100 round by some 1e-13."""
    channel = KnownChannel(normal_tensor(N, 3), 0.7, classes, weights)
    inputs = np.random.default_rng(1).integers(N, size=60)
    points = channel.centers[inputs][:, None] + 0.7 * normal_tensor(60, 2, 3, seed=2)
    surprisals = channel.surprisals(inputs, points)
    given_class, marginal = brute_force(channel, inputs, points)
    assert (surprisals.given_input == 0).all()
    np.testing.assert_allclose(surprisals.given_class, given_class, atol=1e-11)
    np.testing.assert_allclose(surprisals.marginal, marginal, atol=1e-11)


def test_surprisals_of_float32_do_not_depend_on_the_rounding_of_the_points():
    """Centers are 10 sigma apart: p(t) is p(t|x) / 2 up to rounding, so that each term is log 2."""
    channel = KnownChannel(torch.tensor([[1000.0], [1010.0]]), 1.0)
    points = channel.centers[:, None] + normal_tensor(2, 50, 1, dtype=torch.float32)
    terms = channel.surprisals(np.arange(2), points).marginal
    np.testing.assert_allclose(terms, math.log(2), atol=1e-5)


CENTERS = np.array([-1.0, 0.2, 0.4, 3.0])


def channel_on_line(sigma, classes=None):
    return KnownChannel(torch.from_numpy(CENTERS.repeat(5))[:, None], sigma, classes)


def truth_on_line(sigma):
    """Return the information of `CENTERS` with the first two, and the last two, in one class."""
    in_class = (information_on_line(CENTERS[:2], sigma) + information_on_line(CENTERS[2:], sigma)) / 2
    about_input = information_on_line(CENTERS, sigma)
    return {"I(X;T)": about_input, "I(T;Y)": about_input - in_class, "I(X;T|Y)": in_class}


@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_every_information_is_that_of_quadrature(sigma):
    """X has 20 values, five at each center: I(X;T) is that of the four centers."""
    estimates = channel_on_line(sigma, np.repeat([0, 1], 10)).estimates(200, NormalStream(0), 0.025)
    for quantity, truth in truth_on_line(sigma).items():
        estimate = estimates[quantity]
        assert abs(estimate.mean - truth) <= STANDARD_ERRORS * estimate.standard_error + 1e-9  # the error of quadrature
        assert estimate.interval.lower <= estimate.point[0] <= estimate.interval.upper


def test_intervals_contain_the_true_values_and_errors_are_the_spread_over_seeds():
    """The limits are 1e-6 quantiles of the binomial law of the hits and of the chi-squared law of the spread."""
    n_seeds, truths = 100, truth_on_line(0.5)
    channel = channel_on_line(0.5, np.repeat([0, 1], 10))
    estimates = [channel.estimates(4, NormalStream(seed), 0.025) for seed in range(n_seeds)]
    smallest, largest = np.sqrt(stats.chi2.ppf([1e-6, 1 - 1e-6], n_seeds - 1) / (n_seeds - 1))
    for quantity, truth in truths.items():
        sample = [by_quantity[quantity] for by_quantity in estimates]
        hits = sum(x.interval.lower <= truth <= x.interval.upper for x in sample)
        assert hits >= stats.binom.ppf(1e-6, n_seeds, 0.95)
        spread = np.std([x.mean for x in sample], ddof=1)
        assert smallest <= spread / math.sqrt(np.mean([x.standard_error**2 for x in sample])) <= largest


def test_information_about_the_input_is_the_sum_of_its_parts():
    estimates = channel_on_line(0.5, np.repeat([0, 1], 10)).estimates(8, NormalStream(0), 0.025)
    assert estimates["I(X;T)"].mean == pytest.approx(estimates["I(T;Y)"].mean + estimates["I(X;T|Y)"].mean, abs=1e-12)


def test_channel_without_classes_has_only_the_information_about_the_input():
    assert list(channel_on_line(0.5).estimates(2, NormalStream(0), 0.025)) == ["I(X;T)"]


def test_pairwise_bounds_narrow_the_interval_of_few_queries():
    """The centers are a thousand sigmas apart; the bet on 40 queries alone has an interval of 1.2 nats."""
    channel = KnownChannel(1000 * normal_tensor(20, 2), 1.0)
    estimate = channel.estimates(2, NormalStream(0), 0.025)["I(X;T)"]
    assert math.log(20) - 1e-9 <= estimate.interval.lower <= estimate.interval.upper <= math.log(20)


def test_interval_beyond_the_certain_bounds_moves_to_the_nearest_bound():
    channel = channel_on_line(0.5)
    assert channel.clip_to_bounds(Interval(0.1, 0.2), Interval(0.3, 0.5)) == Interval(0.3, 0.3)
    assert channel.clip_to_bounds(Interval(0.1, 0.4), Interval(0.3, 0.5)) == Interval(0.3, 0.4)


def test_pairwise_bounds_contain_the_true_value():
    channel = channel_on_line(0.5)
    bounds = channel.pairwise_bounds()
    assert bounds.lower <= truth_on_line(0.5)["I(X;T)"] <= bounds.upper


def test_surprisal_of_a_query_does_not_depend_on_the_other_queries():
    channel, points = KnownChannel(normal_tensor(N, 3), 0.7, np.arange(N) % 13), normal_tensor(N, 2, 3, seed=2)
    surprisals, part = channel.surprisals(np.arange(N), points), channel.surprisals(np.arange(5), points[:5])
    np.testing.assert_array_equal(part.given_class, surprisals.given_class[:5])
    np.testing.assert_array_equal(part.marginal, surprisals.marginal[:5])


def test_weights_determine_the_limits():
    channel = KnownChannel(torch.from_numpy(normal_array(3, 1)), 1.0, weights=torch.tensor([2.0, 1.0, 1.0]).double())
    assert channel.ceilings == pytest.approx({"I(X;T)": 1.5 * math.log(2)})
    assert channel.largest_terms == pytest.approx({"I(X;T)": 2 * math.log(2)})


def test_weights_are_refused_if_each_input_has_the_same_number_of_queries():
    channel = KnownChannel(normal_tensor(3, 2), 1.0, weights=torch.ones(3).double())
    with pytest.raises(ValueError, match="weights: got weights, wanted None"):
        channel.estimates(2, NormalStream(0), 0.025)


@every_partition
def test_blocks_of_queries_change_no_bit(monkeypatch, classes):
    channel = KnownChannel(normal_tensor(N, 20, seed=4), 0.7, classes=classes)
    whole = channel.estimates(6, NormalStream(3, 5), 0.05)
    sizes = []
    surprisals = KnownChannel.surprisals

    def recorded(channel, inputs, points):
        sizes.append(points.numel())
        return surprisals(channel, inputs, points)

    monkeypatch.setattr(module, "_BLOCK_VALUES", 1000)
    monkeypatch.setattr(KnownChannel, "surprisals", recorded)
    assert channel.estimates(6, NormalStream(3, 5), 0.05) == whole
    assert sizes == [8 * 6 * 20] * 5
