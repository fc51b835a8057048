"""The kernel density entropy against its definition and closed forms."""

import math

import numpy as np
import pytest
from scipy.special import logsumexp

from layerbits.baselines import kde_entropy
from layerbits.kernels import RandomStream, stream
from tests.support.random_arrays import normal_array


def test_value_is_the_smallest_cross_entropy_of_the_bandwidths():
    rows, folds = normal_array(30, 2), 3
    fold = stream(0, RandomStream.FOLDS, 30).permutation(30) % folds
    squares = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    entropies = []
    for factor in 2.0 ** np.arange(-8, 2.25, 0.5):
        bandwidth = factor * math.sqrt(rows.var(axis=0).mean()) * 30 ** (-1 / 6)
        kernels = -squares / (2 * bandwidth**2) - math.log(2 * math.pi * bandwidth**2)
        in_other_fold = fold[:, None] != fold[None]
        log_sums = logsumexp(np.where(in_other_fold, kernels, -np.inf), axis=1)
        entropies.append(-np.mean(log_sums - np.log(in_other_fold.sum(axis=1))))
    # Exponents reach 1e5 only at the smallest bandwidth, which is not the best. At the best, rounding is some 100 eps.
    assert kde_entropy(rows, folds=folds).value == pytest.approx(min(entropies), abs=1e-11)


@pytest.mark.parametrize("d", [1, 2])
def test_entropy_of_a_gaussian(d):
    """The tolerance is 5 standard errors sqrt(d / 2n) plus the bias of a cross-entropy, at most 2 n^(-4/(d+4)).

    The bias is of the order n^(-4/(d+4)), with the factor 1/4 at d = 1: the integrated error of Scott's rule over the
    density.
    """
    n = 2000
    tolerance = 5 * math.sqrt(d / 2 / n) + 2 * n ** (-4 / (d + 4))
    truth = d / 2 * math.log(2 * math.pi * math.e)
    assert abs(kde_entropy(normal_array(n, d)).value - truth) <= tolerance


def test_scaling_adds_d_log_scale_to_the_entropy():
    rows = normal_array(60, 3)
    assert kde_entropy(16 * rows).value == pytest.approx(kde_entropy(rows).value + 3 * math.log(16), abs=1e-12)


@pytest.mark.parametrize("value", [1.0, 0.3])  # the mean of 30 times 0.3 is rounded
def test_entropy_of_coinciding_rows_is_minus_infinity(value):
    assert kde_entropy(np.full((30, 1), value)).value == -math.inf


def test_seed_determines_the_estimate():
    rows = normal_array(50, 2)
    assert kde_entropy(rows, seed=3) == kde_entropy(rows, seed=3)
    assert kde_entropy(rows, seed=3) != kde_entropy(rows, seed=4)


def test_label_information_of_two_separate_classes_is_log_2():
    """The density of all rows is half the density of a row's class, if both classes have as many rows in every fold.

    The classes of a fold may differ in size: with 400 rows in 5 folds this changes log 2 by about 1/sqrt(80 * 5) =
    0.05. The tolerance is three times as large.
    """
    cluster = normal_array(200, 1)
    rows, labels = np.concatenate([cluster, cluster + 10]), np.repeat([0, 1], 200)
    assert kde_entropy(rows, labels=labels).label_information == pytest.approx(math.log(2), abs=0.15)
