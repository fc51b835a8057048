"""Student's margin against scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from layerbits.statistics import student_margin

RISK = 0.05


@pytest.mark.parametrize(("freedom", "count"), [(1, 5), (3, 1), (30, 5)])
def test_margin_of_equal_variances_is_that_of_student(freedom, count):
    margin = student_margin(np.full(count, 0.5), freedom, RISK)
    assert margin == pytest.approx(stats.t.ppf(1 - RISK, freedom * count) * math.sqrt(0.5 * count), rel=1e-12)


def test_variances_of_zero_do_not_change_the_margin():
    margin = student_margin(np.array([0.0, 2.0, 0.0]), 4, RISK)
    assert margin == pytest.approx(stats.t.ppf(1 - RISK, 4) * math.sqrt(2), rel=1e-12)


def test_margin_is_that_of_welch():
    """scipy's Welch interval of a difference of means is the same formula for two samples of one size."""
    first, second = np.random.default_rng(0).normal(size=(2, 6)) * [[1.0], [3.0]]
    truth = stats.ttest_ind(first, second, equal_var=False).confidence_interval(1 - 2 * RISK)
    variances = np.array([first.var(ddof=1), second.var(ddof=1)]) / 6
    assert student_margin(variances, 5, RISK) == pytest.approx((truth.high - truth.low) / 2, rel=1e-10)


@pytest.mark.parametrize(("variances", "freedom", "margin"), [([0.0, 0.0], 3, 0.0), ([1.0], 0, math.inf)])
def test_margin_without_spread_is_zero_and_without_freedom_infinite(variances, freedom, margin):
    assert student_margin(np.array(variances), freedom, RISK) == margin
