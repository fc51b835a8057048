"""The matrix Renyi entropy against closed forms. Eigenvalues have errors of n eps, entropies of about n^2 eps."""

import math

import numpy as np
import pytest

from layerbits.baselines import matrix_renyi_entropy
from tests.support.random_arrays import normal_array

ALPHAS = pytest.mark.parametrize("alpha", [0.5, 1.01, 2.0])


def renyi(probabilities, alpha):
    return math.log(sum(probability**alpha for probability in probabilities)) / (1 - alpha)


@ALPHAS
def test_entropy_of_two_rows_has_eigenvalues_half_of_one_plus_and_minus_the_kernel(alpha):
    kernel = math.exp(-(1.5**2) / (2 * 0.8**2))
    estimate = matrix_renyi_entropy(np.array([[0.0], [1.5]]), alpha=alpha, width=0.8)
    assert estimate.value == pytest.approx(renyi([(1 + kernel) / 2, (1 - kernel) / 2], alpha), abs=1e-13)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.01, 2.0])
def test_entropy_is_0_for_coinciding_rows_and_log_n_for_distant_rows(alpha):
    """Errors of about 20 eps are multiplied by alpha / |1 - alpha|, at most 101 (alpha = 1.01)."""
    assert matrix_renyi_entropy(np.ones((20, 3)), alpha=alpha).value == pytest.approx(0, abs=20 * 2.3e-16 * 101)
    distant = matrix_renyi_entropy(100 * np.arange(20.0)[:, None], alpha=alpha, width=1.0)
    assert distant.value == pytest.approx(math.log(20), abs=1e-11)


@ALPHAS
def test_label_information_of_distant_rows_is_the_entropy_of_the_labels(alpha):
    labels = np.array([0, 0, 0, 1, 1, 2])
    estimate = matrix_renyi_entropy(100 * np.arange(6.0)[:, None], labels=labels, alpha=alpha, width=1.0)
    assert estimate.label_information == pytest.approx(renyi([3 / 6, 2 / 6, 1 / 6], alpha), abs=1e-11)


def test_entropy_of_order_2_is_minus_the_log_of_the_mean_squared_kernel():
    rows = normal_array(50, 3)
    squares = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    estimate = matrix_renyi_entropy(rows, alpha=2.0, width=1.3)
    assert estimate.value == pytest.approx(-math.log(np.exp(-squares / 1.3**2).mean()), abs=1e-12)


@pytest.mark.parametrize("width", [1e-182, 1e-320])
def test_tiny_width_separates_all_rows(width):
    estimate = matrix_renyi_entropy(np.arange(20.0)[:, None], width=width)
    assert estimate.value == pytest.approx(np.log(20))


def test_default_width_is_the_median_distance_and_scales_with_the_rows():
    rows = normal_array(40, 3)
    squares = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    median = float(np.median(np.sqrt(squares[np.triu_indices(40, 1)])))
    expected = matrix_renyi_entropy(rows, width=median).value
    assert matrix_renyi_entropy(rows).value == pytest.approx(expected, abs=1e-11)
    assert matrix_renyi_entropy(1000 * rows).value == pytest.approx(expected, abs=1e-11)
