"""Binned entropies against hand counts, and the one rule of digitisation at its edges."""

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import torch

from layerbits import binned_entropy, binned_information, quantile_edges, szt_edges
from layerbits.geometry import BaselineEstimate
from layerbits.geometry.binning import _digits_between, _even_digits


def entropy(items):
    counts = Counter(items).values()
    return -sum(c / len(items) * math.log(c / len(items)) for c in counts)


def random(n, d, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0.1, 0.07, 1 / 3, 1e-4, 0.5, 3.0])
def test_bins_are_open_below_and_closed_above(dtype, size):
    """Edges are k b as float64 rounds it; compared with values of the dtype as they are."""
    edges = np.arange(-300, 301) * size
    nearest = edges.astype(dtype)
    values = np.concatenate([nearest, np.nextafter(nearest, dtype(-9e9)), np.nextafter(nearest, dtype(9e9))])

    found = _even_digits(values[None], size)(values)

    want = [math.ceil(Fraction(float(value)) / Fraction(size)) for value in values]
    for digit, value, guess in zip(found, values, want, strict=True):
        exact = next(k for k in (guess - 1, guess, guess + 1) if (k - 1) * size < float(value) <= k * size)
        assert digit == exact


@pytest.mark.parametrize("bins", [2, 30, 400])
def test_explicit_edges_are_closed_above_too(bins):
    edges = np.linspace(-1, 1, bins + 1)[1:-1] + 1e-9  # no float32 numbers
    nearest = edges.astype(np.float32)
    values = np.concatenate([nearest, np.nextafter(nearest, np.float32(-2)), np.nextafter(nearest, np.float32(2))])

    found = _digits_between(edges, values.dtype)(values)

    assert found.tolist() == [int((edges < float(value)).sum()) for value in values]


def test_edges_beyond_float32_are_above_all_or_below_all():
    values = np.array([-3e38, 0, 3e38], np.float32)
    assert _digits_between(np.array([-1e300, 1e300]), values.dtype)(values).tolist() == [1, 1, 1]


def test_zeros_of_a_rectifier_have_a_bin_apart_from_what_is_active():
    activations = np.array([[0.0], [-0.0], [0.05], [0.1], [0.10001]])
    assert binned_entropy(activations) == pytest.approx(entropy("aabbc"), abs=1e-15)
    assert binned_entropy(activations, edges=np.array([0.0])) == pytest.approx(entropy("aabbb"), abs=1e-15)


def test_float32_lies_where_its_own_value_lies():
    # float32(0.1) > 0.1 = the edge; float64(0.1) is the edge.
    assert binned_entropy(np.array([[0.1], [0.05]], np.float32)) == pytest.approx(math.log(2))
    assert binned_entropy(np.array([[0.1], [0.05]])) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 7, 500])
@pytest.mark.parametrize("d", [1, 3, 40])
def test_entropy_is_that_of_rows_counted_by_hand(dtype, n, d):
    """A sum of at most 500 terms, each log or product rounded to eps: below 500 * 8 eps."""
    activations = (random(n, d, dtype) * 0.4 / d).astype(dtype)
    rows = [tuple(math.ceil(float(value) / 0.5) for value in row) for row in activations]
    assert binned_entropy(activations, 0.5) == pytest.approx(entropy(rows), abs=1e-12)


def test_rows_of_their_own_have_log_n_exactly():
    assert binned_entropy(random(4096, 5), 1e-4) == math.log(4096)


def test_chunks_of_rows_change_nothing():
    wide = np.tile(random(6, 1), (50, 70_000 // 50))  # each row larger than a piece that is digitised at once
    many = np.tile(random(6, 4), (40_000, 1))
    assert binned_entropy(wide, 1e-3) == pytest.approx(math.log(6), abs=1e-14)
    assert binned_entropy(many, 1e-3) == pytest.approx(math.log(6), abs=1e-14)


@pytest.mark.parametrize("size", [1e-9, 1e-2])
def test_many_bins_are_told_apart(size):
    # Some 10^10 bins apart and neighbours; more than 8, 16 or 32 bits of bins.
    activations = np.array([[-5.0], [5.0], [5.0 + 2 * size], [5.0 + 2 * size]])
    assert binned_entropy(activations, size) == pytest.approx(entropy("abcc"), abs=1e-15)


def test_tensors_and_arrays_of_any_strides_agree():
    activations = random(60, 8)
    want = binned_entropy(activations, 0.7)
    assert binned_entropy(torch.from_numpy(activations).requires_grad_(), 0.7) == want
    assert binned_entropy(np.asfortranarray(activations), 0.7) == want
    assert binned_entropy(activations[:, ::-1], 0.7) == want


def test_order_of_rows_and_units_changes_nothing():
    activations = random(200, 3)
    shuffled = activations[np.random.default_rng(1).permutation(200)][:, [2, 0, 1]]
    assert binned_entropy(shuffled, 0.8) == pytest.approx(binned_entropy(activations, 0.8), abs=1e-13)


def test_finer_nested_bins_never_lose_entropy():
    activations = random(300, 2)
    entropies = [binned_entropy(activations, 2.0**-k) for k in range(-2, 12)]
    assert entropies == sorted(entropies)


def test_label_information_is_what_labels_tell_of_bins():
    activations, labels = np.array([[0.0], [0.0], [1.0], [1.0], [2.0], [2.0]]), np.array([3, 3, 7, 7, 3, 7])
    found = binned_information(activations, labels=labels)
    # H(Y) = log 2; two thirds of the rows know their class, the rest nothing of it.
    assert found.label_information == pytest.approx(2 / 3 * math.log(2), abs=1e-15)
    assert found.value == pytest.approx(math.log(3), abs=1e-15)


def test_result_is_labelled_for_what_it_is():
    activations = random(50, 2)
    found = binned_information(activations, 0.25)
    assert (found.quantity, found.estimator, found.label_information) == ("H(Bin(T))", "bins of 0.25", None)
    assert found.value == binned_entropy(activations, 0.25)
    assert binned_information(activations, edges=szt_edges()).estimator == "30 bins"


def test_bits_are_nats_over_log_2():
    estimate = BaselineEstimate("H(Bin(T))", "bins of 1", math.log(8), math.log(2))
    assert estimate.bits == BaselineEstimate("H(Bin(T))", "bins of 1", math.log(8) / math.log(2), 1.0, "bits")
    assert estimate.bits.bits == estimate.bits


def test_szt_bins_are_thirty_equal_ones_on_the_range_of_tanh():
    edges = szt_edges()
    assert len(edges) == 29
    np.testing.assert_allclose(np.diff(edges), 2 / 30, atol=1e-15)
    # A value in the middle of each, and some beyond: every bin is met, and the outer ones hold what is beyond.
    middles = -1 + (np.arange(30)[:, None] + 0.5) / 15
    assert binned_entropy(middles, edges=edges) == math.log(30)
    assert binned_entropy(np.array([[-7.0], [-1.0], [1.0], [7.0]]), edges=edges) == pytest.approx(math.log(2))


def test_quantile_bins_hold_equal_shares_of_the_different_activations():
    activations = np.repeat(random(60, 1), 3, axis=0)
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
        ("labels", {"labels": np.zeros(3)}, TypeError),
    ],
)
def test_bad_argument_is_refused_by_name(name, changes, error):
    with pytest.raises(error, match=rf"^{name}: got .*wanted"):
        binned_information(**{"activations": np.ones((3, 2))} | changes)


@pytest.mark.parametrize("bins", [0, 1.5])
def test_number_of_bins_that_is_none_is_refused(bins):
    for call in (szt_edges, lambda count: quantile_edges(np.ones((3, 1)), count)):
        with pytest.raises((TypeError, ValueError), match=r"^bins: got"):
            call(bins)


def test_maps_of_a_convolution_are_refused_with_what_to_do():
    with pytest.raises(ValueError, match=r"^activations: got shape \(4, 2, 3, 3\), wanted \(n, d\) .*\.flatten\(1\)"):
        binned_entropy(torch.ones(4, 2, 3, 3))
