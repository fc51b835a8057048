"""The kernel density entropy against its definition, and of densities whose entropy is known."""

import math

import numpy as np
import pytest
from scipy.special import logsumexp

from layerbits.baselines import kde_entropy
from layerbits.kernels import stream


def random(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


def test_value_is_the_best_held_out_density_by_all_pairs():
    rows, folds = random(30, 2), 3
    fold = stream(0, 30).permutation(30) % folds
    squares = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    entropies = []
    for step in 2.0 ** np.arange(-8, 2.25, 0.5):
        bandwidth = step * math.sqrt(rows.var(axis=0).mean()) * 30 ** (-1 / 6)
        kernels = -squares / (2 * bandwidth**2) - math.log(2 * math.pi * bandwidth**2)
        others = np.where(fold[:, None] != fold[None], kernels, -np.inf)
        count = (fold[:, None] != fold[None]).sum(axis=1)
        entropies.append(-np.mean(logsumexp(others, axis=1) - np.log(count)))
    # Exponents reach 1e5 at the smallest bandwidth, but not where the value comes from: some hundred eps.
    assert kde_entropy(rows, folds=folds).value == pytest.approx(min(entropies), abs=1e-11)


@pytest.mark.parametrize("d", [1, 2])
def test_entropy_of_a_gaussian(d):
    """A standard error of sqrt(d / 2n), and the excess of a cross-entropy: of the order of n^(-4/(d+4)), times 1/4 at
    d = 1 (the integrated error of Scott's rule, over the density).
    """
    n = 2000
    allowed = 5 * math.sqrt(d / 2 / n) + 2 * n ** (-4 / (d + 4))
    truth = d / 2 * math.log(2 * math.pi * math.e)
    assert abs(kde_entropy(random(n, d)).value - truth) <= allowed


def test_entropy_moves_with_the_unit_of_length_alone():
    rows = random(60, 3)
    assert kde_entropy(16 * rows).value == pytest.approx(kde_entropy(rows).value + 3 * math.log(16), abs=1e-12)


def test_rows_that_all_coincide_have_no_density():
    assert kde_entropy(np.ones((20, 2))).value == -math.inf


def test_seed_decides_the_parts_and_nothing_else_is_random():
    rows = random(50, 2)
    assert kde_entropy(rows, seed=3) == kde_entropy(rows, seed=3)
    assert kde_entropy(rows, seed=3) != kde_entropy(rows, seed=4)


def test_classes_far_apart_share_log_2():
    """Whichever the parts, the mixture over both classes is half as dense at a row as that of its class, but for parts
    in which classes are not equally many: n = 400 rows in 5 parts make that some 1/sqrt(80) of log 2, times 1/sqrt(5).
    """
    cluster = random(200, 1)
    rows, labels = np.concatenate([cluster, cluster + 10]), np.repeat([0, 1], 200)
    assert kde_entropy(rows, labels=labels).label_information == pytest.approx(math.log(2), abs=0.15)
