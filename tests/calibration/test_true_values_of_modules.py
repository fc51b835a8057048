"""The true values of V2 against the networks themselves, run on a grid of hidden noise."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from scipy.spatial.distance import cdist

from layerbits.calibration import V2
from layerbits.calibration.tasks import BETWEEN
from tests.support.answers import gaussian_mixture_information, normal
from tests.support.calibration_tasks import by_name

TASKS = {task.name: task for task in V2}
STANDARD_ERRORS = 5
# Tasks with two units, or with random numbers of the network, have their own tests. The grids of two ReLUs would have
# 10^9 cells; these tasks are relu-rare with another weight or other inputs.
OTHERS = {"correlated-linear", "correlated-tanh", "own-flips", "own-flips-rare", "relu-outliers", "relu-rare-of-64"}
SCALAR = [task for task in V2 if task.name not in OTHERS]
# The noise lies within this number of standard deviations, but for 2e-19 of its probability.
REACH = 9


def hidden_signals(task, steps):
    """Return the signals (n, m) of the measured layer and the weights (m,), on an even grid of the noise before it.

    The noise of earlier layers is added by hooks of this test, so that the network shows its own structure.
    """
    axis = np.linspace(-REACH, REACH, steps)
    hidden = [name for name in task.noise if name != task.layer]
    noise = np.array(list(itertools.product(axis, repeat=len(hidden))))
    weights = (stats.norm.pdf(noise) * (axis[1] - axis[0])).prod(1)
    count, signals = len(task.inputs), []
    network, calls = task.build(), {}

    def hook(name):
        def add_noise(_, __, output):
            calls[name] = calls.get(name, 0) + 1
            layer = name if calls[name] == 1 else f"{name}@{calls[name]}"
            if layer == task.layer:
                signals.append(output)
            elif layer in hidden:
                column = torch.tensor(np.tile(noise[:, hidden.index(layer)], count)[:, None])
                return output + deviations(task.noise[layer], output) * column
            return output

        return add_noise

    for name, module in network.named_children():
        module.register_forward_hook(hook(name))
    inputs = task.inputs.astype(float) if task.may_be_refused else task.inputs
    network(torch.tensor(inputs).repeat_interleave(len(noise), 0))
    values = signals[0].double().numpy().reshape(count, -1)
    if isinstance(task.noise[task.layer], float):
        values -= values.mean().round()  # so that the grid of a large offset has no rounding
    return values, weights


def deviations(noise, signals):
    """Return the standard deviations of the noise of signals, which grow with them for a DropoutNoise."""
    if isinstance(noise, float):
        return 0 * signals + noise
    return ((noise.alpha * signals) ** 2 + noise.sigma**2) ** 0.5


def densities(signals, weights, noise, axis):
    """Return densities (n, points) of signals (n, m) plus noise, block by block of the axis, which saves memory."""

    def density(row, block):
        return weights @ normal(block - row[:, None], deviations(noise, row)[:, None])

    blocks = np.array_split(axis, len(axis) // 32)
    return np.array([np.concatenate([density(row, block) for block in blocks]) for row in signals])


def least_deviation(task):
    """Return the smallest standard deviation of the noise of the measured layer."""
    noise = task.noise[task.layer]
    return noise if isinstance(noise, float) else noise.sigma


def entropies(density, step):
    return -(density * np.log(np.maximum(density, 1e-300))).sum(-1) * step


def quantities(task, steps):
    """Compute every quantity of a task with one unit in each layer."""
    signals, weights = hidden_signals(task, steps)
    noise, sigma = task.noise[task.layer], least_deviation(task)
    # Nodes of weights that add up to less than 1e-14 change no entropy of at most 40 nats by 1e-12.
    kept = weights > 1e-14 / len(weights)
    step = sigma / 5  # steps of sigma / 8 change no value by more than 4e-11
    reach = REACH * deviations(noise, signals[:, kept])
    axis = np.arange((signals[:, kept] - reach).min(), (signals[:, kept] + reach).max(), step)
    given_input = densities(signals[:, kept], weights[kept], noise, axis)
    total, conditional = entropies(given_input.mean(0), step), entropies(given_input, step).mean()
    given_class = sum(
        (task.labels == label).mean() * entropies(given_input[task.labels == label].mean(0), step)
        for label in set(task.labels)
    )
    values = {
        "I(X;T)": total - conditional,
        "h(T)": total,
        "h(T|X)": conditional,
        "I(T;Y)": total - given_class,
        "I(X;T|Y)": given_class - conditional,
    }
    if BETWEEN in task.truths:
        given_layer = math.log(2 * math.pi * math.e * sigma**2) / 2
        if task.name == "tied-distant":  # the noise of the second call lies between the two layers
            of_axis = stats.norm.pdf(np.linspace(-REACH, REACH, steps)) * 2 * REACH / (steps - 1)
            rows = densities(signals.reshape(-1, steps), of_axis, noise, axis)
            given_layer = np.tile(of_axis, len(signals)) @ entropies(rows, step) / len(signals)
        values[BETWEEN] = total - given_layer
    return values


def grid_steps(task):
    """Return a number of steps whose signals are less than sigma / 2 apart where the noise has any weight."""
    steps = 41
    while True:
        signals, _ = hidden_signals(task, steps)
        shape = (len(signals), *[steps] * (len(task.noise) - 1))
        apart = max((np.abs(np.diff(signals.reshape(shape), axis=k)).max() for k in range(1, len(shape))), default=0)
        if apart < least_deviation(task) / 2:
            return steps
        steps = 2 * steps - 1


@by_name(SCALAR)
def test_true_values_agree_with_the_network_on_a_grid_of_noise(task):
    """The error falls at least as the square of the step, so half the step changes a value by 3/4 of it.

    The error at a kink has a factor that depends on its place between two nodes. The factor may be near 0 on one grid,
    but not on all of four.
    """
    intervals = grid_steps(task) - 1
    factors = (1, 2, 4, 8) if task.name in ("leaky-relu", "dropout-relu") else (1, 2)
    grids = [quantities(task, factor * intervals + 1) for factor in factors]
    for name, truth in task.truths.items():
        values = [grid[name] for grid in grids]
        error = max(values) - min(values)
        assert error < 1e-4
        assert abs(values[-1] - truth.value) <= truth.error + error + 1e-9, name


def gaussian_entropy(covariance):
    return np.linalg.slogdet(2 * math.pi * math.e * covariance)[1] / 2


def assert_sums(truths, noise):
    """Check the quantities that are sums of others; `noise` is the covariance of the noise of T."""
    assert truths["h(T)"].value == pytest.approx(truths["h(T|X)"].value + truths["I(X;T)"].value, abs=1e-9)
    assert truths["I(X;T)"].value == pytest.approx(truths["I(T;Y)"].value + truths["I(X;T|Y)"].value, abs=1e-9)
    assert truths[BETWEEN].value == pytest.approx(truths["h(T)"].value - gaussian_entropy(noise), abs=1e-9)


def test_linear_units_with_correlated_noise_agree_with_monte_carlo():
    """Given x, T is N(Bx, B C_1 B^T + C_2)."""
    task = TASKS["correlated-linear"]
    matrix = task.build()[1](torch.eye(2, dtype=torch.float64)).numpy().T
    first, second = task.noise.values()
    covariance = matrix @ first @ matrix.T + second
    for quantity, classes in [("I(X;T)", None), ("I(T;Y)", task.labels)]:
        value, error = gaussian_mixture_information(
            task.inputs @ matrix.T, covariance, 200_000, seed=1, classes=classes
        )
        assert abs(task.truths[quantity].value - value) <= STANDARD_ERRORS * error
    assert task.truths["h(T|X)"].value == pytest.approx(gaussian_entropy(covariance), abs=1e-9)
    assert_sums(task.truths, second)


def test_tanh_units_with_correlated_noise_agree_with_monte_carlo():
    """The hidden noise is an even grid with steps of .6 deviations, whose error is exp(-2 pi^2 / .36)."""
    task = TASKS["correlated-tanh"]
    first, second = task.noise.values()
    axis = np.linspace(-REACH, REACH, 31)
    grid = np.array(list(itertools.product(axis, repeat=2)))
    weights = (stats.norm.pdf(grid) * (axis[1] - axis[0])).prod(1)
    grid, weights = grid[weights > 1e-12], weights[weights > 1e-12]
    generator, function = np.random.default_rng(1), task.build()[1]

    def signals(noise):
        hidden = task.inputs[:, None] + noise @ np.linalg.cholesky(first).T
        return function(torch.tensor(hidden.reshape(-1, 2))).numpy().reshape(*hidden.shape)

    whitening = np.linalg.inv(np.linalg.cholesky(second))
    count, queries = len(task.inputs), 2000
    centers = (signals(grid) @ whitening.T).reshape(-1, 2)
    draws = signals(generator.standard_normal((count, queries, 2))) @ whitening.T
    terms = {name: [] for name in ("I(X;T)", "I(T;Y)", "h(T|X)")}
    for index, draw in enumerate(draws):
        noise = generator.standard_normal((queries, 2))
        distances = cdist(draw + noise, centers, "sqeuclidean").reshape(queries, count, -1)
        given_input = np.exp(-distances / 2) @ weights
        own, joint = given_input[:, index], given_input.mean(1)
        terms["I(X;T)"].append(np.log(own / joint))
        terms["I(T;Y)"].append(np.log(given_input[:, task.labels == task.labels[index]].mean(1) / joint))
        terms["h(T|X)"].append(-(noise**2).sum(1) / 2 - np.log(own))
    for name, parts in terms.items():
        value = np.mean(parts) + (gaussian_entropy(second) if name == "h(T|X)" else 0)
        error = math.sqrt(np.var(parts, axis=1).sum() / queries) / count
        assert abs(task.truths[name].value - value) <= STANDARD_ERRORS * error, name
    assert_sums(task.truths, second)


@by_name([TASKS["own-flips"], TASKS["own-flips-rare"]])
def test_flips_of_the_network_agree_with_adaptive_quadrature(task):
    network, count = task.build(), 100_000
    torch.manual_seed(0)
    values = network(torch.tensor(task.inputs).repeat(count, 1)).numpy().reshape(count, -1)
    flipped = values != task.inputs[:, 0]
    assert np.array_equal(values[flipped], np.broadcast_to(-task.inputs[:, 0], values.shape)[flipped])
    probability = 0.1 if task.name == "own-flips" else 0.001
    error = math.sqrt(probability * (1 - probability) / flipped.size)
    assert abs(flipped.mean() - probability) <= STANDARD_ERRORS * error
    sigma, inputs, labels = task.noise["0"], task.inputs[:, 0], task.labels

    def integrands(t):
        given_input = (1 - probability) * stats.norm.pdf(t, inputs, sigma) + probability * stats.norm.pdf(
            t, -inputs, sigma
        )
        parts = [[given_input.mean()], *([given_input[labels == label].mean()] for label in (0, 1)), given_input]
        return np.array([-np.mean(special.xlogy(part, part)) for part in parts])

    breaks = np.sort(np.concatenate([inputs, -inputs]))
    (total, *of_classes, conditional), _ = integrate.quad_vec(integrands, -4, 4, epsabs=1e-11, points=breaks)
    given_class = np.mean(of_classes)  # the classes have two inputs each
    expected = {
        "I(X;T)": total - conditional,
        "h(T)": total,
        "h(T|X)": conditional,
        "I(T;Y)": total - given_class,
        "I(X;T|Y)": given_class - conditional,
    }
    assert {name: truth.value for name, truth in task.truths.items()} == pytest.approx(expected, abs=1e-9)


@by_name(V2)
def test_errors_of_the_true_values_are_small(task):
    """In float64 they are at most 1e-7: below the standard error of any number of queries that a check can take."""
    limit = 2e-4 if task.inputs.dtype == np.float32 and not task.may_be_refused else 1e-7
    assert all(truth.error <= limit for truth in task.truths.values())
