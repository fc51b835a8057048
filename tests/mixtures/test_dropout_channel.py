"""The channel S (1 + alpha E) + sigma Z: densities, bounds by pairs and intervals against formulas and quadrature."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from layerbits.kernels import NormalStream, single_threaded_torch
from layerbits.mixtures import DropoutChannel, KnownChannel, dropout_channel
from tests.support.answers import entropy, grid, information_of_channel, normal
from tests.support.random_arrays import normal_array

N = 40
CLASSES = np.arange(N) % 3


def signals(n=N, d=5, seed=0):
    """Return signals of a ReLU layer: about half of them are 0."""
    return np.maximum(normal_array(n, d, seed=seed), 0.0)


# Products of matrices lose too many digits for the last signals, which are far above their noise.
both_forms = pytest.mark.parametrize(
    ("values", "alpha", "has_products"),
    [(signals(), 0.3, True), (signals(), 2.0, True), (1e3 + normal_array(N, 5), 1e-5, False)],
)


def estimates(channel, queries=8, seed=0, risk=0.05):
    with single_threaded_torch():
        return channel.estimates(queries, NormalStream(seed, 0), NormalStream(seed, 1), risk)


def deviations(values, alpha, sigma):
    return np.sqrt((alpha * values) ** 2 + sigma**2)


def exact_log_densities(points, values, alpha, sigma):
    """Compute log p(t|x) of points (m, d) for all signals (n, d), shape (m, n), by SciPy."""
    return stats.norm.logpdf(points[:, None], values, deviations(values, alpha, sigma)).sum(-1)


# Densities


@both_forms
def test_surprisals_are_those_of_the_densities(values, alpha, has_products):
    """Exponents are below 1e3, so that sums round by 1e3 (4 d + 20) eps = 1e-11; matrix products add less than 1e-12.

    The last signals are 2500 sigma, so that points round by 5e-13 sigma, where exponents have slopes of up to 100.
    """
    sigma, inputs = 0.4, np.random.default_rng(1).integers(N, size=60)
    points = values[inputs] + deviations(values[inputs], alpha, sigma) * normal_array(60, 5, seed=2)
    channel = DropoutChannel(torch.from_numpy(values), alpha, sigma, CLASSES)
    assert channel._products_suffice == has_products
    surprisals = channel.surprisals(inputs, torch.from_numpy(points))
    log_densities = exact_log_densities(points, values, alpha, sigma)
    own = log_densities[np.arange(60), inputs]
    in_class = CLASSES[inputs][:, None] == CLASSES
    given_class = logsumexp(log_densities, axis=1, b=in_class) - np.log(in_class.sum(1))
    assert (surprisals.given_input == 0).all()
    np.testing.assert_allclose(
        surprisals.marginal, own - logsumexp(log_densities, axis=1) + math.log(N), rtol=0, atol=1e-10
    )
    np.testing.assert_allclose(surprisals.given_class, own - given_class, rtol=0, atol=1e-10)


def test_products_of_matrices_are_used_only_where_their_error_is_negligible():
    """Products lose the digits that differences keep if signals are far above sigma."""
    values = 1e6 + normal_array(N, 3)
    channel = DropoutChannel(torch.from_numpy(values), 1e-6, 1.0)
    assert not channel._products_suffice
    points = values + normal_array(N, 3, seed=1)
    direct = channel.surprisals(np.arange(N), torch.from_numpy(points)).marginal
    channel.__dict__["_products_suffice"] = True
    products = channel.surprisals(np.arange(N), torch.from_numpy(points)).marginal
    log_densities = exact_log_densities(points, values, 1e-6, 1.0)
    exact = log_densities.diagonal() - logsumexp(log_densities, axis=1) + math.log(N)
    # A float64 near 1e6 resolves 1e-10 sigma, and exponents near the query's own have a slope of about 10.
    np.testing.assert_allclose(direct, exact, rtol=0, atol=1e-8)
    assert np.abs(products - exact).max() > 1e-6


def test_blocks_do_not_change_the_estimates(monkeypatch):
    channel = DropoutChannel(torch.from_numpy(signals()), 0.3, 0.5, CLASSES)
    expected = estimates(channel)
    monkeypatch.setattr(dropout_channel, "_PAIRS_ON_CPU", 7 * N)
    for name, estimate in estimates(channel).items():
        assert estimate.mean == pytest.approx(expected[name].mean, abs=1e-12)
        assert estimate.interval.lower == pytest.approx(expected[name].interval.lower, abs=1e-12)


def test_information_does_not_depend_on_the_unit_of_the_signals():
    """A power of two scales without rounding."""
    values = torch.from_numpy(signals())
    first, scaled = (estimates(DropoutChannel(c * values, 0.3, c * 0.5))["I(X;T)"] for c in (1.0, 2.0**-40))
    assert first == scaled


def test_conditional_entropy_is_the_mean_entropy_of_the_gaussians():
    values = signals()
    expected = stats.norm.entropy(scale=deviations(values, 0.3, 0.4)).sum(1).mean()
    assert DropoutChannel(torch.from_numpy(values), 0.3, 0.4).conditional_entropy == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(("largest", "sigma"), [(math.inf, 1.0), (math.nan, 1.0), (1e141, 1.0), (1.0, 1e-141)])
def test_signals_out_of_range_are_refused(largest, sigma):
    with pytest.raises(ValueError, match=r"sigma: got .* wanted finite signals"):
        DropoutChannel(torch.tensor([[largest], [1.0]], dtype=torch.float64), 0.3, sigma)


def test_large_signals_have_finite_bounds():
    """Signals of up to 1e139 sigma have variances of 1e277, whose products overflow."""
    values = torch.tensor([[1e139, 1.0, 1e139], [1.0, 1e139, 1e139]], dtype=torch.float64)
    bounds = DropoutChannel(values, 0.5, 1.0).pairwise_bounds()
    assert bounds.lower == pytest.approx(math.log(2), abs=1e-12)
    assert bounds.upper == pytest.approx(math.log(2), abs=1e-12)


# Bounds by pairs


def exact_pairwise_bounds(values, alpha, sigma):
    scales = deviations(values, alpha, sigma)
    squares, variances = (values[:, None] - values) ** 2, scales**2
    means = (variances[:, None] + variances) / 2
    bhattacharyya = (squares / means / 8 + np.log(means / (scales[:, None] * scales)) / 2).sum(-1)
    divergence = ((variances[:, None] + squares) / variances - 1 + np.log(variances / variances[:, None])).sum(-1) / 2
    return [math.log(len(values)) - logsumexp(-distance, axis=1).mean() for distance in (bhattacharyya, divergence)]


@both_forms
def test_bounds_by_pairs_are_those_of_the_distances(values, alpha, has_products):
    """Rounding is as for surprisals."""
    channel = DropoutChannel(torch.from_numpy(values), alpha, 0.4)
    assert channel._products_suffice == has_products
    bounds = channel.pairwise_bounds()
    assert [bounds.lower, bounds.upper] == pytest.approx(exact_pairwise_bounds(values, alpha, 0.4), abs=1e-9)


def test_bounds_by_pairs_do_not_depend_on_how_many_variances_are_multiplied(monkeypatch):
    channel = DropoutChannel(torch.from_numpy(signals(d=9)), 2.0, 0.4)
    expected = channel.pairwise_bounds()
    monkeypatch.setattr(dropout_channel, "_LARGEST_EXPONENT", 2 * math.log2(float(channel._variances.max())))
    assert channel.pairwise_bounds().lower == pytest.approx(expected.lower, abs=1e-12)


def test_inputs_far_apart_are_certified():
    channel = DropoutChannel(torch.tensor([[0.0], [10.0], [100.0]]).double(), 0.01, 0.1)
    interval = estimates(channel, queries=2)["I(X;T)"].interval
    assert math.log(3) - 1e-6 < interval.lower <= interval.upper == math.log(3)


@pytest.mark.parametrize("sigma", [0.5, 3.0])
def test_a_tiny_alpha_gives_the_bounds_of_gaussian_noise(sigma):
    """The relative change of a variance is (alpha s / sigma)^2 < 1e-16."""
    values = torch.from_numpy(signals())
    bounds, expected = (
        channel.pairwise_bounds() for channel in (DropoutChannel(values, 1e-9, sigma), KnownChannel(values, sigma))
    )
    assert (bounds.lower, bounds.upper) == (
        pytest.approx(expected.lower, abs=1e-12),
        pytest.approx(expected.upper, abs=1e-12),
    )


# Intervals. Each end may be wrong with probability RISK, so more than MAX_WRONG of SEEDS ends are wrong with a
# probability of at most 1e-6.
RISK, SEEDS = 0.05, 200
MAX_WRONG = stats.binom.ppf(1 - 1e-6, SEEDS, RISK)

# The signals of the four inputs: one of them is 0.
LINE = np.array([-0.6, 0.0, 0.5, 1.5])


def truths(alpha, sigma, labels):
    """Compute every information of the inputs on the line by quadrature, in steps of sigma / 16."""
    scales = deviations(LINE, alpha, sigma)
    reach = 12 * (scales.max() - sigma)  # `grid` reaches 12 sigma beyond its ends
    axis = grid(LINE.min() - reach, LINE.max() + reach, sigma)
    densities = normal(axis - LINE[:, None], scales[:, None])
    sizes = np.bincount(labels)
    class_densities = np.array([densities[labels == k].mean(0) for k in range(len(sizes))])
    information, label_information = (
        information_of_channel(densities, axis),
        information_of_channel(class_densities, axis, sizes),
    )
    return {"I(X;T)": information, "I(T;Y)": label_information, "I(X;T|Y)": information - label_information}


@pytest.mark.parametrize(("alpha", "sigma", "queries"), [(0.3, 0.2, 2), (0.3, 0.2, 16), (2.0, 0.1, 8), (0.1, 1.0, 8)])
def test_intervals_contain_the_true_values(alpha, sigma, queries):
    labels = np.array([0, 1, 0, 0])
    channel = DropoutChannel(torch.from_numpy(LINE)[:, None], alpha, sigma, labels)
    results = [estimates(channel, queries, seed, RISK) for seed in range(SEEDS)]
    for name, truth in truths(alpha, sigma, labels).items():
        assert sum(result[name].interval.lower > truth + 1e-9 for result in results) <= MAX_WRONG
        assert sum(result[name].interval.upper < truth - 1e-9 for result in results) <= MAX_WRONG


def test_mean_of_the_terms_is_the_information():
    """A correct estimator errs by more than five standard errors in one of 1.7 million comparisons."""
    labels = np.array([0, 1, 0, 0])
    channel = DropoutChannel(torch.from_numpy(LINE)[:, None], 0.5, 0.2, labels)
    results = estimates(channel, queries=20_000)
    for name, truth in truths(0.5, 0.2, labels).items():
        assert abs(results[name].mean - truth) <= 5 * results[name].standard_error < 0.02


def test_quadrature_of_one_gaussian_is_its_entropy():
    axis = grid(-5, 5, 0.2)
    assert entropy(normal(axis, 0.4), axis) == pytest.approx(stats.norm.entropy(scale=0.4), abs=1e-10)
