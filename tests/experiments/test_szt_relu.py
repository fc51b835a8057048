"""The experiment szt-relu: noise and the training decide what the last layer keeps, not saturation."""

import math

import pytest
from layerbits.experiments.szt.szt_relu import Config, network, variants

from layerbits._base import UsageError
from layerbits.experiments.szt import szt_relu
from layerbits.training import read_information, read_training


def last_layer(folder):
    tables = read_information(folder / "information.csv")
    return {epoch: table["relu5", "I(X;T)"] for epoch, table in tables.items()}


def test_information_of_the_last_layer_rises_far_from_saturation_where_noise_is_strong(quick_run):
    rows = list(last_layer(quick_run("szt-relu") / "relu-0.1").values())
    # At first nothing is told through five layers of such noise; a binary label alone needs log 2 to be told.
    assert rows[0].upper < math.log(2) < rows[-1].lower


def test_noise_of_a_tenth_leaves_less_information_than_of_a_two_hundredth_for_400_epochs(quick_run):
    weak, strong = (last_layer(quick_run("szt-relu") / variant) for variant in ("relu-0.005", "relu-0.1"))
    assert weak.keys() == strong.keys()
    assert all(strong[epoch].upper < weak[epoch].lower for epoch in weak)


def test_first_layer_regains_what_noise_took_from_it(quick_run):
    tables = read_information(quick_run("szt-relu") / "relu-0.1" / "information.csv")
    first = [table["relu1", "I(X;T)"] for table in tables.values()]
    assert first[0].upper < first[-1].lower


def test_networks_learn(quick_run):
    for variant in ("relu-0.005", "relu-0.1"):
        accuracy = read_training(quick_run("szt-relu") / variant / "training.csv")[-1].accuracy
        # Seen .91 to .93 with three seeds; .87 is 4 standard errors of 819 test inputs below, blind guessing is .52.
        assert accuracy > 0.87


def test_networks_of_an_activation_start_from_the_same_weights():
    weak, strong = (network(Config(), "relu", sigma).model for sigma in (0.005, 0.1))
    assert weak.linear3.weight.equal(strong.linear3.weight)


def test_names_tell_activation_and_noise():
    config = Config(activations=("gelu",), sigmas=(0.005, 1.0))
    assert [name for name, *_ in variants(config)] == ["gelu-0.005", "gelu-1"]


@pytest.mark.parametrize("name", szt_relu.ACTIVATIONS)
def test_every_activation_gets_its_noise(name):
    assert len(network(Config(), name, 0.1).layer_names) == 5


@pytest.mark.parametrize(
    "change",
    [
        {"activations": ("sine",)}, {"activations": ()}, {"activations": ("relu", "relu")}, {"sigmas": (0.1, 0.1)},
        {"sigmas": (0.1, 0.1000000001)}, {"sigmas": (0.1, 0.0)}, {"tolerance": 1e-7},
        {"draws": 2**15}, {"max_draws": 2**15}, {"evaluations": 2**24}, {"measurements": 2**24}, {"widths": (2048, 3)},
    ],
)  # fmt: skip
def test_setting_out_of_range_is_refused_by_name(change):
    with pytest.raises(UsageError, match=next(iter(change))):
        Config(**change)
