"""The experiment szt-linear: compression without saturation, and the accuracy of a linear network."""

import math

import pytest

from layerbits.experiments.szt.noisy_network import SZT_LINEAR
from layerbits.experiments.szt.settings import NoisySettings
from layerbits.training import read_information, read_training

SMALL = {"epochs": 150, "learning_rate": 5e-3, "evaluations": 4, "measurements": 3, "draws": 8, "queries": 4,
         "scatter_epochs": (150,)}  # fmt: skip


@pytest.fixture(scope="module")
def folder(quick_run):
    return quick_run("szt-linear", **SMALL)


def test_network_has_no_activation_functions():
    modules = SZT_LINEAR.network(NoisySettings()).children()
    assert {type(module).__name__ for module in modules} == {"Linear"}


def test_last_layer_is_compressed_without_saturation(folder):
    tables = read_information(folder / "information.csv")
    last_layer = [table["linear5", "I(X;T)"] for table in tables.values()]
    # The fall between the intervals is 0.87 nats with this seed. With other seeds the fall can be 0, because it depends
    # on the initial network. Differences between machines change the fall by less than the margin of 0.37 nats.
    assert max(row.lower for row in last_layer) - last_layer[-1].upper > 0.5


def test_first_layer_loses_no_information(folder):
    tables = read_information(folder / "information.csv")
    assert all(table["linear1", "I(X;T)"].lower > math.log(4096) - 0.01 for table in tables.values())


def test_accuracy_is_that_of_a_linear_classifier(folder):
    accuracy = read_training(folder / "training.csv")[-1].accuracy
    # A linear classifier reaches about 89 %, the tanh network 97 %. Four standard errors of 819 test inputs are 4.4 %.
    assert accuracy == pytest.approx(0.89, abs=0.044)
