"""The experiment leaky-relu-pair: both neurons compress, and the intervals contain the values of the quadrature."""

import math

import numpy as np
import pytest

from layerbits import noise_off
from layerbits._base import UsageError
from layerbits.experiments.framework.tables import read_table
from layerbits.experiments.scalar.leaky_relu_pair import TASK, LeakyReluPairSettings
from layerbits.experiments.scalar.training import Neuron
from layerbits.training import read_information, read_training

LAYERS = ("neuron1", "neuron2")
# A step with momentum 0.8 moves five times as far: 1500 steps correspond to 7500 of the 20,000 steps of a quick run.
SMALL = {
    "momentum": 0.8, "epochs": 1500, "evaluations": 16, "measurements": 12, "tolerance": 0.05, "shown_epochs": (1, 1500)
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(quick_run):
    return quick_run("leaky-relu-pair", **SMALL)


def intervals(folder, layer):
    return [table[layer, "I(X;T)"] for table in read_information(folder / "information.csv").values()]


def true_values(folder, layer):
    return [neuron.truth for neuron in read_table(folder / "neurons.csv", Neuron) if neuron.layer == layer]


def test_initial_parameters_and_signals_are_those_of_the_public_code():
    config = LeakyReluPairSettings()
    noisy = TASK.network([config.start[:2], config.start[2:]], config.sigma)
    assert [parameter.item() for parameter in noisy.parameters()] == [0.0, 4.5, -1.0, 0.0]
    with noise_off(noisy):
        signals = noisy(TASK.data()[0])
    # The first neuron has the signal 4.5, the second neuron a tenth of -4.5.
    np.testing.assert_allclose(signals.detach().numpy(), -0.45, rtol=1e-14)


def test_run_writes_all_its_files(folder):
    names = {path.name for path in folder.glob("[!.]*")}
    tables = {"run.json", "training.csv", "information.csv", "information.json", "neurons.csv"}
    assert names == tables | {"checkpoints", "leaky-relu-pair.png"}


@pytest.mark.parametrize("layer", LAYERS)
def test_intervals_contain_the_true_value(folder, layer):
    rows, truths = intervals(folder, layer), true_values(folder, layer)
    is_correct = [row.lower - 1e-9 <= truth <= row.upper + 1e-9 for row, truth in zip(rows, truths, strict=True)]
    assert len(is_correct) == 12
    # The chance that 6 or more of 12 intervals of 95 % are wrong is 1e-5.
    assert is_correct.count(False) < 6


def test_first_neuron_separates_all_inputs_before_it_compresses(folder):
    rows, truths = intervals(folder, "neuron1"), true_values(folder, "neuron1")
    assert rows[0].upper < 0.2  # the weight starts at 0, which gives no information
    assert max(row.lower for row in rows) > math.log(8) - 1e-3  # neighbours are at least 0.36 apart, 7 sigmas
    # The four inputs beyond the kink are less than 2 sigmas apart at the end, which costs more than 0.2 nats.
    assert rows[-1].upper < math.log(8) - 0.2
    assert max(truths) - truths[-1] > 0.25


def test_second_neuron_compresses_to_two_clusters(folder):
    rows, truths = intervals(folder, "neuron2"), true_values(folder, "neuron2")
    assert rows[0].lower == 0
    # The inputs 5 to 8 are up to 0.1 apart at the peak and 0.02 at the end: the fall is more than a tenth of a nat.
    assert max(row.lower for row in rows) > rows[-1].upper
    # Two clusters, 5 sigmas apart, have log 2; each has a width of sigma / 2 because of the flat sides.
    assert math.log(2) < truths[-1] < math.log(2) + 0.125
    assert read_training(folder / "training.csv")[-1].accuracy > 0.9


def test_no_input_is_on_the_flat_side_of_both_neurons(folder):
    """Each activation function is flat on one side; the two neurons compress different inputs."""
    final = read_table(folder / "neurons.csv", Neuron)[-2:]
    (weight1, bias1), (weight2, bias2) = ((neuron.weight, neuron.bias) for neuron in final)
    first_linear = weight1 * np.array(TASK.inputs) + bias1
    second_linear = weight2 * np.maximum(first_linear, 0.1 * first_linear) + bias2
    # The first kink is near the input 5 and the second near the input 4; both inputs may lie on either side.
    assert (first_linear < 0)[5:].all()
    assert (second_linear < 0)[:3].all()
    assert not ((first_linear < 0) & (second_linear < 0)).any()


@pytest.mark.parametrize("start", [(), (0.0, 1.0, 2.0), (0.0, 1.0, math.nan, 0.0), (0.0, 1.0, 1e3, 0.0)])
def test_start_out_of_range_is_refused_by_name(start):
    with pytest.raises(UsageError, match=r"^start: got"):
        LeakyReluPairSettings(start=start)
