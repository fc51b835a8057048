"""Gaussian mixtures against mpmath, quadrature, closed forms and published values.

Monte Carlo values are compared within Z standard errors: at Z = 5 a right estimator fails one test in 1.7 million, and
seeds are fixed.
"""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.autograd import gradcheck

from layerbits import mixture_entropy, mixture_entropy_bounds, mixture_information, mixture_log_density
from tests.support.answers import (
    BPSK,
    NEURON_CELLS,
    THREE_TO_ONE,
    exact_log_sum,
    information_in_plane,
    information_on_line,
)

Z = 5
PAIR = np.array([[-1.0], [1.0]])


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def doubles(*shape, seed=0):
    return torch.from_numpy(random(*shape, seed=seed))


def rotation(d, seed=0):
    return np.linalg.qr(random(d, d, seed=seed))[0]


def apart(one, other):
    """How far two independent estimates lie apart, in standard errors."""
    return abs(one.value - other.value) / math.hypot(one.standard_error, other.standard_error)


# Log density


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weights", [None, np.array([1.0, 0.5, 0.25, 3, 0])])
@pytest.mark.parametrize("sigma", [0.01, 0.5, 30])
def test_log_density_is_that_of_50_digits(dtype, weights, sigma):
    """The core's bound on the log-sum, then sums and products of relative error eps (float64), then one rounding.

    Their terms are at most |log_sum| + |log total| + d (|log sigma| + 1) large, and each rounds here and there.
    """
    points, centers = random(7, 3).astype(dtype), random(5, 3, seed=1).astype(dtype)
    mass = np.ones(5) if weights is None else weights
    given = None if weights is None else weights.astype(dtype)
    found = mixture_log_density(points, centers, sigma, weights=given)
    log_sums, spreads = np.transpose([exact_log_sum(point, centers, sigma, mass) for point in points])
    truth = log_sums - math.log(mass.sum()) - 3 / 2 * math.log(2 * math.pi * sigma**2)
    core = (4 + 3 / 64) * np.finfo(dtype).eps * (1 + spreads)
    rest = 8 * np.finfo(float).eps * (abs(log_sums) + math.log(5) + 3 * (abs(math.log(sigma)) + 1))
    rounding = np.finfo(dtype).eps * abs(truth) / 2
    assert (abs(found - truth) <= core + rest + rounding).all()


def test_log_density_on_the_line_integrates_to_one():
    centers, weights = random(4, 1), np.array([1.0, 2, 3, 4])

    def density(t):
        return math.exp(mixture_log_density(np.array([[t]]), centers, 0.3, weights=weights)[0])

    total, error = integrate.quad(density, -10, 10, points=centers.ravel(), limit=200)
    assert abs(total - 1) <= error + 1e-10  # mass beyond 10: 27 sigma away


def test_log_density_in_the_plane_integrates_to_one():
    """A trapezoidal sum in steps of sigma / 4: relative error 2 exp(-2 (4 pi)^2) a Gaussian; e^-72 beyond 12 sigma."""
    centers, sigma = random(3, 2), 0.5
    axis = np.arange(-10, 10, sigma / 4)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    total = np.exp(mixture_log_density(points, centers, sigma)).sum() * (sigma / 4) ** 2
    assert abs(total - 1) <= 1e-12


def test_only_ratios_of_weights_count():
    """Scaling by 7 rounds every weight and the total: a few eps each."""
    points, centers, weights = random(9, 2), random(5, 2, seed=1), np.arange(1.0, 6)
    found = mixture_log_density(points, centers, 0.7, weights=7 * weights)
    np.testing.assert_allclose(found, mixture_log_density(points, centers, 0.7, weights=weights), atol=1e-13)


def test_log_density_is_differentiable_in_all_four_arguments():
    """Gradcheck's own tolerances: central differences of step 1e-6 leave about 1e-9 in float64."""
    arguments = [doubles(4, 3), doubles(5, 3, seed=1), torch.tensor(0.6).double(), torch.rand(5).double() + 0.5]
    arguments = [argument.requires_grad_() for argument in arguments]
    assert gradcheck(lambda p, c, s, w: mixture_log_density(p, c, s, weights=w), arguments)


def test_gradient_at_coincident_points_is_finite():
    points = doubles(4, 3).requires_grad_()
    mixture_log_density(points, points, 0.01).sum().backward()
    assert points.grad.isfinite().all()


def test_gradient_of_a_single_center_is_the_normals():
    """d log N / dt = (c - t) / sigma^2, to a few eps."""
    point, center = doubles(1, 3).requires_grad_(), doubles(1, 3, seed=1)
    mixture_log_density(point, center, 0.5).sum().backward()
    np.testing.assert_allclose(point.grad, (center - point.detach()) / 0.25, rtol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensor_in_gives_tensor_out_of_its_dtype(dtype):
    assert mixture_log_density(doubles(4, 2).to(dtype), doubles(3, 2).to(dtype), 1.0).dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_array_in_gives_array_out_of_its_dtype(dtype):
    found = mixture_log_density(random(4, 2).astype(dtype), random(3, 2).astype(dtype), 1.0)
    assert (type(found), found.dtype) == (np.ndarray, dtype)


def test_array_and_tensor_give_the_same_bits():
    points, centers = random(4, 2), random(3, 2, seed=1)
    found = mixture_log_density(torch.from_numpy(points), torch.from_numpy(centers), 0.3)
    np.testing.assert_array_equal(found.numpy(), mixture_log_density(points, centers, 0.3))


def test_torchs_default_device_is_of_no_account():
    points = np.ones((2, 3))
    with torch.device("meta"):
        density = mixture_log_density(points, points, 0.5)
    np.testing.assert_array_equal(density, mixture_log_density(points, points, 0.5))


def test_sigma_may_be_a_tensor():
    points, centers = doubles(4, 2), doubles(3, 2, seed=1)
    sigma = torch.tensor(0.25)
    assert mixture_log_density(points, centers, sigma).equal(mixture_log_density(points, centers, 0.25))


def test_log_density_of_no_points_is_empty():
    assert mixture_log_density(random(0, 2), random(3, 2), 1.0).shape == (0,)


# Information and entropy against truth


@pytest.mark.parametrize(("sigma", "value"), BPSK.items())
def test_quadrature_agrees_with_the_published_bpsk_values(sigma, value):
    assert information_on_line([-1, 1], sigma) == pytest.approx(value, abs=5.1e-7)  # six digits are given


@pytest.mark.parametrize(("sigma", "value"), [pair for pair in BPSK.items() if pair[0] > 0.2])
def test_information_of_two_points(sigma, value):
    found = mixture_information(PAIR, sigma, tolerance=0.002)
    assert abs(found.value - value) <= Z * found.standard_error + 5.1e-7


def test_information_of_two_distant_points_lacks_only_overlaps_too_rare_to_be_drawn():
    """The truth is log 2 - 1.2e-6, nearly all of it from draws beyond 4 sigma, of which 8192 need not hold one."""
    found = mixture_information(PAIR, 0.2)
    assert math.log(2) - 1e-5 <= found.value <= math.log(2)


@pytest.mark.parametrize(("sigma", "value"), THREE_TO_ONE.items())
def test_information_of_two_points_of_weights_three_and_one(sigma, value):
    found = mixture_information(PAIR, sigma, weights=np.array([3.0, 1.0]), tolerance=0.002)
    assert abs(found.value - value) <= Z * found.standard_error + 5.1e-7


@pytest.mark.parametrize("sigma", [0.5, 1, 3])
def test_information_of_a_cube_is_that_of_its_edges(sigma):
    cube = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 6), axis=-1).reshape(-1, 6)
    found = mixture_information(cube, sigma, tolerance=0.01)
    assert abs(found.value - 6 * BPSK[sigma]) <= Z * found.standard_error + 6 * 5.1e-7


@pytest.mark.parametrize(("weight", "sigma", "value"), NEURON_CELLS)
def test_information_of_a_single_neuron(weight, sigma, value):
    centers = np.tanh(weight * np.array([[-3.0], [-1], [1], [3]]) - 2 * weight)
    found = mixture_information(centers, sigma, tolerance=0.002)
    assert abs(found.value - value) <= Z * found.standard_error + 1e-4  # to which the table is given


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weighted", [False, True])
def test_information_on_the_line_is_that_of_quadrature(seed, weighted):
    centers = random(6, 1, seed=seed)
    weights = np.exp(random(6, seed=seed + 1)) if weighted else None
    found = mixture_information(centers, 0.3, weights=weights, tolerance=0.002, seed=seed)
    assert abs(found.value - information_on_line(centers.ravel(), 0.3, weights)) <= Z * found.standard_error


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [False, True])
def test_information_in_the_plane_is_that_of_quadrature(seed, weighted):
    centers = random(5, 2, seed=seed)
    weights = np.exp(random(5, seed=seed + 1)) if weighted else None
    found = mixture_information(centers, 0.5, weights=weights, tolerance=0.002, seed=seed)
    assert abs(found.value - information_in_plane(centers, 0.5, weights)) <= Z * found.standard_error


def test_entropy_is_that_of_quadrature():
    centers = random(5, 2)
    found = mixture_entropy(centers, 0.5, tolerance=0.002)
    truth = information_in_plane(centers, 0.5) + math.log(2 * math.pi * math.e * 0.25)
    assert abs(found.value - truth) <= Z * found.standard_error


def test_entropy_of_one_center_is_that_of_the_noise():
    """h(Z) = d/2 log(2 pi e sigma^2); the sum of three logarithms rounds by a few eps."""
    truth = 7 / 2 * math.log(2 * math.pi * math.e * 0.09)
    assert mixture_entropy(random(1, 7), 0.3).value == pytest.approx(truth, abs=1e-13)


def test_information_of_gaussian_centers_is_the_closed_form():
    """I = 1/2 log det(1 + Sigma / sigma^2) for S Gaussian; n centers drawn from it give less, in expectation.

    What is missing is E KL(p^ || p) <= log(1 + (R - 1) / n) with R = E int N(t; S, sigma^2 I)^2 / p(t) dt, by Jensen;
    for Gaussian p that is det(1 + Sigma / sigma^2). The data sets are independent: their spread gives the error.
    """
    sigma, n, repeats = 0.8, 500, 30
    scale = np.array([1.0, 0.5, 0.3])
    ratio = np.prod(1 + scale**2 / sigma**2)
    centers = random(repeats, n, 3) * scale
    values = [mixture_information(one, sigma, tolerance=None, seed=seed).value for seed, one in enumerate(centers)]
    error = Z * np.std(values, ddof=1) / math.sqrt(repeats)
    truth = math.log(ratio) / 2
    assert truth - math.log1p((ratio - 1) / n) - error <= np.mean(values) <= truth + error


# Exact cases


def test_separated_centers_have_log_n_without_variance():
    found = mixture_information(1000 * random(37, 4), 1.0)
    assert (found.value, found.standard_error) == (pytest.approx(math.log(37), abs=1e-12), pytest.approx(0, abs=1e-12))


def test_information_of_one_center_is_zero():
    assert mixture_information(random(1, 3), 0.1).value == 0


def test_equal_centers_are_one():
    assert mixture_information(np.ones((7, 3)), 0.1).value == pytest.approx(0, abs=1e-12)


def test_copies_of_separated_centers_are_told_apart_as_groups():
    found = mixture_information(np.repeat(PAIR, 5, axis=0), 0.01)
    assert found.value == pytest.approx(math.log(2), abs=1e-12)


def test_separated_centers_have_the_entropy_of_their_weights():
    weights = np.array([0.5, 0.25, 0.125, 0.125])
    found = mixture_information(1000 * random(4, 2), 1.0, weights=weights, tolerance=0.002)
    assert abs(found.value - 1.75 * math.log(2)) <= Z * found.standard_error + 1e-12


def test_center_of_no_weight_does_not_count():
    with_it = mixture_information(np.array([[-1.0], [1], [0.2]]), 0.6, weights=np.array([1.0, 1, 0]), tolerance=0.003)
    assert abs(with_it.value - BPSK[0.6]) <= Z * with_it.standard_error + 5.1e-7


@pytest.mark.parametrize("sigma", [1e-300, 1e-160, 1e-30])
def test_vanishing_noise_leaves_log_n(sigma):
    assert mixture_information(random(9, 3), sigma).value == pytest.approx(math.log(9), abs=1e-12)


@pytest.mark.parametrize("sigma", [1e10, 1e160, 1e300])
def test_overwhelming_noise_leaves_nothing(sigma):
    assert mixture_information(random(9, 3), sigma).value == pytest.approx(0, abs=1e-9)  # spread / sigma


@pytest.mark.parametrize("sigma", [1e-160, 1e-30, 1e30, 1e160])
def test_entropy_of_the_noise_does_not_overflow(sigma):
    """Centers 3 sigma apart; d/2 log(2 pi e sigma^2) is written without the square."""
    found = mixture_entropy(3 * sigma * PAIR, sigma, tolerance=None)
    noise = math.log(sigma) + math.log(2 * math.pi * math.e) / 2
    assert abs(found.value - noise - information_on_line([-3, 3], 1)) <= Z * found.standard_error + 1e-12


# Invariance


def test_rotation_changes_nothing():
    centers = random(20, 3)
    turned = mixture_information(centers @ rotation(3), 0.5, tolerance=0.003, seed=1)
    assert apart(turned, mixture_information(centers, 0.5, tolerance=0.003)) <= Z


def test_order_changes_nothing():
    centers, weights = random(20, 3), np.exp(random(20, seed=1))
    order = np.random.default_rng(2).permutation(20)
    shuffled = mixture_information(centers[order], 0.5, weights=weights[order], tolerance=0.003, seed=1)
    assert apart(shuffled, mixture_information(centers, 0.5, weights=weights, tolerance=0.003)) <= Z


def test_translation_changes_rounding_alone():
    """Adding 1000 rounds centers by 1e-13, and every term by that times |t - c| / sigma^2 < 100."""
    centers = random(20, 3)
    there = mixture_information(centers + 1000, 0.5)
    assert there.value == pytest.approx(mixture_information(centers, 0.5).value, abs=1e-11)


def test_float32_far_from_zero_is_as_good_as_float64():
    """The same numbers in both: grid points of float32 at 100,000, which lie wider than sigma."""
    centers = (100_000 + PAIR * 0.005).astype(np.float32)
    gap = float(centers[1, 0] - centers[0, 0])
    found = mixture_information(centers, 0.005, tolerance=0.002)
    assert abs(found.value - information_on_line([0, gap / 0.005], 1)) <= Z * found.standard_error


def test_float32_agrees_with_float64():
    centers = random(30, 3)
    single = mixture_information(centers.astype(np.float32), 0.5, tolerance=0.003, seed=1)
    assert apart(single, mixture_information(centers, 0.5, tolerance=0.003)) <= Z


def test_wide_centers_have_the_information_of_their_subspace():
    centers = random(50, 3)
    embedded = centers @ np.linalg.qr(random(2000, 3, seed=1))[0].T + random(2000, seed=2)
    wide = mixture_information(embedded, 0.5, tolerance=0.004, seed=1)
    assert apart(wide, mixture_information(centers, 0.5, tolerance=0.004)) <= Z


def test_entropy_of_wide_centers_counts_the_noise_of_every_dimension():
    centers = random(50, 3) @ np.linalg.qr(random(2000, 3, seed=1))[0].T
    difference = mixture_entropy(centers, 0.5).value - mixture_information(centers, 0.5).value
    assert difference == pytest.approx(1000 * math.log(2 * math.pi * math.e * 0.25), rel=1e-14)


# Errors and intervals


def coverage(centers, sigma, truth, seeds, **options):
    estimates = [mixture_information(centers, sigma, seed=seed, confidence=0.9, **options) for seed in range(seeds)]
    return sum(one.lower <= truth <= one.upper for one in estimates), estimates


CASES = {
    "equal weights": (random(6, 1), None, 512),
    "unequal weights": (random(6, 1), np.exp(2 * random(6, seed=1)), 512),
    "more centers than strata": (random(300, 1), np.exp(random(300, seed=1)), 128),
}


@pytest.mark.parametrize("case", CASES)
def test_interval_covers_the_truth_as_often_as_it_says(case):
    """Of 300 seeds the count of hits is binomial; the bound is its 1e-6 quantile at the stated level."""
    centers, weights, draws = CASES[case]
    truth = information_on_line(centers.ravel(), 0.4, weights)
    hits, _ = coverage(centers, 0.4, truth, 300, weights=weights, tolerance=None, max_draws=draws)
    assert hits >= stats.binom.ppf(1e-6, 300, 0.9)


@pytest.mark.parametrize("case", CASES)
def test_standard_error_is_the_spread_over_seeds(case):
    """(n - 1) s^2 / variance is chi-squared: its 1e-6 quantiles. Collapsed strata may add 1.05 times here."""
    centers, weights, draws = CASES[case]
    _, found = coverage(centers, 0.4, 0, 300, weights=weights, tolerance=None, max_draws=draws)
    spread = np.std([one.value for one in found], ddof=1)
    claimed = math.sqrt(np.mean([one.standard_error**2 for one in found]))
    low, high = np.sqrt(stats.chi2.ppf([1e-6, 1 - 1e-6], 299) / 299)
    assert spread / high <= claimed <= 1.05 * spread / low


def test_interval_covers_the_truth_when_draws_were_added_to_meet_a_tolerance():
    hits, estimates = coverage(PAIR, 1, BPSK[1], 100, tolerance=0.004)
    assert all(one.draws > 8192 for one in estimates)
    assert hits >= stats.binom.ppf(1e-6, 100, 0.9)


@pytest.mark.parametrize("tolerance", [0.01, 0.003, 0.001])
def test_interval_is_as_narrow_as_asked(tolerance):
    found = mixture_information(PAIR, 0.5, tolerance=tolerance)
    assert found.upper - found.lower <= 2 * tolerance
    assert found.converged


def test_interval_of_a_higher_level_holds_that_of_a_lower_one():
    narrow, wide = (mixture_information(PAIR, 1, tolerance=None, confidence=level) for level in (0.8, 0.99))
    assert wide.lower < narrow.lower < narrow.value < narrow.upper < wide.upper


def test_interval_covers_the_truth_where_confusions_are_rarer_than_draws():
    """Gaps of 7 sigma: 1 draw in 2000 is confused, and carries most of what log 2 lacks. 1e-6 quantile of the hits."""
    truth = information_on_line(np.array([0.0, 7.0]), 1.0, None)
    hits = 0
    for seed in range(100):
        found = mixture_information(np.array([[0.0], [7.0]]), 1.0, tolerance=None, max_draws=1024, seed=seed)
        hits += found.lower <= truth <= found.upper
    assert hits >= stats.binom.ppf(1e-6, 100, 0.95)


@pytest.mark.parametrize("sigma", [0.25, 30])
def test_interval_stays_within_what_is_possible(sigma):
    for seed in range(20):
        found = mixture_information(PAIR, sigma, tolerance=None, max_draws=64, seed=seed)
        assert 0 <= found.lower <= found.value <= found.upper <= math.log(2)


def test_draws_that_are_added_are_new_ones():
    """The budget is twice the first batch: a second one of the same draws would leave the mean as it was."""
    first = mixture_information(PAIR, 1, tolerance=None)
    both = mixture_information(PAIR, 1, tolerance=1e-9, max_draws=2 * first.draws)
    assert both.draws == 2 * first.draws
    assert both.value != first.value


@pytest.mark.parametrize("budget", [64, 65, 1000, 20_001])
def test_budget_is_kept_and_its_end_is_said(budget):
    found = mixture_information(PAIR, 1, tolerance=1e-6, max_draws=budget)
    assert found.draws <= budget
    assert not found.converged
    assert str(found).endswith(f"tolerance not reached in {found.draws} draws")


def test_without_tolerance_nothing_is_missed():
    assert mixture_information(PAIR, 1, tolerance=None).converged


def test_same_seed_gives_the_same_bits():
    assert mixture_information(PAIR, 1, seed=3) == mixture_information(PAIR, 1, seed=3)


def test_another_seed_gives_another_value():
    assert mixture_information(PAIR, 1, seed=3).value != mixture_information(PAIR, 1, seed=4).value


def test_global_generators_are_left_alone():
    def states():
        return torch.random.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002

    before = states()
    mixture_entropy(PAIR, 1)
    assert states() == before


@pytest.mark.parametrize("function", [mixture_information, mixture_entropy_bounds])
def test_arguments_are_not_written(function):
    centers, weights = random(9, 3), np.exp(random(9))
    copies = centers.copy(), weights.copy()
    function(centers, 0.5, weights=weights)
    np.testing.assert_array_equal(centers, copies[0])
    np.testing.assert_array_equal(weights, copies[1])


def test_learnt_centers_and_sigma_are_taken_as_they_are():
    centers, sigma = torch.from_numpy(PAIR).requires_grad_(), torch.tensor(1.0, requires_grad=True)
    assert mixture_information(centers, sigma) == mixture_information(PAIR, 1)


# Bounds


def brute_force_bounds(centers, sigma, weights):
    """h(Z) - sum_i w_i log sum_j w_j exp(-|c_i - c_j|^2 / (8 sigma^2)), and the same with 2 sigma^2."""
    weights = weights / weights.sum()
    squares = ((centers[:, None] - centers) ** 2).sum(-1)
    noise = centers.shape[1] / 2 * math.log(2 * math.pi * math.e * sigma**2)
    return [noise - weights @ np.log(np.exp(-squares / (scale * sigma**2)) @ weights) for scale in (8, 2)]


@pytest.mark.parametrize("weights", [None, np.arange(1.0, 13)])
def test_bounds_are_the_formulas_of_kolchinsky_and_tracey(weights):
    """Sums of 12 terms in float64 on both sides: 1e-13."""
    centers = random(12, 3)
    truth = brute_force_bounds(centers, 0.6, np.ones(12) if weights is None else weights)
    np.testing.assert_allclose(mixture_entropy_bounds(centers, 0.6, weights=weights), truth, atol=1e-13)


@pytest.mark.parametrize("sigma", [0.05, 0.2, 0.5, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_bounds_bracket_the_truth(sigma, weighted):
    centers = random(8, 2)
    weights = np.exp(random(8, seed=1)) if weighted else None
    truth = information_in_plane(centers, sigma, weights) + math.log(2 * math.pi * math.e * sigma**2)
    lower, upper = mixture_entropy_bounds(centers, sigma, weights=weights)
    assert lower - 1e-9 <= truth <= upper + 1e-9  # quadrature


def test_bounds_are_differentiable_in_centers_sigma_and_weights():
    arguments = [doubles(5, 3), torch.tensor(0.6).double(), torch.rand(5).double() + 0.5]
    arguments = [argument.requires_grad_() for argument in arguments]
    assert gradcheck(lambda c, s, w: mixture_entropy_bounds(c, s, weights=w), arguments)


def test_bounds_of_arrays_are_numbers():
    assert all(isinstance(bound, np.floating) for bound in mixture_entropy_bounds(PAIR, 1))


def test_bounds_of_tensors_are_tensors():
    assert all(bound.shape == () for bound in mixture_entropy_bounds(torch.from_numpy(PAIR), 1))


# Bad arguments

ALL = {
    "log_density": lambda centers=PAIR, sigma=1.0, weights=None: mixture_log_density(
        PAIR, centers, sigma, weights=weights
    ),
    "information": lambda centers=PAIR, sigma=1.0, weights=None: mixture_information(centers, sigma, weights=weights),
    "entropy": lambda centers=PAIR, sigma=1.0, weights=None: mixture_entropy(centers, sigma, weights=weights),
    "bounds": lambda centers=PAIR, sigma=1.0, weights=None: mixture_entropy_bounds(centers, sigma, weights=weights),
}
every_function = pytest.mark.parametrize("function", ALL.values(), ids=ALL)


@every_function
@pytest.mark.parametrize(
    ("centers", "error"),
    [
        (None, TypeError),
        ([[1.0], [2.0]], TypeError),
        (np.array([["a"]]), TypeError),
        (PAIR.astype(complex), TypeError),
        (PAIR.astype(int), TypeError),
        (PAIR.astype(np.float16), TypeError),
        (torch.from_numpy(PAIR).bfloat16(), TypeError),
        (torch.zeros(2, 1, dtype=torch.float64, device="meta"), ValueError),
        (torch.from_numpy(PAIR).to_sparse(), ValueError),
        (np.zeros(3), ValueError),
        (np.zeros((0, 1)), ValueError),
        (np.zeros((2, 0)), ValueError),
    ],
)
def test_bad_centers_are_named(function, centers, error):
    with pytest.raises(error, match=r"^centers: got .*, wanted "):
        function(centers=centers)


@pytest.mark.parametrize("function", [ALL["information"], ALL["entropy"]])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_information_of_centers_that_are_not_finite_is_refused(function, value):
    with pytest.raises(ValueError, match=r"^centers: got NaN or infinity"):
        function(centers=np.array([[0.0], [value]]))


@every_function
@pytest.mark.parametrize("sigma", [0, -1.0, math.nan, math.inf, torch.tensor(-1.0), torch.tensor(math.nan)])
def test_sigma_out_of_range_is_named_as_it_was_given(function, sigma):
    with pytest.raises(ValueError, match=rf"^sigma: got {float(sigma):g}"):
        function(sigma=sigma)


@every_function
@pytest.mark.parametrize(
    "sigma", ["1", None, True, 1j, np.array(1.0), torch.ones(2), torch.tensor(1), torch.ones((), device="meta")]
)
def test_sigma_that_is_no_number_is_named(function, sigma):
    with pytest.raises(TypeError, match=r"^sigma: got "):
        function(sigma=sigma)


@every_function
@pytest.mark.parametrize(
    ("weights", "error"),
    [
        ([1.0, 1.0], TypeError),
        (np.array([1, 1]), TypeError),
        (np.ones(2, np.float32), TypeError),
        (np.array([1.0, -1.0]), ValueError),
        (np.array([math.nan, 1.0]), ValueError),
        (np.array([math.inf, 1.0]), ValueError),
        (np.array([1e308, 1e308]), ValueError),
        (np.zeros(2), ValueError),
        (np.ones(3), ValueError),
        (np.ones((2, 1)), ValueError),
        (torch.ones(2, dtype=torch.float64, device="meta"), ValueError),
    ],
)
def test_bad_weights_are_named(function, weights, error):
    with pytest.raises(error, match=r"^weights: got .*, wanted "):
        function(weights=weights)


@pytest.mark.parametrize("function", [mixture_information, mixture_entropy])
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"tolerance": 0}, ValueError),
        ({"tolerance": math.nan}, ValueError),
        ({"tolerance": "1"}, TypeError),
        ({"confidence": 0}, ValueError),
        ({"confidence": 1.0}, ValueError),
        ({"confidence": None}, TypeError),
        ({"seed": -1}, ValueError),
        ({"seed": 0.5}, TypeError),
        ({"max_draws": 3}, ValueError),
        ({"max_draws": 10.0}, TypeError),
    ],
)
def test_bad_options_are_named(function, options, error):
    (name,) = options
    with pytest.raises(error, match=rf"^{name}: got "):
        function(PAIR, 1.0, **options)


def test_points_and_centers_of_different_dtype_are_refused():
    with pytest.raises(TypeError, match="float32"):
        mixture_log_density(PAIR.astype(np.float32), PAIR, 1.0)


def test_points_and_centers_of_different_width_are_refused():
    with pytest.raises(ValueError, match="shape"):
        mixture_log_density(random(3, 2), PAIR, 1.0)
