"""The frozen lists of tasks: arrays, names, networks and tabulated values."""

import hashlib
import math

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from torch import nn

from layerbits import noise_of
from layerbits.calibration import BASELINES, V1, V2, V3, MixtureTask, NetworkTask
from layerbits.calibration.tasks.quadrature import separated_truths
from tests.support.answers import BPSK, NEURON, NEURON_SIGMAS, THREE_TO_ONE
from tests.support.calibration_tasks import by_name

TASKS = {task.name: task for task in V1}
MIXTURES = [task for task in V1 if isinstance(task, MixtureTask)]


def arrays_of(task):
    """Return the arrays of a task, in the order of its fields."""
    values = [value for field in vars(task).values() for value in (field if isinstance(field, tuple) else (field,))]
    return [value for value in values if isinstance(value, np.ndarray)]


def test_names_are_unique():
    names = [task.name for task in (*V1, *V2, *V3, *BASELINES)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        (V1, "ff49b123368baaf0abed1f1df46b8d072fa6166769049cb9380534e27ca28e16"),
        (V2, "87cce4f13455d00cb562abc90b462e49731bfbb8f62832e3950d3c154a96483b"),
        (V3, "ca722058e6a0e7cf6894562b5f0ecc3f66969be49d960594896d7e9708d417d2"),
    ],
    ids=["V1", "V2", "V3"],
)
def test_list_is_frozen(tasks, expected):
    """A change would invalidate earlier comparisons; make a new list instead.

    The digest rounds arrays and true values to six decimals. The terms 0.0 and 1e-9 remove the sign of -0, and of
    true values that rounding errors make negative.
    """
    digest = hashlib.sha256()
    for task in tasks:
        for array in arrays_of(task):
            digest.update((array.round(6) + 0.0).tobytes())
        noises = {} if tasks is V1 else task.noise
        noise = " ".join(f"{name} {np.array(sigma)}" for name, sigma in noises.items()) if noises else task.sigma
        for quantity, truth in task.truths.items():
            digest.update(f"{task.name} {noise} {quantity} {truth.value + 1e-9:.6f}".encode())
    assert digest.hexdigest() == expected


def test_arrays_of_every_task_are_read_only():
    for task in (*V1, *V2, *V3):
        arrays = arrays_of(task)
        assert arrays
        for array in arrays:
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 1


def test_tanh_task_builds_a_new_network_whose_last_noisy_layer_is_measured():
    for task in (task for task in V1 if isinstance(task, NetworkTask) and task.activation is nn.Tanh):
        network = task.network()
        assert network is not task.network()
        assert list(noise_of(network))[-1] == task.layer


def test_errors_of_the_true_values_are_at_most_a_billionth_of_a_nat():
    """An estimate with a million queries cannot distinguish errors of 1e-9 from 0."""
    for task in V1:
        assert all(truth.error <= 1e-9 for truth in task.truths.values()), task.name


@pytest.mark.parametrize(("name", "sigma"), [("three-to-one-0.5", 0.5), ("three-to-one-1", 1)])
def test_three_to_one_has_the_tabulated_information(name, sigma):
    assert TASKS[name].truths["I(X;T)"].value == pytest.approx(THREE_TO_ONE[sigma], abs=5.1e-7)


@pytest.mark.parametrize("weight", [0.05, 0.2, 1, 5])
def test_neuron_has_the_tabulated_information(weight):
    task = TASKS[f"neuron-{weight:g}"]
    tabulated = NEURON[weight][NEURON_SIGMAS.index(task.sigma)]
    assert task.truths["I(X;T)"].value == pytest.approx(tabulated, abs=1e-4)  # the precision of the table


def test_gaussian_task_has_less_information_than_a_gaussian_of_its_power():
    task = TASKS["gaussian-3"]
    powers = task.weights @ task.centers**2 / task.weights.sum()
    np.testing.assert_allclose(powers, 1, atol=1e-12)
    assert task.truths["I(X;T)"].value < 1.5 * math.log(2)


@by_name(MIXTURES)
def test_entropies_of_a_mixture_follow_from_information_and_noise_entropy(task):
    noise = task.centers.shape[1] / 2 * math.log(2 * math.pi * math.e * task.sigma**2)
    assert task.truths["h(T|X)"].value == pytest.approx(noise, abs=1e-9)
    assert task.truths["h(T)"].value == pytest.approx(noise + task.truths["I(X;T)"].value, abs=1e-9)


def test_wide_cube_has_the_distances_and_information_of_a_cube():
    task = TASKS["wide-cube"]
    np.testing.assert_allclose(np.sort(pdist(task.centers)), np.sqrt(np.repeat([4, 8, 12], [12, 12, 4])), atol=1e-12)
    assert task.truths["I(X;T)"].value == pytest.approx(3 * BPSK[0.5], abs=3 * 5.1e-7)


@pytest.mark.parametrize("name", ["wide-apart", "linear-wide"])
def test_distances_of_wide_tasks_justify_their_error(name):
    task = TASKS[name]
    signals = task.centers if isinstance(task, MixtureTask) else task.inputs @ task.matrices[0].T
    error = separated_truths(len(signals), pdist(signals).min() / task.sigma)["I(X;T)"].error
    assert task.truths["I(X;T)"].value == math.log(len(signals))
    assert error <= task.truths["I(X;T)"].error


@pytest.mark.parametrize("name", ["equal", "equal-inputs", "dead"])
def test_information_of_equal_signals_is_0(name):
    truths = TASKS[name].truths
    information = [truth.value for quantity, truth in truths.items() if quantity.startswith("I")]
    assert information == pytest.approx([0] * (len(truths) - 2), abs=1e-12)
    assert truths["h(T)"].value == pytest.approx(truths["h(T|X)"].value, abs=1e-12)
