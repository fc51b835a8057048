"""Networks with a given forward method, and the graph of what acts on their layers."""

import torch
from torch import nn

from layerbits import noisify
from layerbits.networks import noisy_network, read_inputs

INPUTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))


class Forward(nn.Module):
    """A network with layers a, b, c, a linear map and a forward method given as a function of the network and input."""

    def __init__(self, forward):
        super().__init__()
        self.given_forward = forward
        self.a, self.b, self.c, self.linear = nn.Tanh(), nn.Tanh(), nn.Tanh(), nn.Linear(4, 4)
        self.register_buffer("memory", torch.zeros(1, 4))

    def forward(self, x):
        return self.given_forward(self, x)


def graph(model, layers=nn.Tanh, inputs=INPUTS):
    noisy = noisify(model, sigma=0.1, layers=layers)
    return noisy_network(noisy, read_inputs(inputs, noisy)).dependence


def cuts(forward):
    """Return the layers that are a cut before b and c, as one string for each."""
    dependence = graph(Forward(forward), ["a", "b", "c"])
    assert not dependence.unknown
    return "".join(dependence.cuts("b")), "".join(dependence.cuts("c"))


def reason(forward):
    """Return why the graph is unknown, where no layer is a cut, or a function of the input or of another layer."""
    dependence = graph(Forward(forward), ["a", "b", "c"])
    assert dependence.cuts("c") == ()
    assert not dependence.is_function_of_input("a")
    assert not dependence.is_function_of("b", "a")
    return dependence.unknown


def graph_past_b(way, factor, source):
    """Return the graph of a network in which `factor` times `way` of the input, or of layer a, acts on c past b."""

    def forward(net, x):
        a = net.a(x)
        return net.c(net.b(2 * a) + factor * way(x if source == "input" else a))

    # The first rows of two inputs are the last rows too.
    return graph(Forward(forward), ["a", "b", "c"], INPUTS[:2])
