"""KSG where rows coincide, and entropies of rows that lie in a subspace."""

import math

import numpy as np
import pytest
from scipy.special import digamma

from layerbits.baselines import (
    kde_entropy,
    kozachenko_leonenko_entropy,
    ksg_information,
    sliced_ksg_information,
)
from tests.support.random_arrays import normal_array

N = 1000
INPUTS = normal_array(N, 2)
LABELS = np.arange(N) % 2


def label_information(rows):
    return ksg_information(rows, inputs=INPUTS, labels=LABELS).label_information


def test_dead_unit_has_no_information():
    estimate = ksg_information(np.zeros((N, 1)), inputs=INPUTS, labels=LABELS)
    assert estimate.value == pytest.approx(0, abs=1e-12)
    assert estimate.label_information == pytest.approx(0, abs=1e-12)


def test_unit_that_is_saturated_at_the_class_has_its_entropy():
    """digamma(n) - digamma(n/2) = log 2 + O(1/n)."""
    value = label_information(2.0 * LABELS[:, None] - 1)
    assert value == pytest.approx(digamma(N) - digamma(N // 2), abs=1e-12)
    assert value == pytest.approx(math.log(2), abs=1 / N)


@pytest.mark.parametrize("seed", range(5))
def test_independent_relu_has_no_information(seed):
    """The terms are differences of digammas of counts: their mean has a deviation below 1/sqrt(n)."""
    assert abs(label_information(np.maximum(normal_array(N, 1, seed=seed + 10), 0))) < 4 / math.sqrt(N)


def four_values(seed):
    return np.random.default_rng(seed).integers(0, 4, (N, 1)).astype(float)


def test_discrete_rows_have_the_information_of_their_counts():
    values = four_values(0)
    counts = np.bincount(values[:, 0].astype(int))
    expected = digamma(N) - counts @ digamma(counts) / N
    assert ksg_information(values, inputs=values).value == pytest.approx(expected, abs=1e-12)
    assert expected == pytest.approx(math.log(4), abs=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_independent_discrete_rows_have_no_information(seed):
    """2 n times the plug-in is chi-square with 9 degrees of freedom: below 40 except once in 10^5."""
    value = ksg_information(four_values(2 * seed), inputs=four_values(2 * seed + 1)).value
    assert abs(value) < 40 / (2 * N)


def test_mixed_rows_have_the_information_of_their_discrete_part():
    """T is X where X < 0, and 0 or 1 by a coin elsewhere; with Y = [X < 0], I(T;Y) is H(Y) = log 2."""
    inputs = normal_array(N, 1, seed=3)
    coins = np.random.default_rng(0).integers(0, 2, (N, 1))
    rows = np.where(inputs < 0, inputs - 1, coins)
    value = ksg_information(rows, inputs=inputs, labels=(inputs[:, 0] < 0).astype(int)).label_information
    assert value == pytest.approx(math.log(2), abs=0.02)


ENTROPIES = pytest.mark.parametrize("entropy", [kozachenko_leonenko_entropy, kde_entropy])


@ENTROPIES
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_in_a_subspace_have_no_entropy(entropy, dtype):
    places, axes, labels = normal_array(200, 2), normal_array(2, 5, seed=1), np.arange(200) % 2
    estimate = entropy((places @ axes).astype(dtype) + dtype(3), labels=labels)
    assert estimate.value == -math.inf
    assert estimate.note == "the rows lie in a subspace of 2 of 5 dimensions, where they have no density"
    # In the plane the classes have one density.
    assert abs(estimate.label_information) < 0.2
    shifted = ((places + 10 * labels[:, None]) @ axes).astype(dtype)
    assert entropy(shifted, labels=labels).label_information == pytest.approx(math.log(2), abs=0.1)


@ENTROPIES
@pytest.mark.parametrize("seed", range(3))
def test_offset_of_all_rows_adds_no_dimension(entropy, seed):
    """The rounding of the mean row, which all deviations share, is no direction."""
    rows = normal_array(3000, 2, seed=seed) @ normal_array(2, 5, seed=seed + 10) + 100
    assert "subspace of 2 of 5 dimensions" in entropy(rows).note


@ENTROPIES
def test_rows_of_a_density_have_no_note(entropy):
    rows = normal_array(200, 5) * np.array([1, 1, 1, 1, 1e-9])
    assert math.isfinite(entropy(rows).value)
    assert entropy(rows).note == ""


@ENTROPIES
def test_fewer_rows_than_dimensions_have_a_note(entropy):
    estimate = entropy(normal_array(20, 30))
    assert estimate.note == "20 rows span 19 of 30 dimensions, so that the value has no meaning: pass more than 30 rows"


def lattice(random, values, d):
    return random.integers(0, values, (N, d)).astype(float)


def mean_of_seeds(estimate):
    """Return the mean of 10 seeds and a tolerance: 5 standard errors, and the bias below 0.01 of test_neighbours.py."""
    values = [estimate(np.random.default_rng(seed)) for seed in range(10)]
    return np.mean(values), 5 * np.std(values, ddof=1) / math.sqrt(len(values)) + 0.01


@pytest.mark.parametrize(
    ("values", "d", "e"), [(16, 1, 2), (16, 2, 2), (4, 2, 2), (4, 3, 3), (50, 1, 1), (32, 1, 1), (16, 1, 1), (4, 1, 1)]
)
def test_independent_lattices_have_no_information(values, d, e):
    """Many distances tie at the radius of a row; without noise the means are up to 1.06."""
    mean, tolerance = mean_of_seeds(
        lambda random: ksg_information(lattice(random, values, d), inputs=lattice(random, values, e)).value
    )
    assert abs(mean) < tolerance < 0.1


@pytest.mark.parametrize(
    ("values", "d", "classes"), [(4, 4, 10), (2, 8, 10), (16, 2, 10), (16, 3, 10), (16, 2, 2), (256, 1, 10)]
)
def test_lattice_has_no_information_on_independent_classes(values, d, classes):
    mean, tolerance = mean_of_seeds(
        lambda random: (
            ksg_information(
                lattice(random, values, d), inputs=INPUTS, labels=random.integers(0, classes, N)
            ).label_information
        )
    )
    assert abs(mean) < tolerance < 0.1


def test_slices_of_independent_lattices_have_no_information():
    """In one dimension every projection is the lattice."""
    mean, tolerance = mean_of_seeds(
        lambda random: sliced_ksg_information(lattice(random, 50, 1), inputs=lattice(random, 50, 1), slices=2).value
    )
    assert abs(mean) < tolerance < 0.1


@pytest.mark.parametrize("values", [4, 16])
def test_symmetric_channel_has_its_capacity(values):
    """T is X, or with probability 0.7 any value. Up to 0.025 of bias: balls of the likely pairs reach the unlikely."""

    def estimate(random):
        inputs = lattice(random, values, 1)
        return ksg_information(np.where(random.random((N, 1)) < 0.7, lattice(random, values, 1), inputs), inputs=inputs)

    other = 0.7 / values
    truth = math.log(values) + (0.3 + other) * math.log(0.3 + other) + (values - 1) * other * math.log(other)
    mean, tolerance = mean_of_seeds(lambda random: estimate(random).value)
    assert abs(mean - truth) < tolerance + 0.015 < truth / 2


@pytest.mark.parametrize(("scale", "offset"), [(2.0**-40, 0), (2.0**40, 0), (1, 2.0**30)])
def test_scale_and_offset_of_a_lattice_change_no_information(scale, offset):
    """The numbers are exact. An offset of 2^30 would round noise away that is 2^-32 wide."""
    random = np.random.default_rng(0)
    rows, inputs = lattice(random, 50, 1), lattice(random, 50, 1)
    moved = ksg_information(scale * rows + offset, inputs=scale * inputs + offset).value
    assert moved == pytest.approx(ksg_information(rows, inputs=inputs).value, abs=1e-9)


def test_values_that_differ_by_less_than_rounding_count_as_equal():
    """Less their smallest value, -1, the values near 0 are all 1. The tolerance is that of four discrete pairs."""
    rows, inputs = (np.where(normal_array(N, 1, seed=seed) < 0, -1, 1e-20 * normal_array(N, 1)) for seed in (1, 2))
    assert abs(ksg_information(rows, inputs=inputs).value) < 40 / (2 * N)


def test_labels_keep_the_value_of_a_lattice():
    random = np.random.default_rng(0)
    rows, inputs = lattice(random, 50, 1), lattice(random, 50, 1)
    values = [ksg_information(rows, inputs=inputs, labels=labels).value for labels in (None, LABELS, None)]
    assert values[0] == values[1] == values[2]


@ENTROPIES
@pytest.mark.parametrize("labels", [None, LABELS])
def test_coinciding_rows_have_a_note(entropy, labels):
    """The entropy of 500 different rows is about 2.84, of the same rows twice -inf to 2.6."""
    rows = np.repeat(normal_array(N // 2, 2), 2, axis=0)
    expected = "coincide with others, so that they have no density, and a finite value has no meaning"
    assert entropy(rows, labels=labels).note == f"1000 of 1000 rows (1 of all) {expected}"
    rows[6:] = normal_array(N - 6, 2, seed=1)
    assert entropy(rows, labels=labels).note == f"6 of 1000 rows (0.006 of all) {expected}"


@ENTROPIES
def test_note_names_the_subspace_and_the_coinciding_rows(entropy):
    subspace, coinciding = entropy(np.ones((50, 2))).note.split("; ")
    assert subspace.startswith("the rows lie in a subspace of 0 of 2 dimensions")
    assert coinciding.startswith("50 of 50 rows")
