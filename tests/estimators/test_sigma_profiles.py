"""Profiles over sigma compared with quadrature, tabulated values and plain Monte Carlo; intervals and audits.

Values are compared within 5 standard errors; seeds are fixed. The tabulated values are rounded by up to 1e-6. At the
smallest sigma one query in millions is nearer to the other center: without such a query the value is 1.2e-6 too high,
with a standard error near 0. The tolerance of 2.2e-6 is the sum of both errors.
"""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from layerbits import sigma_profile
from layerbits.estimators import SigmaRow
from layerbits.estimators.sigma_profiles import _audited
from tests.support.answers import BPSK, gaussian_mixture_information, information_in_plane, information_on_line
from tests.support.random_arrays import normal_tensor

STANDARD_ERRORS = 5
LINE = np.array([-1.0, 0.2, 0.4, 3.0])


def rows_of(profile, quantity):
    return [row for row in profile if row.quantity == quantity]


# Values


@pytest.mark.parametrize("d", [1, 6])
def test_cube_has_the_tabulated_information_of_its_axes(d):
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * d).reshape(-1, d)
    profile = sigma_profile(corners.repeat(2048 // len(corners), 1), list(BPSK))
    for row, truth in zip(profile, BPSK.values(), strict=True):
        assert abs(row.value - d * truth) <= STANDARD_ERRORS * row.standard_error + d * 2.2e-6


def test_line_has_the_information_of_quadrature():
    for row in sigma_profile(LINE.repeat(500)[:, None], np.geomspace(0.05, 5, 8)):
        assert abs(row.value - information_on_line(LINE, row.sigma)) <= STANDARD_ERRORS * row.standard_error + 1e-9


def test_plane_has_the_information_of_quadrature():
    centers = normal_tensor(5, 2, seed=4).numpy()
    for row in sigma_profile(centers.repeat(400, 0), [0.1, 0.5, 1.0]):
        assert abs(row.value - information_in_plane(centers, row.sigma)) <= STANDARD_ERRORS * row.standard_error + 1e-9


# 150 points in 160 dimensions span 149, in which one pass serves all sigmas; in 3 dimensions each sigma has its own.
few_and_many_dimensions = pytest.mark.parametrize("d", [3, 160])
SIGMAS = np.geomspace(0.1, 2, 20)


@few_and_many_dimensions
def test_information_about_inputs_and_classes_is_that_of_plain_monte_carlo(d):
    classes = np.array([2, 0, 1, 2, 2, 0, 0, 0, 0, 1] * 15)
    points = (normal_tensor(150, d, seed=1) + 2 * torch.from_numpy(classes)[:, None]) / math.sqrt(d)
    profile = sigma_profile(points, SIGMAS, labels=classes)
    for quantity, labels in (("I(X;T)", None), ("I(T;Y)", classes)):
        for row in rows_of(profile, quantity)[4::8]:
            covariance = row.sigma**2 * np.eye(d)
            value, error = gaussian_mixture_information(points.numpy(), covariance, 400, seed=3, classes=labels)
            assert abs(row.value - value) <= STANDARD_ERRORS * math.hypot(row.standard_error, error) + 1e-6


@few_and_many_dimensions
def test_information_about_the_input_is_the_sum_of_its_parts(d):
    profile = sigma_profile(normal_tensor(150, d), 3 * SIGMAS, labels=torch.arange(150) % 4)
    quantities = ("I(X;T)", "I(T;Y)", "I(X;T|Y)")
    compared = 0
    for rows in zip(*(rows_of(profile, name) for name in quantities), strict=True):
        if all(row.lower < row.value < row.upper for row in rows):  # no mean was moved into its interval
            about_input, about_class, given_class = (row.value for row in rows)
            assert about_input == pytest.approx(about_class + given_class, abs=1e-12)
            compared += 1
    assert compared >= len(SIGMAS) / 4


def test_single_input_has_no_information():
    (row,) = sigma_profile(torch.ones(1, 3), [0.1])
    assert (row.value, row.lower, row.upper) == (pytest.approx(0, abs=1e-14), 0, 0)


def test_classes_of_one_input_leave_no_further_information():
    row = rows_of(sigma_profile(normal_tensor(6, 2), [0.5], labels=torch.arange(6)), "I(X;T|Y)")[0]
    assert (row.value, row.lower, row.upper) == (pytest.approx(0, abs=1e-14), 0, 0)


@pytest.mark.parametrize(("scale", "sigma"), [(1e150, 1e-150), (1e160, 1e-140)], ids=["one pass", "kernel"])
def test_exponents_that_overflow_give_log_n(scale, sigma):
    row = sigma_profile(scale * normal_tensor(150, 400), [sigma] * 20).rows[0]
    assert row.value == pytest.approx(math.log(150), abs=1e-12)


# Intervals and audits


@pytest.mark.parametrize("sigma", [0.3, 3.0])
def test_interval_contains_the_true_value(sigma):
    """Fewer hits than the bound occur once in a million runs if the coverage is 95 % or more."""
    n_seeds, truth = 100, information_on_line(LINE, sigma)
    rows = [sigma_profile(LINE.repeat(10)[:, None], [sigma], seed=seed).rows[0] for seed in range(n_seeds)]
    assert sum(row.lower <= truth <= row.upper for row in rows) >= stats.binom.ppf(1e-6, n_seeds, 0.95)


@few_and_many_dimensions
def test_inputs_far_apart_are_certified_by_their_distances(d):
    for row in sigma_profile(normal_tensor(150, d), np.geomspace(1e-6, 1e-3, 20)):
        assert math.log(150) - 1e-9 <= row.lower <= row.value <= row.upper <= math.log(150)


def test_interval_narrows_with_queries():
    """64 times the queries leave an eighth of the width, or less: the stakes of the first passes matter less."""
    few_queries, many_queries = (
        sigma_profile(normal_tensor(50, 2), [1.0], queries=queries).rows[0] for queries in (4, 256)
    )
    assert many_queries.upper - many_queries.lower < (few_queries.upper - few_queries.lower) / 4


def test_interval_stays_between_zero_and_log_n():
    for row in sigma_profile(normal_tensor(10, 2), [1e-3, 1e3]):
        assert 0 <= row.lower <= row.upper <= math.log(10)


def test_saturation_is_noted():
    row_of_small_sigma, row_of_large_sigma = sigma_profile(normal_tensor(50, 2), [1e-4, 1.0])
    assert row_of_small_sigma.flags == ("saturated",)
    assert row_of_small_sigma.note.startswith("saturated: at most ")
    assert row_of_large_sigma.flags == ()
    assert not row_of_large_sigma.note


def test_information_that_rises_with_sigma_is_noted():
    rows = [
        SigmaRow("", sigma, "I(X;T)", value, 0.01, value - 0.02, value + 0.02)
        for sigma, value in ((0.1, 1.0), (0.2, 1.5), (0.3, 0.9))
    ]
    audited = _audited(rows, math.log(10), math.log(9))
    assert [row.note for row in audited] == ["below that at sigma = 0.2: raise queries", "", ""]
    assert [row.flags for row in audited] == [("below_larger_sigma",), (), ()]


@pytest.mark.parametrize("queries", [2**31, 2**63])
def test_too_many_queries_are_refused(queries):
    with pytest.raises(ValueError, match=rf"^queries: got {queries}, wanted at most 26843545 for 10 inputs"):
        sigma_profile(normal_tensor(10, 2), [1.0], queries=queries)
