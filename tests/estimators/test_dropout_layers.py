"""Layers with DropoutNoise, and layers behind them: true values by quadrature and Monte Carlo, mixed noise, refusals.

Values are compared within 5 standard errors: a correct estimator fails one test in 1.7 million. Intervals have
the level CONFIDENCE, so that a correct estimator fails one test in a million. Seeds are fixed.
"""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp
from torch import nn

import layerbits as lb
from tests.support.answers import entropy, grid, information_of_channel, normal
from tests.support.networks import dense, noisy_identities, tanh_mlp
from tests.support.random_arrays import normal_tensor

STANDARD_ERRORS = 5
CONFIDENCE = 1 - 1e-6

NOISE = lb.DropoutNoise(0.5, 0.2)
# Inputs on the line, one of them 0, and their classes. Copies of inputs add queries and no information about T.
LINE, LABELS, COPIES = np.array([-0.6, 0.0, 0.5, 1.5]), np.array([0, 1, 0, 0]), 50


def line_inputs():
    return torch.from_numpy(LINE.repeat(COPIES))[:, None]


def deviations(signals, noise=NOISE):
    return np.sqrt((noise.alpha * signals) ** 2 + noise.sigma**2)


def axis_around(centers, scales):
    """Return points from 12 standard deviations below the centers to 12 above, in steps of 1 / 16 of the least."""
    reach = 12 * (np.max(scales) - np.min(scales))
    return grid(np.min(centers) - reach, np.max(centers) + reach, np.min(scales))


def assert_near(row, truth):
    assert abs(row.value - truth) <= STANDARD_ERRORS * row.standard_error + 1e-9
    assert row.standard_error < 0.02
    assert row.lower <= row.value <= row.upper


# The first noisy layer


def test_first_layer_has_the_information_and_entropies_of_quadrature():
    scales = deviations(LINE)
    axis = axis_around(LINE, scales)
    densities = normal(axis - LINE[:, None], scales[:, None])
    class_densities = np.array([densities[k == LABELS].mean(0) for k in range(2)])
    information = information_of_channel(densities, axis)
    label_information = information_of_channel(class_densities, axis, np.bincount(LABELS))
    table = lb.layer_information(
        noisy_identities(1, NOISE), line_inputs(), LABELS.repeat(COPIES), queries=200, confidence=CONFIDENCE
    )
    assert_near(table["0", "I(X;T)"], information)
    assert_near(table["0", "I(T;Y)"], label_information)
    assert_near(table["0", "I(X;T|Y)"], information - label_information)
    assert_near(table["0", "h(T)"], entropy(densities.mean(0), axis))
    given_input = table["0", "h(T|X)"]
    assert given_input.lower == given_input.upper == pytest.approx(stats.norm.entropy(scale=scales).mean(), abs=1e-12)
    assert table["0", "I(X;T)"].decoder == "exact"
    assert table["0", "I(X;T)"].flags == ()


def monte_carlo_information(signals, noise, draws, seed):
    """Estimate I(X;T) of signals (n, d) in plain NumPy; return the value and its standard error."""
    generator, scales = np.random.default_rng(seed), deviations(signals, noise)
    inputs = generator.integers(len(signals), size=draws)
    points = signals[inputs] + scales[inputs] * generator.standard_normal((draws, signals.shape[1]))
    log_densities = stats.norm.logpdf(points[:, None], signals, scales).sum(-1)
    terms = log_densities[np.arange(draws), inputs] - logsumexp(log_densities, axis=1) + np.log(len(signals))
    return terms.mean(), terms.std() / np.sqrt(draws)


@pytest.mark.parametrize(("n", "d"), [(30, 3), (6, 40)], ids=["few units", "more units than inputs"])
def test_first_layer_has_the_information_of_plain_monte_carlo(n, d):
    signals, noise = torch.relu(normal_tensor(n, d)) / d**0.5, lb.DropoutNoise(0.7, 0.3)
    truth, error = monte_carlo_information(signals.numpy(), noise, 20_000, seed=1)
    row = lb.layer_information(noisy_identities(1, noise), signals, queries=20_000 // n)["0", "I(X;T)"]
    assert abs(row.value - truth) <= STANDARD_ERRORS * math.hypot(row.standard_error, error)


def test_a_tiny_alpha_gives_the_numbers_of_gaussian_noise():
    """Both networks have the same Z.

    alpha |s| |e| < 1e-10 moves a query, and exponents have slopes below |s_i - s_j| / sigma^2 < 10 / 0.25; five
    coordinates move a term by less than 1e-7.
    """
    inputs, labels = normal_tensor(20, 5), np.arange(20) % 3
    tables = [
        lb.layer_information(noisy_identities(1, noise), inputs, labels) for noise in (lb.DropoutNoise(1e-11, 0.5), 0.5)
    ]
    for row, expected in zip(*tables, strict=True):
        for name in ("value", "standard_error", "lower", "upper"):
            assert getattr(row, name) == pytest.approx(getattr(expected, name), abs=1e-7)


def test_a_tolerance_is_met_by_more_queries():
    row = lb.layer_information(noisy_identities(1, NOISE), line_inputs(), queries=2, tolerance=0.02)["0", "I(X;T)"]
    assert (row.upper - row.lower) / 2 <= 0.02
    assert row.note == ""


def test_the_estimator_of_the_paper_has_the_same_first_layer():
    tables = [
        lb.layer_information(noisy_identities(1, NOISE), line_inputs(), estimator=name) for name in ("draws", "paper")
    ]
    assert [row.value for row in tables[0]] == [row.value for row in tables[1]]


def test_measurements_repeat_and_leave_the_generators_of_torch():
    state = torch.get_rng_state()
    tables = [lb.layer_information(noisy_identities(2, {"0": NOISE, "1": 0.3}), line_inputs(), draws=4) for _ in "ab"]
    first, second = ([dataclasses.replace(row, seconds=0) for row in table] for table in tables)
    assert first == second
    assert torch.equal(torch.get_rng_state(), state)


def test_feature_maps_and_half_precision_are_measured():
    maps = torch.relu(normal_tensor(10, 2, 3, 3)).bfloat16()
    row = lb.layer_information(noisy_identities(1, NOISE), maps)["0", "I(X;T)"]
    flat = lb.layer_information(noisy_identities(1, NOISE), maps.float().flatten(1))["0", "I(X;T)"]
    assert row.flags == ("before_rounding",)
    assert (row.value, row.lower, row.upper) == (flat.value, flat.lower, flat.upper)


# Networks without noise


def test_every_layer_of_a_network_without_noise_is_that_of_its_activations():
    model, inputs = tanh_mlp(4, 3, 3, 2), normal_tensor(40, 4).float()
    table = lb.layer_information(model, inputs, sigma=NOISE, queries=500)
    for layer, activations in lb.layer_activations(model, inputs).items():
        truth, error = monte_carlo_information(activations.double().numpy(), NOISE, 20_000, seed=1)
        row = table[layer, "I(X;T)"]
        assert abs(row.value - truth) <= STANDARD_ERRORS * math.hypot(row.standard_error, error)
        assert row.flags == ("measurement_noise",)


def test_noise_of_layers_may_be_of_both_kinds():
    model, inputs = tanh_mlp(4, 3, 3, 2), normal_tensor(40, 4).float()
    table = lb.layer_information(model, inputs, sigma={"1": NOISE, "3": 0.2})
    dropout, gaussian = (lb.layer_information(model, inputs, sigma=sigma) for sigma in (NOISE, 0.2))
    for row, expected in zip(table, [*dropout.rows[:3], *gaussian.rows[3:]], strict=True):
        assert dataclasses.replace(row, seconds=0) == dataclasses.replace(expected, seconds=0)


# Layers behind DropoutNoise


def scalar_chain(weights, noise):
    """Make a chain of scalar layers T_l = w_l T_(l-1) + noise; noise is by layer."""
    model = nn.Sequential(*(dense(np.full((1, 1), weight)) for weight in weights))
    return lb.noisify(model, sigma={str(layer): value for layer, value in enumerate(noise)}, layers=nn.Linear)


def test_a_gaussian_layer_behind_dropout_has_the_true_information():
    """T_2 = w T_1 + sigma Z given x is N(w s, w^2 v(s) + sigma^2)."""
    scales = np.sqrt((0.8 * deviations(LINE)) ** 2 + 0.3**2)
    axis = axis_around(0.8 * LINE, scales)
    truth = information_of_channel(normal(axis - 0.8 * LINE[:, None], scales[:, None]), axis)
    row = lb.layer_information(scalar_chain([1.0, 0.8], [NOISE, 0.3]), line_inputs(), draws=64, confidence=CONFIDENCE)
    row = row["1", "I(X;T)"]
    assert row.lower <= truth <= row.upper
    assert row.upper - row.lower < 0.5


def test_information_of_dropout_and_the_layer_behind_it():
    """I(T_1;T_2) = h(T_2) - h(sigma Z)."""
    scales = np.sqrt((0.8 * deviations(LINE)) ** 2 + 0.3**2)
    axis = axis_around(0.8 * LINE, scales)
    density = normal(axis - 0.8 * LINE[:, None], scales[:, None]).mean(0)
    truth = entropy(density, axis) - stats.norm.entropy(scale=0.3)
    model = scalar_chain([1.0, 0.8], [NOISE, 0.3])
    estimate = lb.information_between_layers(model, line_inputs(), "0", "1", queries=16, confidence=CONFIDENCE)
    assert estimate.lower <= truth <= estimate.upper
    assert estimate.upper - estimate.lower < 0.21


def test_information_of_two_layers_around_dropout():
    """T_3 given T_1 = t is N(t, alpha^2 t^2 + sigma_2^2 + sigma_3^2)."""
    axis = grid(-4, 6, 0.2)
    first = normal(axis - LINE[:, None], 0.4).mean(0)
    scales = np.sqrt(deviations(axis) ** 2 + 0.3**2)
    step = axis[1] - axis[0]
    last = first @ normal(axis - axis[:, None], scales[:, None]) * step
    truth = entropy(last, axis) - first @ stats.norm.entropy(scale=scales) * step
    model = scalar_chain([1.0, 1.0, 1.0], [0.4, NOISE, 0.3])
    estimate = lb.information_between_layers(model, line_inputs(), "0", "2", draws=64, confidence=CONFIDENCE)
    assert estimate.lower <= truth <= estimate.upper
    assert estimate.upper - estimate.lower < 0.4


# Refusals


class Centered(nn.Module):
    """A module that subtracts the mean of the rows of a pass."""

    def forward(self, x):
        return x - x.mean(0)


def test_rows_that_act_on_one_another_are_refused():
    with pytest.raises(ValueError, match="inputs: got rows that act on one another"):
        lb.layer_information(nn.Sequential(Centered()), line_inputs(), sigma=NOISE, layers="0")


# The monitor


def test_a_monitor_measures_dropout_that_comes_to_lie_behind_noise(tmp_path):
    model = noisy_identities(2, {"0": NOISE, "1": 0.3}, inputs=line_inputs())
    monitor = lb.Monitor(model, line_inputs(), at=[0, 1], directory=tmp_path)
    monitor.step(0)
    lb.noise_of(model)["1"] = NOISE
    row = monitor.step(1)["1", "I(X;T)"]
    assert 0 <= row.lower <= row.value <= row.upper


@pytest.mark.parametrize("sigma", [NOISE, {"1": NOISE, "3": 0.2}, {"1": NOISE, "3": lb.RelativeSigma(0.1)}])
def test_a_monitor_resumes_the_same_noise_and_refuses_other_noise(sigma, tmp_path):
    model, inputs = tanh_mlp(4, 3, 3, 2), normal_tensor(20, 4).float()
    options = {"at": [0], "directory": tmp_path}
    table = lb.Monitor(model, inputs, sigma=sigma, **options).step(0)
    assert lb.Monitor(model, inputs, sigma=sigma, **options).tables[0] == table
    others = [lb.DropoutNoise(0.5, 0.1), lb.DropoutNoise(0.4, 0.2), 0.2]
    for other in others:
        changed = sigma | {"1": other} if isinstance(sigma, dict) else other
        with pytest.raises(lb.UsageError, match=r"sigma: .* was measured with"):
            lb.Monitor(model, inputs, sigma=changed, **options)


def test_a_monitor_measures_while_a_network_with_dropout_trains(tmp_path):
    model = lb.noisify(tanh_mlp(4, 3, 3, 2), sigma={"1": NOISE, "3": 0.3})
    inputs = normal_tensor(20, 4).float()
    monitor = lb.Monitor(model, inputs, at=[0, 1], directory=tmp_path)
    monitor.step(0)
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.zero_()
    # Every signal of the first layer is 0 without weights, and its noise is that of a signal of 0.
    table = monitor.step(1)
    assert table["1", "I(X;T)"].upper < 0.01
    assert table["1", "h(T|X)"].value == pytest.approx(3 * stats.norm.entropy(scale=0.2), abs=1e-12)
