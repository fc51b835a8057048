"""The experiment leaky-relu-pair: both neurons compress, and intervals hold the truth by quadrature."""

import dataclasses
import math

import numpy as np
import pytest
from layerbits.experiments.scalar.study import Neuron

from layerbits._base import UsageError
from layerbits.experiments.framework.tables import read_table
from layerbits.experiments.scalar import leaky_relu_pair
from layerbits.experiments.scalar import study as scalar
from layerbits.experiments.scalar.leaky_relu_pair import STUDY, Config
from layerbits.training import read_information, read_training

LAYERS = ("neuron1", "neuron2")


def curve(folder, layer):
    return [table[layer, "I(X;T)"] for table in read_information(folder / "information.csv").values()]


def truths(folder, layer):
    return [neuron.truth for neuron in read_table(folder / "neurons.csv", Neuron) if neuron.layer == layer]


def test_start_is_that_of_the_public_code():
    config = Config()
    noisy = scalar.network(STUDY, [config.start[:2], config.start[2:]], config.sigma)
    assert [parameter.item() for parameter in noisy.parameters()] == [0.0, 4.5, -1.0, 0.0]
    with noisy.noise_off():
        signals = noisy(STUDY.data()[0])
    np.testing.assert_allclose(signals.detach().numpy(), -0.45, rtol=1e-14)  # 4.5, and a tenth of -4.5 behind it


def test_run_leaves_all_its_files(quick_run):
    names = {path.name for path in quick_run("leaky-relu-pair").iterdir()}
    tables = {"run.json", "training.csv", "information.csv", "information.json", "neurons.csv"}
    assert names == tables | {"checkpoints", "leaky-relu-pair.png"}


@pytest.mark.parametrize("layer", LAYERS)
def test_intervals_hold_the_truth(quick_run, layer):
    folder = quick_run("leaky-relu-pair")
    rows, known = curve(folder, layer), truths(folder, layer)
    held = [row.lower - 1e-9 <= truth <= row.upper + 1e-9 for row, truth in zip(rows, known, strict=True)]
    assert len(held) == 23
    # Of 23 intervals of 95 % as many as 8 fail by a chance of 1e-5.
    assert held.count(False) < 8


def test_first_neuron_tells_all_inputs_apart_before_it_compresses(quick_run):
    folder = quick_run("leaky-relu-pair")
    rows = curve(folder, "neuron1")
    assert rows[0].upper < 0.2  # the weight starts at 0, which tells nothing
    assert max(row.lower for row in rows) > math.log(8) - 1e-3  # neighbours are .36 apart and more, 7 sigmas
    # In the end the four inputs beyond the kink are less than 2 sigmas apart: confused by more than .2 nats on average.
    assert rows[-1].upper < math.log(8) - 0.2
    assert max(truths(folder, "neuron1")) - truths(folder, "neuron1")[-1] > 0.25


def test_second_neuron_compresses_to_two_clusters(quick_run):
    folder = quick_run("leaky-relu-pair")
    rows = curve(folder, "neuron2")
    assert rows[0].lower == 0
    # At the peak the inputs 5 to 8 lie .1 apart and less, and at the end .02: the fall is a good tenth of a nat.
    assert max(row.lower for row in rows) > rows[-1].upper
    # Two clusters, 5 sigmas apart, would have log 2; the shallow sides leave them some width, sigma / 2 each.
    assert math.log(2) < truths(folder, "neuron2")[-1] < math.log(2) + 0.125
    assert read_training(folder / "training.csv")[-1].accuracy > 0.9


def test_no_input_is_on_the_shallow_side_of_both_neurons(quick_run):
    """Compression from both ends, by activations that saturate on one side each."""
    last = read_table(quick_run("leaky-relu-pair") / "neurons.csv", Neuron)[-2:]
    (weight1, bias1), (weight2, bias2) = ((neuron.weight, neuron.bias) for neuron in last)
    first = weight1 * np.array(STUDY.inputs) + bias1
    second = weight2 * np.maximum(first, 0.1 * first) + bias2
    # The kinks come to lie beside the inputs 5 and 4, on whichever side.
    assert (first < 0)[5:].all()
    assert (second < 0)[:3].all()
    assert not ((first < 0) & (second < 0)).any()


def test_quick_settings_are_settings():
    assert dataclasses.replace(Config(), **leaky_relu_pair.QUICK).epochs < Config().epochs


@pytest.mark.parametrize("start", [(), (0.0, 1.0, 2.0), (0.0, 1.0, math.nan, 0.0), (0.0, 1.0, 1e3, 0.0)])
def test_start_out_of_range_is_refused_by_name(start):
    with pytest.raises(UsageError, match=r"^start: got"):
        Config(start=start)
