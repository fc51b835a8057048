"""Which layers count as functions of the input, whose channel is known: those that the operations of the pass show."""

import pytest
import torch
from torch import nn

from layerbits import layer_information, noisify
from tests.support.random_arrays import normal_tensor

INPUTS = normal_tensor(32, 4, seed=2).float()

pytestmark = pytest.mark.usefixtures("one_thread")


class Forward(nn.Module):
    """A network with layers a and b, and a forward method given as a function of the network and its input."""

    def __init__(self, forward):
        super().__init__()
        self.given_forward, self.a, self.b = forward, nn.Tanh(), nn.Tanh()

    def forward(self, x):
        return self.given_forward(self, x)


def exact_layers(forward, *, sigma=None, inputs=INPUTS, draws=4):
    """Return the layers, among a and b, whose channel counts as known."""
    model = Forward(forward)
    if sigma is None:
        model = noisify(model, sigma=0.3, layers=["a", "b"], inputs=inputs[:2])
        table = layer_information(model, inputs, draws=draws)
    else:
        table = layer_information(model, inputs, sigma=sigma, layers=["a", "b"], draws=draws)
    return "".join(row.layer for row in table if row.quantity == "I(X;T)" and row.decoder == "exact")


def chain(net, x):
    return net.b(net.a(x)).sum(1)


def parallel_branches(net, x):
    return (net.a(x) + net.b(2 * x)).sum(1)


def rare_random_numbers(net, x):
    """No draw of 32 inputs is likely to differ from another."""
    return net.b(net.a(x + 9 * (torch.rand(len(x), 1) < 1e-6))).sum(1)


def rare_random_numbers_of_the_second_layer(net, x):
    return (net.a(x) + net.b(x + 9 * (torch.rand(len(x), 1) < 1e-6))).sum(1)


def number_of_the_input(net, x):
    return net.b(net.a(2 * x if x.abs().max() > 1e9 else x)).sum(1)


def other_order_for_some_inputs(net, x):
    """The first two inputs, which show the layers, run a before b; a pass of all inputs runs b before a."""
    if len(x) > 3:
        return net.a(net.b(x)).sum(1) + 0 * x.sum(1).max().item()
    return net.b(net.a(x)).sum(1) + 0 * x.sum(1).max().item()


def random_numbers_for_some_inputs(net, x):
    a = net.a(x)
    noise = torch.randn(len(x), 1) if len(x) > 3 else 0
    return (a + net.b(x + 1e-30 * noise)).sum(1) + 0 * x.sum(1).max().item()


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (chain, "a"),
        (parallel_branches, "ab"),
        (rare_random_numbers, ""),
        (rare_random_numbers_of_the_second_layer, "a"),
        (number_of_the_input, "a"),
    ],
)
def test_layers_of_a_noisy_network(forward, expected):
    assert exact_layers(forward) == expected


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (chain, "ab"),
        (rare_random_numbers, ""),
        (rare_random_numbers_of_the_second_layer, "a"),
        (number_of_the_input, "ab"),
        (random_numbers_for_some_inputs, "a"),
    ],
)
def test_layers_of_a_network_without_noise(forward, expected):
    assert exact_layers(forward, sigma=0.3) == expected


def test_layers_that_change_places_with_the_number_of_rows_are_refused():
    with pytest.raises(ValueError, match=r"^inputs: got rows that act on one another: in 'a'"):
        exact_layers(other_order_for_some_inputs)


def test_single_draw_is_refused_behind_random_numbers_of_the_network():
    with pytest.raises(ValueError, match="draws: got 1, wanted at least 2, because 'a' lies behind noise"):
        exact_layers(rare_random_numbers, draws=1)
    assert exact_layers(parallel_branches, draws=1) == "ab"
