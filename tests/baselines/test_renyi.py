"""The matrix Renyi entropy where its eigenvalues are known. They carry errors of n eps, so values of some n^2 eps."""

import math

import numpy as np
import pytest

from layerbits.baselines import matrix_renyi_entropy

ALPHAS = pytest.mark.parametrize("alpha", [0.5, 1.01, 2.0])


def renyi(shares, alpha):
    return math.log(sum(share**alpha for share in shares)) / (1 - alpha)


@ALPHAS
def test_two_rows_have_eigenvalues_of_half_one_plus_and_minus_their_kernel(alpha):
    kernel = math.exp(-(1.5**2) / (2 * 0.8**2))
    found = matrix_renyi_entropy(np.array([[0.0], [1.5]]), alpha=alpha, width=0.8)
    assert found.value == pytest.approx(renyi([(1 + kernel) / 2, (1 - kernel) / 2], alpha), abs=1e-13)


@ALPHAS
def test_rows_that_coincide_have_none_and_rows_far_apart_log_n(alpha):
    """1/(1 - alpha) = -100 multiplies the errors of 1.01; eigenvalues that should be 0, of n eps, those of 0.5."""
    assert matrix_renyi_entropy(np.ones((20, 3)), alpha=alpha).value == pytest.approx(0, abs=1e-5)
    apart = matrix_renyi_entropy(100 * np.arange(20.0)[:, None], alpha=alpha, width=1.0)
    assert apart.value == pytest.approx(math.log(20), abs=1e-11)


@ALPHAS
def test_labels_of_rows_far_apart_are_told_in_full(alpha):
    labels = np.array([0, 0, 0, 1, 1, 2])
    found = matrix_renyi_entropy(100 * np.arange(6.0)[:, None], labels=labels, alpha=alpha, width=1.0)
    assert found.label_information == pytest.approx(renyi([3 / 6, 2 / 6, 1 / 6], alpha), abs=1e-11)


def test_order_2_is_minus_the_log_of_the_mean_squared_kernel():
    rows = np.random.default_rng(0).standard_normal((50, 3))
    squares = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    found = matrix_renyi_entropy(rows, alpha=2.0, width=1.3)
    assert found.value == pytest.approx(-math.log(np.exp(-squares / 1.3**2).mean()), abs=1e-12)


def test_default_width_is_the_median_of_positive_distances_so_that_units_do_not_matter():
    rows = np.random.default_rng(0).standard_normal((40, 3))
    squares = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    median = float(np.median(np.sqrt(squares[np.triu_indices(40, 1)])))
    want = matrix_renyi_entropy(rows, width=median).value
    assert matrix_renyi_entropy(rows).value == pytest.approx(want, abs=1e-11)
    assert matrix_renyi_entropy(1000 * rows).value == pytest.approx(want, abs=1e-11)
