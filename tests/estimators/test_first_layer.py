"""First layers: intervals and values against tables, quadrature and Monte Carlo.

Values are compared within 5 standard errors: a correct estimator fails one test in 1.7 million. Seeds are
fixed.
"""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from layerbits import layer_information, noisify, propagate
from layerbits.estimators.classes import Classes
from layerbits.estimators.first_layer import first_layer_estimates
from layerbits.estimators.layer_sample import LayerSample
from layerbits.kernels import NormalStream
from tests.support.answers import (
    BPSK,
    NEURON_CELLS,
    NEURON_SIGMAS,
    entropy,
    gaussian_mixture_information,
    grid,
    information_in_plane,
    information_of_channel,
    normal,
)
from tests.support.early_ends import allowed_misses, wrong_ends
from tests.support.networks import INPUTS, dense, noisy_identities, tanh_network
from tests.support.random_arrays import normal_tensor

STANDARD_ERRORS = 5

# Each end of an interval may be wrong with probability RISK. Correct ends are wrong too often with probability 1e-6.
RISK = 0.05
ALLOWED = allowed_misses(100, RISK, 1e-6)


def estimates(centers, sigma, *, queries=8, labels=None, loss=0.0, seed=0):
    """Estimate the quantities of centers (n, d)."""
    signals = torch.from_numpy(np.asarray(centers, float))[:, None]
    sample = LayerSample(signals, sigma, queries, loss, noise_entropy=0.0)
    classes = Classes.of(None if labels is None else np.array(labels), len(signals))
    return first_layer_estimates(sample, classes, RISK, NormalStream(seed, 0))


def by_seed(centers, sigma, **options):
    return lambda seed: estimates(centers, sigma, seed=seed, **options)


# Intervals


@pytest.mark.parametrize(("sigma", "queries"), [(0.3, 2), (0.6, 30), (1, 2), (3, 30)])
def test_interval_of_one_bit_contains_the_true_value(sigma, queries):
    assert wrong_ends(by_seed([[-1], [1]], sigma, queries=queries), {"I(X;T)": BPSK[sigma]}, ALLOWED) == {}


def test_interval_of_a_square_grid_contains_the_true_value():
    centers = np.stack(np.meshgrid([-3, -1, 1, 3], [-3, -1, 1, 3]), axis=-1).reshape(-1, 2)
    assert wrong_ends(by_seed(centers, 0.7), {"I(X;T)": information_in_plane(centers, 0.7)}, ALLOWED) == {}


@pytest.mark.parametrize("labels", [[0, 0, 0, 1], [0, 1, 1, 2], [0, 1, 0, 1]])
def test_intervals_of_all_quantities_contain_the_true_values_for_classes_of_any_size(labels):
    centers, sigma = np.array([-0.5, -0.1, 0.2, 0.9]), 0.3
    axis = grid(-1, 1, sigma)
    densities = normal(axis - centers[:, None], sigma)
    sizes = np.bincount(labels)
    class_densities = np.array([densities[np.equal(labels, k)].mean(0) for k in range(len(sizes))])
    information = information_of_channel(densities, axis)
    class_information = information_of_channel(class_densities, axis, sizes)
    noise = math.log(2 * math.pi * math.e * sigma**2) / 2
    truths = {
        "I(X;T)": information,
        "h(T)": entropy(densities.mean(0), axis) - noise,
        "h(T|X)": 0.0,
        "I(T;Y)": class_information,
        "I(X;T|Y)": information - class_information,
    }
    assert wrong_ends(by_seed(centers[:, None], sigma, labels=labels), truths, ALLOWED) == {}


def test_inputs_far_apart_are_certified_by_their_distances():
    """The bound by distances is log n less at most 2 exp(-10^2 / 8) = 7e-6, for two neighbours of each input."""
    interval = estimates(10 * np.arange(16.0)[:, None], 1.0, queries=2)["I(X;T)"].interval
    assert math.log(16) - 1e-5 < interval.lower <= interval.upper == math.log(16)


def test_omitted_dimensions_raise_the_upper_end():
    complete, reduced = (estimates([[-1], [1]], 1.0, loss=loss)["I(X;T)"].interval for loss in (0.0, 0.1))
    assert (reduced.lower, reduced.upper) == (complete.lower, pytest.approx(complete.upper + 0.1))
    assert estimates([[-1], [1]], 1.0, loss=5.0)["I(X;T)"].interval.upper == math.log(2)
    assert estimates([[-1], [1]], 1.0, loss=0.69, queries=200)["I(X;T)"].limited_by == "dimensions"


def test_omitted_dimensions_leave_the_entropy_given_the_input():
    """Given the input the signal is constant in all dimensions, omitted or not."""
    interval = estimates([[-1], [1]], 1.0, loss=0.1)["h(T|X)"].interval
    assert (interval.lower, interval.upper) == (0.0, 0.0)


@pytest.mark.parametrize("labels", [np.zeros(12, int), np.arange(12)], ids=["one class", "class per input"])
def test_single_class_has_no_information_and_class_for_each_input_has_all(labels):
    result = estimates(np.tanh(np.linspace(-1, 1, 12))[:, None], 0.3, labels=labels)
    zero_part, other_part = ("I(T;Y)", "I(X;T|Y)") if labels.max() == 0 else ("I(X;T|Y)", "I(T;Y)")
    interval = result[zero_part].interval
    assert (interval.lower, interval.upper) == (pytest.approx(0, abs=1e-12),) * 2
    assert result[other_part].plug_in == pytest.approx(result["I(X;T)"].plug_in, abs=1e-12)


# Values


@pytest.mark.parametrize(("weight", "sigma", "value"), NEURON_CELLS)
def test_single_neuron_has_the_tabled_information(weight, sigma, value):
    """Copies of every input add queries; I(X;T) is that of the four values, because T depends on them alone."""
    model = nn.Sequential(dense(torch.tensor([[weight]]), bias=-2.0 * weight), nn.Tanh())
    inputs = torch.tensor([[-3.0], [-1], [1], [3]]).double().repeat(100, 1)
    row = layer_information(noisify(model, sigma=sigma, layers="1"), inputs, queries=400)["1", "I(X;T)"]
    assert abs(row.value - value) <= STANDARD_ERRORS * row.standard_error + 1e-4  # the precision of the table


def test_table_of_the_single_neuron_is_complete():
    assert len(NEURON_CELLS) == 6 * len(NEURON_SIGMAS) == 36


def test_first_layer_is_exact_with_one_draw():
    row = layer_information(tanh_network(), INPUTS, draws=1, layers="1")["1", "I(X;T)"]
    means = propagate(tanh_network(), INPUTS, draws=1, layers="1")["1"][:, 0].numpy()
    truth, error = gaussian_mixture_information(means, 0.01 * np.eye(3), 100_000, seed=1)
    assert abs(row.value - truth) <= STANDARD_ERRORS * math.hypot(row.standard_error, error)


def test_number_of_draws_does_not_change_a_first_layer():
    tables = [layer_information(tanh_network(), INPUTS, draws=draws, layers="1") for draws in (1, 32)]
    one_draw, many_draws = ([dataclasses.replace(row, seconds=0) for row in table] for table in tables)
    assert one_draw == many_draws


def test_entropy_given_the_input_is_that_of_the_noise():
    row = layer_information(tanh_network(), INPUTS)["1", "h(T|X)"]
    assert row.value == pytest.approx(3 / 2 * math.log(2 * math.pi * math.e * 0.01), abs=1e-12)


def test_separated_inputs_have_log_n():
    row = layer_information(noisy_identities(1, 1e-3), normal_tensor(50, 2))["0", "I(X;T)"]
    assert (row.value, row.standard_error) == (pytest.approx(math.log(50), abs=1e-9), pytest.approx(0, abs=1e-9))


def test_equal_inputs_have_no_information():
    row = layer_information(tanh_network(), INPUTS[:1].repeat(9, 1))["1", "I(X;T)"]
    assert row.value == pytest.approx(0, abs=1e-12)


def test_labels_have_the_information_of_the_mixtures_of_their_classes():
    means, classes = normal_tensor(12, 2).numpy(), np.arange(12) % 3
    truth, error = gaussian_mixture_information(means, 0.25 * np.eye(2), 200_000, seed=1, classes=classes)
    row = layer_information(noisy_identities(1), means.repeat(30, axis=0), classes.repeat(30), queries=400)
    row = row["0", "I(T;Y)"]
    assert abs(row.value - truth) <= STANDARD_ERRORS * math.hypot(row.standard_error, error)


def test_draws_do_not_limit_the_queries():
    """Standard errors fall as the root of the queries: from 8 to 128 by a factor of 4, up to their own error."""
    few_queries, many_queries = (
        layer_information(tanh_network(), INPUTS, layers="1", draws=1, queries=queries).rows[0] for queries in (8, 128)
    )
    assert 3 < few_queries.standard_error / many_queries.standard_error < 5
