"""Paths that no mode of torch shows are found by passes with other noisy values; other operations keep the chain."""

import threading

import pytest
import torch
from torch.utils._python_dispatch import _disable_current_modes

from layerbits.networks.passes.interventions import _groups
from tests.support.dependence import Forward, graph, graph_past_b

pytestmark = pytest.mark.usefixtures("one_thread")


def without_modes(x):
    values = torch.zeros(2, 4)
    with _disable_current_modes():
        values.copy_(x)
    return values


def without_functions(x):
    values = torch.zeros(2, 4)
    with torch._C.DisableTorchFunction():
        values.numpy()[:] = x.numpy()
    return values


def by_another_thread(x):
    values = torch.zeros(2, 4)
    thread = threading.Thread(target=lambda: values.copy_(x))
    thread.start()
    thread.join()
    return values


@pytest.mark.parametrize("source", ["input", "layer"])
@pytest.mark.parametrize("way", [without_modes, without_functions, by_another_thread])
def test_values_past_every_mode_are_found_if_they_act(way, source):
    dependence = graph_past_b(way, 1.0, source)
    assert "paths between layers that its operations do not show" in dependence.unknown
    assert dependence.cuts("c") == ()


@pytest.mark.parametrize(
    "way", [torch.zeros_like, lambda x: x.detach() * 0 + 1, lambda x: x.new_ones(2, 4).numpy()[0, 0]]
)
def test_a_layer_after_operations_that_pass_nothing_on_keeps_its_chain(way):
    def forward(net, x):
        return net.c(net.b(net.a(x)) + torch.as_tensor(way(torch.ones(2, 4))))

    assert graph(Forward(forward), ["a", "b", "c"]).cuts("c") == ("a", "b")


@pytest.mark.parametrize("n_layers", [1, 2, 3, 7])
def test_every_layer_is_changed_without_each_other_layer(n_layers):
    layers = [str(index) for index in range(n_layers)]
    groups = list(_groups(layers))
    for layer in layers:
        for other in layers:
            assert layer == other or any(layer in group and other not in group for group in groups)
