"""Binned entropies against counts by a dictionary."""

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import torch

from layerbits import BaselineEstimate, binned_entropy, binned_information, quantile_edges, szt_edges
from tests.support.random_arrays import normal_array


def entropy(items):
    counts = Counter(items).values()
    return -sum(c / len(items) * math.log(c / len(items)) for c in counts)


def test_zeros_of_a_relu_are_binned_apart_from_positive_activations():
    activations = np.array([[0.0], [-0.0], [0.05], [0.1], [0.10001]])
    assert binned_entropy(activations) == pytest.approx(entropy("aabbc"), abs=1e-15)
    assert binned_entropy(activations, edges=np.array([0.0])) == pytest.approx(entropy("aabbb"), abs=1e-15)


def test_float32_is_binned_without_rounding():
    # float32(0.1) exceeds the edge 0.1, float64(0.1) equals it.
    assert binned_entropy(np.array([[0.1], [0.05]], np.float32)) == pytest.approx(math.log(2))
    assert binned_entropy(np.array([[0.1], [0.05]])) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "d"), [(1, 3), (7, 1), (500, 3), (500, 40)])
def test_entropy_is_that_of_counted_rows(dtype, n, d):
    """A sum of at most 500 terms, whose logarithms and products are rounded, errs by less than 500 * 8 eps."""
    activations = (normal_array(n, d, dtype=dtype) * 0.4 / d).astype(dtype)
    rows = [tuple(math.ceil(float(value) / 0.5) for value in row) for row in activations]
    assert binned_entropy(activations, 0.5) == pytest.approx(entropy(rows), abs=1e-12)


def test_entropy_of_rows_alone_in_their_bins_is_exactly_log_n():
    assert binned_entropy(normal_array(4096, 5), 1e-4) == math.log(4096)


def test_entropy_does_not_depend_on_chunks_of_rows():
    long_rows = np.tile(normal_array(6, 1), (10, 70_000))  # each row is larger than a chunk
    many_rows = np.tile(normal_array(6, 4), (10_000, 1))
    for activations in (long_rows, many_rows):
        assert binned_entropy(activations, 1e-3) == pytest.approx(math.log(6), abs=1e-14)


@pytest.mark.parametrize("size", [1e-9, 1e-2])
def test_many_bins_are_distinguished(size):
    # The outer values lie 10^10 or 10^3 bins apart, which takes 64 or 16 bits; 5 and 5 + 2 size lie two bins apart.
    activations = np.array([[-5.0], [5.0], [5.0 + 2 * size], [5.0 + 2 * size]])
    assert binned_entropy(activations, size) == pytest.approx(entropy("abcc"), abs=1e-15)


def test_tensors_and_arrays_of_any_strides_agree():
    activations = normal_array(60, 8)
    expected = binned_entropy(activations, 0.7)
    assert binned_entropy(torch.from_numpy(activations).requires_grad_(), 0.7) == expected
    assert binned_entropy(np.asfortranarray(activations), 0.7) == expected
    assert binned_entropy(activations[:, ::-1], 0.7) == expected


def test_entropy_does_not_depend_on_the_order_of_rows_and_units():
    activations = normal_array(200, 3)
    shuffled = activations[np.random.default_rng(1).permutation(200)][:, [2, 0, 1]]
    assert binned_entropy(shuffled, 0.8) == pytest.approx(binned_entropy(activations, 0.8), abs=1e-13)


def test_entropy_grows_with_finer_nested_bins():
    activations = normal_array(300, 2)
    entropies = [binned_entropy(activations, 2.0**-k) for k in range(-2, 12)]
    assert entropies == sorted(entropies)


def test_label_information_is_the_information_of_bins_about_labels():
    activations, labels = np.array([[0.0], [0.0], [1.0], [1.0], [2.0], [2.0]]), np.array([3, 3, 7, 7, 3, 7])
    estimate = binned_information(activations, labels=labels)
    # H(Y) = log 2; the bin determines the class for two thirds of the rows and is independent of it for the rest.
    assert estimate.label_information == pytest.approx(2 / 3 * math.log(2), abs=1e-15)
    assert estimate.value == pytest.approx(math.log(3), abs=1e-15)


def test_estimate_names_its_quantity_and_its_bins():
    activations = normal_array(50, 2)
    estimate = binned_information(activations, 0.25)
    assert (estimate.quantity, estimate.estimator, estimate.label_information) == ("H(Bin(T))", "bins of 0.25", None)
    assert estimate.value == binned_entropy(activations, 0.25)
    assert binned_information(activations, edges=szt_edges()).estimator == "30 bins"


def test_bits_are_nats_over_log_2():
    estimate = BaselineEstimate("H(Bin(T))", "bins of 1", math.log(8), math.log(2))
    assert estimate.bits == BaselineEstimate("H(Bin(T))", "bins of 1", math.log(8) / math.log(2), 1.0, "bits")
    assert estimate.bits.bits == estimate.bits


def test_szt_bins_are_thirty_equal_bins_on_the_range_of_tanh():
    edges = szt_edges()
    assert len(edges) == 29
    np.testing.assert_allclose(np.diff(edges), 2 / 30, atol=1e-15)
    midpoints = -1 + (np.arange(30)[:, None] + 0.5) / 15
    assert binned_entropy(midpoints, edges=edges) == math.log(30)
    assert binned_entropy(np.array([[-7.0], [-1.0], [1.0], [7.0]]), edges=edges) == pytest.approx(math.log(2))


def test_quantile_bins_hold_equal_shares_of_the_distinct_activations():
    activations = np.repeat(normal_array(60, 1), 3, axis=0)
    edges = quantile_edges(torch.from_numpy(activations), 6)
    assert np.bincount(np.searchsorted(edges, np.unique(activations))).tolist() == [10] * 6
    assert binned_entropy(activations, edges=edges) == pytest.approx(math.log(6), abs=1e-14)


@pytest.mark.parametrize(
    ("name", "changes", "error"),
    [
        ("activations", {"activations": [[1.0]]}, TypeError),
        ("activations", {"activations": np.ones((3, 2), int)}, TypeError),
        ("activations", {"activations": np.ones(3)}, ValueError),
        ("activations", {"activations": np.ones((0, 3))}, ValueError),
        ("activations", {"activations": np.ones((3, 0))}, ValueError),
        ("activations", {"activations": np.array([[1.0], [np.nan]])}, ValueError),
        ("activations", {"activations": np.array([[1.0], [-np.inf]])}, ValueError),
        ("bin_size", {"bin_size": 0.0}, ValueError),
        ("bin_size", {"bin_size": np.nan}, ValueError),
        ("bin_size", {"bin_size": "0.1"}, TypeError),
        ("bin_size", {"bin_size": 1e-17}, ValueError),
        ("bin_size", {"bin_size": 0.1, "edges": np.zeros(1)}, ValueError),
        ("edges", {"edges": [0.0]}, TypeError),
        ("edges", {"edges": np.zeros((1, 1))}, ValueError),
        ("edges", {"edges": np.array([1.0, 0.0])}, ValueError),
        ("edges", {"edges": np.array([0.0, np.nan])}, ValueError),
        ("labels", {"labels": np.zeros(2, int)}, ValueError),
        ("labels", {"labels": np.full(3, 0.5)}, ValueError),
    ],
)
def test_invalid_argument_is_named(name, changes, error):
    with pytest.raises(error, match=rf"^{name}: got .*wanted"):
        binned_information(**{"activations": np.ones((3, 2))} | changes)


@pytest.mark.parametrize("bins", [0, 1.5])
def test_invalid_number_of_bins_is_named(bins):
    for make_edges in (szt_edges, lambda count: quantile_edges(np.ones((3, 1)), count)):
        with pytest.raises((TypeError, ValueError), match=r"^bins: got"):
            make_edges(bins)


def test_feature_maps_are_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"^activations: got shape \(4, 2, 3, 3\), wanted \(n, d\); .*\.flatten\(1\)"):
        binned_entropy(torch.ones(4, 2, 3, 3))


def test_bin_size_may_be_a_fraction():
    activations = np.array([[0.1], [0.4], [0.9]])
    estimate = binned_information(activations, Fraction(1, 4))
    assert (estimate.value, estimate.estimator) == (math.log(3), "bins of 0.25")
