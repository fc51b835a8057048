"""Layers with DropoutNoise behind noise: true values by quadrature, chains, and refusals.

Intervals have the level CONFIDENCE, so that a correct estimator fails one test in a million. Seeds are fixed.
"""

import dataclasses
import functools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import layerbits as lb
from tests.support.answers import entropy, information_of_channel, normal
from tests.support.networks import Jitter, dense, noisy_identities
from tests.support.random_arrays import normal_tensor

CONFIDENCE = 1 - 1e-6
FIRST, SECOND = lb.DropoutNoise(0.4, 0.3), lb.DropoutNoise(0.5, 0.2)
LINE, LABELS, COPIES = np.array([-1.2, -0.3, 0.4, 1.3]), np.array([0, 1, 0, 0]), 30
TANH = {"second": nn.Tanh(), "function": np.tanh}
RELU = {"second": nn.ReLU(), "function": lambda t: np.maximum(t, 0)}


def deviations(signals, noise):
    return np.hypot(noise.alpha * signals, noise.sigma)


def inputs_of(line=LINE):
    return torch.from_numpy(line.repeat(COPIES))[:, None]


def chain(second, noise=(FIRST, SECOND), weight=1.5):
    """Make T_1 = x plus noise and T = second(weight T_1) plus noise; the layers are "0" and "2"."""
    model = nn.Sequential(nn.Identity(), dense(np.full((1, 1), weight)), second)
    return lb.noisify(model, sigma={"0": noise[0], "2": noise[1]}, layers=["0", "2"], inputs=inputs_of())


@functools.cache
def truths_of(function, noise=(FIRST, SECOND), weight=1.5):
    """Compute the quantities of T by sums over even grids of T_1 and T.

    The integrands of ReLU have a kink, where the trapezoidal rule errs by about the square of the step, 2e-5.
    """
    step = 4e-3
    hidden = np.arange(-8, 8, step)
    hidden_densities = normal(hidden - LINE[:, None], deviations(LINE, noise[0])[:, None])
    signals = function(weight * hidden)
    axis = np.arange(-12, 16, 0.02)
    kernel = normal(axis - signals[:, None], deviations(signals, noise[1])[:, None])
    densities = hidden_densities @ kernel * step
    class_densities = np.array([densities[k == LABELS].mean(0) for k in range(2)])
    information = information_of_channel(densities, axis)
    label_information = information_of_channel(class_densities, axis, np.bincount(LABELS))
    marginal = entropy(densities.mean(0), axis)
    return {
        "I(X;T)": information,
        "I(T;Y)": label_information,
        "I(X;T|Y)": information - label_information,
        "h(T)": marginal,
        "h(T|X)": marginal - information,
    }


@pytest.mark.parametrize("layer", [TANH, RELU], ids=["tanh", "relu"])
def test_intervals_contain_the_true_values_and_are_narrow(layer):
    table = lb.layer_information(
        chain(layer["second"]), inputs_of(), LABELS.repeat(COPIES), layers="2", draws=128, confidence=CONFIDENCE
    )
    for quantity, truth in truths_of(layer["function"]).items():
        row = table["2", quantity]
        assert row.lower <= truth <= row.upper, quantity
        assert row.upper - row.lower < (0.25 if quantity.startswith("I") else 0.8), quantity
        assert abs(row.value - truth) <= 5 * row.standard_error, quantity
        is_tail = quantity.startswith("h") and layer is RELU
        assert ("tail_assumed" in row.flags) == is_tail


def test_intervals_of_the_paper_estimator_contain_the_true_values():
    table = lb.layer_information(
        chain(nn.Tanh()), inputs_of(), layers="2", draws=64, estimator="paper", confidence=CONFIDENCE
    )
    truths = truths_of(np.tanh)
    for quantity in ("I(X;T)", "h(T)", "h(T|X)"):
        assert table["2", quantity].lower <= truths[quantity] <= table["2", quantity].upper


def test_dropout_of_a_random_signal_is_measured():
    """S = x + U with U uniform on [0, 1), which the network itself draws; T = S (1 + alpha E) + sigma Z."""
    uniform = (np.arange(4000) + 0.5) / 4000
    axis = np.arange(-8, 10, 0.01)
    signals = LINE[:, None] + uniform
    densities = np.array([normal(axis[:, None] - row, deviations(row, SECOND)).mean(1) for row in signals])
    truth = information_of_channel(densities, axis)
    model = nn.Sequential(Jitter(), nn.Identity())
    row = lb.layer_information(model, inputs_of(), sigma=SECOND, layers="1", draws=64, confidence=CONFIDENCE)
    assert row["1", "I(X;T)"].lower <= truth <= row["1", "I(X;T)"].upper
    assert row["1", "I(X;T)"].upper - row["1", "I(X;T)"].lower < 0.4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_independent_units_have_the_sum_of_their_information(dtype):
    """Inputs are all pairs of values of LINE: the two units are two independent chains."""
    pairs = torch.cartesian_prod(*[torch.from_numpy(LINE)] * 2).to(dtype)
    model = nn.Sequential(nn.Identity(), dense(1.5 * np.eye(2)).to(dtype), nn.Tanh())
    lb.noisify(model, sigma={"0": FIRST, "2": SECOND}, layers=["0", "2"], inputs=pairs)
    table = lb.layer_information(model, pairs.repeat(4, 1), layers="2", draws=64, confidence=CONFIDENCE)
    truths = truths_of(np.tanh)
    for quantity in ("I(X;T)", "h(T)", "h(T|X)"):
        row = table["2", quantity]
        assert row.lower <= 2 * truths[quantity] <= row.upper, quantity
    assert table["2", "I(X;T)"].upper - table["2", "I(X;T)"].lower < 0.8


def test_layers_of_a_chain_lend_their_ends():
    """A second layer that hardly changes T_1 has a wide interval of its own, and the upper end of the first layer."""
    model = lb.noisify(
        nn.Sequential(nn.Identity(), nn.Identity()), sigma=lb.DropoutNoise(0.1, 0.05), layers=nn.Identity
    )
    table = lb.layer_information(model, normal_tensor(200, 6), draws=4)
    first, second = table["0", "I(X;T)"], table["1", "I(X;T)"]
    assert second.upper <= first.upper
    assert second.note.startswith("upper end from '0'")
    assert second.lower <= second.value <= second.upper


def test_a_wide_layer_separates_its_inputs():
    """In 200 units the inputs are tens of deviations apart, so I(X;T) = log N up to rare confusions.

    A log-sum in float32 errs by at most (4 + d/64) eps (1 + |e|), with an exponent e of about d/2 = 100 of the query's
    own draw, and of at most 100 more by its offset: 1.8e-4 nats.
    """
    inputs = 2 * normal_tensor(40, 200).float()
    model = noisy_identities(2, lb.DropoutNoise(0.3, 0.2), inputs=inputs)
    row = lb.layer_information(model, inputs, layers="1", draws=32)["1", "I(X;T)"]
    assert row.flags == ("saturated",)
    assert row.upper == pytest.approx(math.log(40), abs=1.8e-4)


def test_measurements_repeat():
    tables = [lb.layer_information(chain(nn.Tanh()), inputs_of(), draws=8) for _ in "ab"]
    first, second = ([dataclasses.replace(row, seconds=0) for row in table] for table in tables)
    assert first == second


def test_a_tolerance_is_met_by_more_draws():
    row = lb.layer_information(chain(nn.Tanh()), inputs_of(), layers="2", draws=8, tolerance=0.1)["2", "I(X;T)"]
    assert (row.upper - row.lower) / 2 <= 0.1


def test_entropy_given_the_input_of_copies_is_that_of_the_noise():
    """A weight of 0 makes S = tanh(0) = 0, whose noise has the deviation sigma."""
    table = lb.layer_information(chain(nn.Tanh(), weight=0.0), inputs_of(), layers="2", draws=64)
    exact = stats.norm.entropy(scale=SECOND.sigma)
    for quantity in ("h(T)", "h(T|X)"):
        row = table["2", quantity]
        assert row.lower <= exact <= row.upper
        assert row.value == pytest.approx(exact, abs=0.01)
    assert table["2", "I(X;T)"].upper < 0.02


# Refusals


def test_signals_that_do_not_fit_into_memory_are_refused_with_the_remedy():
    inputs = normal_tensor(20, 300)
    model = noisy_identities(2, {"0": 0.3, "1": SECOND}, inputs=inputs)
    needed = 20 * 300 * 32 * 8
    with pytest.raises(ValueError, match=rf"max_memory: got {needed - 1}, wanted at least {needed} .*lower draws"):
        lb.layer_information(model, inputs, layers="1", draws=32, max_memory=needed - 1)
    assert len(lb.layer_information(model, inputs, layers="1", draws=32, max_memory=needed)) == 3


def test_huge_deviations_are_refused():
    model = noisy_identities(2, {"0": 0.3, "1": lb.DropoutNoise(1e150, 0.2)}, inputs=inputs_of())
    with pytest.raises(ValueError, match=r"sigma: got 0.2 with alpha 1e\+150"):
        lb.layer_information(model, inputs_of(), layers="1", draws=4)
