"""The truths against published values, adaptive quadrature, Gauss-Legendre and Gauss-Hermite rules, and Monte Carlo."""

import hashlib
import math

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.spatial.distance import pdist
from scipy.special import logsumexp
from torch import nn

from layerbits.calibration import V1, MixtureTask, NetworkTask, line_channel, leaky_relu_channel, quadrature_truths
from layerbits.calibration.tasks.quadrature import told_apart
from tests.support.answers import BPSK, NEURON, NEURON_SIGMAS, THREE_TO_ONE, gaussian_mixture_information

Z = 5
TASKS = {task.name: task for task in V1}
GRIDS = [
    task for task in V1 if isinstance(task, MixtureTask) and task.centers.shape[1] <= 10 and task.name != "psk8-0.4"
]
CHAINS = [task for task in V1 if isinstance(task, NetworkTask) and task.activation is nn.Tanh]
LINEAR = [task for task in V1 if isinstance(task, NetworkTask) and task.labels is not None and task not in CHAINS]


def named(tasks):
    return pytest.mark.parametrize("task", tasks, ids=[task.name for task in tasks])


def test_names_differ():
    assert len(TASKS) == len(V1)


def test_list_is_frozen():
    """A change here changes results that were compared: make a new list instead. To 6 digits."""
    digest = hashlib.sha256()
    for task in V1:
        parts = [value for field in vars(task).values() for value in (field if isinstance(field, tuple) else (field,))]
        for array in (part for part in parts if isinstance(part, np.ndarray)):
            digest.update((array.round(6) + 0.0).tobytes())
        for quantity, truth in task.truths.items():
            digest.update(f"{task.name} {task.sigma} {quantity} {truth.value + 1e-9:.6f}".encode())
    assert digest.hexdigest() == "ff49b123368baaf0abed1f1df46b8d072fa6166769049cb9380534e27ca28e16"


@named(V1)
def test_arrays_are_read_only(task):
    array = task.centers if isinstance(task, MixtureTask) else task.matrices[0]
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


@named(CHAINS)
def test_networks_are_new_and_have_the_layer(task):
    first, second = task.network(), task.network()
    assert first is not second
    assert first.layer_names[-1] == task.layer


@named(V1)
def test_truths_are_known_well(task):
    """So well that no estimate of a million queries tells them from exact ones."""
    assert all(truth.error <= 1e-9 for truth in task.truths.values())


# Published values


@pytest.mark.parametrize(("sigma", "value"), BPSK.items())
def test_bpsk_has_the_published_information(sigma, value):
    truth = quadrature_truths(line_channel([-1, 1], sigma))["I(X;T)"]
    assert truth.value == pytest.approx(value, abs=5.1e-7)  # six digits are given


@pytest.mark.parametrize(("name", "sigma"), [("three-to-one-0.5", 0.5), ("three-to-one-1", 1)])
def test_three_to_one_has_the_published_information(name, sigma):
    assert TASKS[name].truths["I(X;T)"].value == pytest.approx(THREE_TO_ONE[sigma], abs=5.1e-7)


@pytest.mark.parametrize("weight", [0.05, 0.2, 1, 5])
def test_neuron_has_the_published_information(weight):
    task = TASKS[f"neuron-{weight:g}"]
    published = NEURON[weight][NEURON_SIGMAS.index(task.sigma)]
    assert task.truths["I(X;T)"].value == pytest.approx(published, abs=1e-4)  # to which the table is given


def test_gaussian_input_has_the_most_information_of_its_power():
    task = TASKS["gaussian-3"]
    powers = task.weights @ task.centers**2 / task.weights.sum()
    np.testing.assert_allclose(powers, 1, atol=1e-12)
    assert task.truths["I(X;T)"].value < 1.5 * math.log(2)


@named([task for task in V1 if isinstance(task, MixtureTask)])
def test_entropies_of_a_mixture_are_its_information_and_its_noise(task):
    noise = task.centers.shape[1] / 2 * math.log(2 * math.pi * math.e * task.sigma**2)
    assert task.truths["h(T|X)"].value == pytest.approx(noise, abs=1e-9)
    assert task.truths["h(T)"].value == pytest.approx(noise + task.truths["I(X;T)"].value, abs=1e-9)


def test_weights_are_repeated_inputs():
    weighted = quadrature_truths(line_channel([0, 1, 3], 1), weights=np.array([2.0, 1, 1]), labels=np.array([0, 1, 0]))
    repeated = quadrature_truths(line_channel([0, 0, 1, 3], 1), labels=np.array([0, 0, 1, 0]))
    for name, truth in weighted.items():
        assert [truth.value, truth.spread] == pytest.approx([repeated[name].value, repeated[name].spread], nan_ok=True)


# Independent integration


def information_by_adaptive_quadrature(values, sigma, mass):
    """I, and the standard deviation of log p(t|x) / p(t) given x, of centers on the line."""
    moments = []
    for value in values:
        offsets = (values - value) / sigma

        def moment(z, power, offsets=offsets):
            return (-logsumexp(offsets * z - offsets**2 / 2, b=mass)) ** power * stats.norm.pdf(z)

        breaks = np.unique(np.clip(offsets, -10, 10))
        options = {"points": breaks, "limit": 500, "epsabs": 1e-12, "epsrel": 1e-12}
        moments.append([integrate.quad(moment, -10, 10, args=(power,), **options)[0] for power in (1, 2)])
    first, second = np.transpose(moments)
    return mass @ first, math.sqrt(mass @ (second - first**2))


@named(GRIDS)
def test_information_of_a_grid_is_that_of_its_axes(task):
    """Beyond 10 sigma the mass is 2e-23; the adaptive rule is asked for 1e-12 an axis and center."""
    joint = np.full(len(task.centers), 1 / len(task.centers)) if task.weights is None else task.weights
    found = [0.0, 0.0]
    for axis in task.centers.T:
        values, index = np.unique(axis, return_inverse=True)
        one, spread = information_by_adaptive_quadrature(values, task.sigma, np.bincount(index, joint / joint.sum()))
        found = [found[0] + one, math.hypot(found[1], spread)]
    truth = task.truths["I(X;T)"]
    assert [truth.value, truth.spread] == pytest.approx(found, abs=1e-9)


def legendre(low, high, panels):
    """Nodes and weights of the 20-point rule in each of so many panels."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    edges = np.linspace(low, high, panels + 1)
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (1 + nodes)).ravel(), (half * weights).ravel()


def plogp(density):
    return density * np.log(np.maximum(density, 1e-300))


@named(CHAINS)
def test_truth_of_a_chain_is_that_of_gauss_legendre(task):
    """From the matrices alone: each maps one line, along `direction`, onto one line, and no noise beside it gets on.

    Both rules lie below 1e-10; halving or doubling the panels here changes nothing of that size.
    """
    sigma, direction, density, nodes = task.sigma, None, None, None
    for matrix, bias, after in zip(task.matrices, task.biases, [*task.matrices[1:], np.eye(1)], strict=True):
        onto = np.sign(matrix[:, 0]) / math.sqrt(len(matrix)) if matrix.any() else np.ones(1)
        if nodes is None:
            inside = task.inputs
        else:
            np.testing.assert_allclose(
                matrix @ (np.eye(len(direction)) - np.outer(direction, direction)), 0, atol=1e-12
            )
            inside = nodes[:, None] * direction
        signals = np.tanh(inside @ matrix.T + bias)
        along = signals @ onto
        np.testing.assert_allclose(signals, along[:, None] * onto, atol=1e-12)
        # Some 10 nodes in what the next layer stretches to a sigma.
        low, high = min(along) - 10 * sigma, max(along) + 10 * sigma
        points, weights = legendre(low, high, math.ceil((high - low) / sigma * max(1, np.linalg.norm(after, 2)) / 2))
        kernel = stats.norm.pdf(points, along[:, None], sigma)
        density = kernel if density is None else density @ kernel
        nodes, direction, last, density = points, onto, weights, density * weights
    density = density / last
    joint = density.mean(0)
    given, total = -plogp(density) @ last, -plogp(joint) @ last
    of_class = [
        (task.labels == label).mean() * (-plogp(density[task.labels == label].mean(0)) @ last)
        for label in set(task.labels)
    ]
    beside = (len(direction) - 1) / 2 * math.log(2 * math.pi * math.e * sigma**2)
    wanted = {
        "I(X;T)": total - given.mean(),
        "h(T)": total + beside,
        "h(T|X)": given.mean() + beside,
        "I(T;Y)": total - sum(of_class),
        "I(X;T|Y)": sum(of_class) - given.mean(),
    }
    assert {name: truth.value for name, truth in task.truths.items()} == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("name", ["psk8-0.4", "linear-plane"])
def test_truth_in_the_plane_is_that_of_gauss_hermite(name):
    task = TASKS[name]
    if isinstance(task, MixtureTask):
        centers = task.centers / task.sigma
    else:
        first, second = task.matrices
        root = np.linalg.cholesky(task.sigma**2 * (second @ second.T + np.eye(2)))
        centers = np.linalg.solve(root, second @ first @ task.inputs.T).T
    nodes, weights = np.polynomial.hermite_e.hermegauss(150)
    noise = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    mass = np.outer(weights, weights).ravel() / weights.sum() ** 2
    terms = []
    for center in centers:
        offsets = centers - center
        terms.append(math.log(len(centers)) - logsumexp(noise @ offsets.T - (offsets**2).sum(1) / 2, axis=1))
    means = np.array(terms) @ mass
    spread = math.sqrt((((np.array(terms) - means[:, None]) ** 2) @ mass).mean())
    truth = task.truths["I(X;T)"]
    assert [truth.value, truth.spread] == pytest.approx([means.mean(), spread], abs=1e-6)


@named(LINEAR)
def test_truth_of_a_linear_network_is_that_of_monte_carlo(task):
    """Given x, the last layer is N(B x, C), with B the product of the matrices and C the noise that came together."""
    mean, covariance = task.inputs.T, 0
    for matrix in task.matrices:
        mean, covariance = matrix @ mean, matrix @ covariance @ matrix.T if np.ndim(covariance) else 0
        covariance = covariance + task.sigma**2 * np.eye(len(matrix))
    for quantity, classes in [("I(X;T)", None), ("I(T;Y)", task.labels)]:
        value, error = gaussian_mixture_information(mean.T, covariance, 200_000, seed=1, classes=classes)
        assert abs(task.truths[quantity].value - value) <= Z * error
    given = np.linalg.slogdet(2 * math.pi * math.e * covariance)[1] / 2
    assert task.truths["h(T|X)"].value == pytest.approx(given, abs=1e-9)
    assert task.truths["h(T)"].value == pytest.approx(given + task.truths["I(X;T)"].value, abs=1e-9)
    parts = task.truths["I(T;Y)"].value + task.truths["I(X;T|Y)"].value
    assert parts == pytest.approx(task.truths["I(X;T)"].value, abs=1e-9)


# Wide ones, and ends


def test_wide_cube_is_a_cube():
    task = TASKS["wide-cube"]
    np.testing.assert_allclose(np.sort(pdist(task.centers)), np.sqrt(np.repeat([4, 8, 12], [12, 12, 4])), atol=1e-12)
    assert task.truths["I(X;T)"].value == pytest.approx(3 * BPSK[0.5], abs=3 * 5.1e-7)


@pytest.mark.parametrize("gap", [4, 5, 6, 7])
def test_points_apart_lack_less_than_the_bound(gap):
    exact, bound = quadrature_truths(line_channel([0, gap], 1))["I(X;T)"].value, told_apart(2, gap)["I(X;T)"]
    assert exact < bound.value <= exact + bound.error


@pytest.mark.parametrize("name", ["wide-apart", "linear-wide"])
def test_points_of_wide_tasks_lie_as_far_apart_as_their_truth_says(name):
    task = TASKS[name]
    signals = task.centers if isinstance(task, MixtureTask) else task.inputs @ task.matrices[0].T
    missing = told_apart(len(signals), pdist(signals).min() / task.sigma)["I(X;T)"].error
    assert task.truths["I(X;T)"].value == math.log(len(signals))
    assert missing <= task.truths["I(X;T)"].error


@pytest.mark.parametrize("name", ["equal", "equal-inputs", "dead"])
def test_nothing_is_known_of_inputs_that_come_out_equal(name):
    truths = TASKS[name].truths
    assert [truths[name].value for name in truths if name.startswith("I")] == pytest.approx(
        [0] * (len(truths) - 2), abs=1e-12
    )
    assert truths["h(T)"].value == pytest.approx(truths["h(T|X)"].value, abs=1e-12)


# A leaky ReLU behind noise


def test_leaky_relu_without_a_kink_is_linear():
    signals, weight, sigma = np.array([-1.0, 0.2, 1.0]), -1.5, 0.4
    found = quadrature_truths(leaky_relu_channel(signals, weight, 0.3, 1.0, sigma))
    known = quadrature_truths(line_channel(weight * signals, sigma * math.hypot(1, weight)))
    assert {name: truth.value for name, truth in found.items()} == pytest.approx(
        {name: truth.value for name, truth in known.items()}, abs=1e-10
    )


@pytest.mark.parametrize(("weight", "bias"), [(-1.0, 0.0), (2.0, 0.3), (-0.2, 0.2), (0.0, 0.0), (0.0, -1.0)])
def test_leaky_relu_agrees_with_an_integral_over_either_side_of_its_kink(weight, bias):
    signals, slope, sigma = np.array([-0.5, 0.0, 0.3]), 0.1, 0.3
    nodes, masses = np.polynomial.legendre.leggauss(200)
    line = np.linspace(-6, 6, 6001)
    density = np.zeros((3, line.size))
    for row, signal in enumerate(signals):
        # Pieces of the noise in deviations, cut where U is 0.
        cut = -(weight * signal + bias) / (weight * sigma) if weight else 0.0
        for low, high in ((-12, np.clip(cut, -12, 12)), (np.clip(cut, -12, 12), 12)):
            z = (low + high) / 2 + (high - low) / 2 * nodes
            u = weight * (signal + sigma * z) + bias
            mass = (high - low) / 2 * masses * stats.norm.pdf(z)
            density[row] += mass @ stats.norm.pdf(line, np.maximum(u, slope * u)[:, None], sigma)
    pooled = density.mean(0)
    terms = density * (np.log(density + 1e-300) - np.log(pooled + 1e-300))
    known = terms.sum(1).mean() * (line[1] - line[0])
    truth = quadrature_truths(leaky_relu_channel(signals, weight, bias, slope, sigma))["I(X;T)"]
    assert truth.value == pytest.approx(known, abs=1e-9)  # of rounding, in sums of 6001 terms and 200 nodes
    assert truth.error < 1e-9
