"""The true values of the tasks against adaptive quadrature, Gauss rules and Monte Carlo."""

import math

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import logsumexp
from torch import nn

from layerbits.calibration import V1, MixtureTask, NetworkTask
from tests.support.answers import gaussian_mixture_information
from tests.support.calibration_tasks import by_name

STANDARD_ERRORS = 5
TASKS = {task.name: task for task in V1}
GRIDS = [
    task for task in V1 if isinstance(task, MixtureTask) and task.centers.shape[1] <= 10 and task.name != "psk8-0.4"
]
CHAINS = [task for task in V1 if isinstance(task, NetworkTask) and task.activation is nn.Tanh]
LINEAR = [task for task in V1 if isinstance(task, NetworkTask) and task.labels is not None and task not in CHAINS]


def axis_information(values, sigma, probabilities):
    """Compute I and the variance of log p(t|x) / p(t) given x, for centers on the line, by adaptive quadrature."""
    offsets = (values - values[:, None]) / sigma

    def integrand(z):
        terms = -logsumexp(offsets * z - offsets**2 / 2, b=probabilities, axis=1)
        return np.array([terms, terms**2]) * stats.norm.pdf(z)

    breaks = np.unique(offsets.clip(-10, 10))
    moments, _ = integrate.quad_vec(integrand, -10, 10, epsabs=1e-12, epsrel=1e-12, norm="max", points=breaks)
    return probabilities @ moments[0], probabilities @ (moments[1] - moments[0] ** 2)


@by_name(GRIDS)
def test_information_of_a_grid_is_the_sum_over_its_axes(task):
    """A normal variable is beyond 10 sigma with probability 2e-23; the adaptive rule is accurate to 1e-12."""
    joint = np.full(len(task.centers), 1 / len(task.centers)) if task.weights is None else task.weights
    axes = {}
    information, variance = 0.0, 0.0
    for column in task.centers.T:
        values, index = np.unique(column, return_inverse=True)
        probabilities = np.bincount(index, joint / joint.sum())
        key = (*values, *probabilities.round(12))
        if key not in axes:
            axes[key] = axis_information(values, task.sigma, probabilities)
        information += axes[key][0]
        variance += axes[key][1]
    truth = task.truths["I(X;T)"]
    assert [truth.value, truth.spread] == pytest.approx([information, math.sqrt(variance)], abs=1e-9)


def legendre(lower, upper, panels):
    """Return nodes and weights of the 20-point rule in each panel."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    edges = np.linspace(lower, upper, panels + 1)
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (1 + nodes)).ravel(), (half * weights).ravel()


def plogp(density):
    return density * np.log(np.maximum(density, 1e-300))


@by_name(CHAINS)
def test_true_values_of_a_chain_agree_with_gauss_legendre(task):
    """Each matrix maps a line along `direction` to a line and removes the noise in other directions.

    The error of the expected values is below 1e-10: half or twice the number of panels changes them by less.
    """
    sigma, direction, density, nodes = task.sigma, None, None, None
    for matrix, bias, next_matrix in zip(task.matrices, task.biases, [*task.matrices[1:], np.eye(1)], strict=True):
        next_direction = np.sign(matrix[:, 0]) / math.sqrt(len(matrix)) if matrix.any() else np.ones(1)
        if nodes is None:
            layer_inputs = task.inputs
        else:
            np.testing.assert_allclose(
                matrix @ (np.eye(len(direction)) - np.outer(direction, direction)), 0, atol=1e-12
            )
            layer_inputs = nodes[:, None] * direction
        signals = np.tanh(layer_inputs @ matrix.T + bias)
        positions = signals @ next_direction
        np.testing.assert_allclose(signals, positions[:, None] * next_direction, atol=1e-12)
        # About 10 nodes in each interval that the next layer stretches to a sigma.
        lower, upper = min(positions) - 10 * sigma, max(positions) + 10 * sigma
        points, weights = legendre(
            lower, upper, math.ceil((upper - lower) / sigma * max(1, np.linalg.norm(next_matrix, 2)) / 2)
        )
        kernel = stats.norm.pdf(points, positions[:, None], sigma)
        density = kernel if density is None else density @ kernel
        nodes, direction, last_weights, density = points, next_direction, weights, density * weights
    density = density / last_weights
    joint = density.mean(0)
    conditional, total = -plogp(density) @ last_weights, -plogp(joint) @ last_weights
    class_terms = [
        (task.labels == label).mean() * (-plogp(density[task.labels == label].mean(0)) @ last_weights)
        for label in set(task.labels)
    ]
    other_units = (len(direction) - 1) / 2 * math.log(2 * math.pi * math.e * sigma**2)
    expected = {
        "I(X;T)": total - conditional.mean(),
        "h(T)": total + other_units,
        "h(T|X)": conditional.mean() + other_units,
        "I(T;Y)": total - sum(class_terms),
        "I(X;T|Y)": sum(class_terms) - conditional.mean(),
    }
    assert {name: truth.value for name, truth in task.truths.items()} == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["psk8-0.4", "linear-plane"])
def test_true_value_in_the_plane_agrees_with_gauss_hermite(name):
    task = TASKS[name]
    if isinstance(task, MixtureTask):
        centers = task.centers / task.sigma
    else:
        a, b = task.matrices
        root = np.linalg.cholesky(task.sigma**2 * (b @ b.T + np.eye(2)))
        centers = np.linalg.solve(root, b @ a @ task.inputs.T).T
    nodes, weights = np.polynomial.hermite_e.hermegauss(150)  # 120 or 180 nodes change the result by less than 1e-10
    noise = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    probabilities = np.outer(weights, weights).ravel() / weights.sum() ** 2
    terms = []
    for center in centers:
        offsets = centers - center
        terms.append(math.log(len(centers)) - logsumexp(noise @ offsets.T - (offsets**2).sum(1) / 2, axis=1))
    means = np.array(terms) @ probabilities
    spread = math.sqrt((((np.array(terms) - means[:, None]) ** 2) @ probabilities).mean())
    truth = task.truths["I(X;T)"]
    assert [truth.value, truth.spread] == pytest.approx([means.mean(), spread], rel=0, abs=1e-9)


@by_name(LINEAR)
def test_true_values_of_a_linear_network_agree_with_monte_carlo(task):
    """Given x, the last layer is N(B x, C) with the product B of the matrices and the covariance C of all noise."""
    mean, covariance = task.inputs.T, 0
    for matrix in task.matrices:
        mean, covariance = matrix @ mean, matrix @ covariance @ matrix.T if np.ndim(covariance) else 0
        covariance = covariance + task.sigma**2 * np.eye(len(matrix))
    for quantity, classes in [("I(X;T)", None), ("I(T;Y)", task.labels)]:
        value, error = gaussian_mixture_information(mean.T, covariance, 50_000, seed=1, classes=classes)
        assert abs(task.truths[quantity].value - value) <= STANDARD_ERRORS * error
    noise = np.linalg.slogdet(2 * math.pi * math.e * covariance)[1] / 2
    assert task.truths["h(T|X)"].value == pytest.approx(noise, abs=1e-9)
    assert task.truths["h(T)"].value == pytest.approx(noise + task.truths["I(X;T)"].value, abs=1e-9)
    parts = task.truths["I(T;Y)"].value + task.truths["I(X;T|Y)"].value
    assert parts == pytest.approx(task.truths["I(X;T)"].value, abs=1e-9)
