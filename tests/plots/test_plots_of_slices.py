"""Plots of tables in which whole layers and slices have different quantities."""

import pytest
import torch
from torch import nn

import layerbits as lb
from layerbits.plots.over_epochs import limit_label


@pytest.fixture(scope="module")
def history():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    inputs, labels = torch.randn(12, 3, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 2
    table = lb.layer_information(model, inputs, labels, sigma=0.5, readout=[None, lb.RandomSlices(1, 16)])
    return lb.InformationHistory({1: table, 2: table}, 0.95, False)


@pytest.mark.parametrize(("symbol", "layer"), [("I", "1"), ("SI_1", "1[random 1 x 16]")])
def test_plots_show_the_layers_that_have_the_quantity(history, symbol, layer):
    axes = lb.plots.curves(history, f"{symbol}(X;T)")
    assert axes.get_legend_handles_labels()[1] == [layer]
    plane = lb.plots.information_plane(history, quantities=(f"{symbol}(X;T)", f"{symbol}(T;Y)"))
    assert plane.get_legend_handles_labels()[1] == [layer]


def test_intervals_show_every_layer_with_its_quantities(history):
    axes = lb.plots.intervals(history[1])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1", "1[random 1 x 16]"]


def test_limits_of_slices_are_those_of_the_layer(history):
    limits = history[1].limits
    assert limits["SI_1(X;T)"] == limits["I(X;T)"]
    assert limits["SI_1(X;T|Y)"] == limits["I(X;T|Y)"]
    assert limit_label("SI_1(X;T)", limits["SI_1(X;T)"], "nats") == "log 12"
    assert limit_label("PI_2(T;Y)", 0.7, "nats") == "H(Y)"
    assert limit_label("LI_1(X;T|digit)", 0.7, "nats") == "H(X|digit)"
