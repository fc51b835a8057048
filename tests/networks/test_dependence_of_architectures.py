"""Which layers are a chain in residual, convolutional, recurrent and transformer networks."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from layerbits import noisify
from layerbits.networks import noisy_network, read_inputs
from tests.support.dependence import INPUTS, Forward, graph

pytestmark = pytest.mark.usefixtures("one_thread")


class Residual(nn.Module):
    """Blocks x + branch(x); the noise is on the sums (`Identity`) or in the branches (`ReLU`)."""

    def __init__(self, inplace=True):
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(2, 2, 3, padding=1) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(2) for _ in range(3))
        self.relus = nn.ModuleList(nn.ReLU(inplace=inplace) for _ in range(3))
        self.sums = nn.ModuleList(nn.Identity() for _ in range(3))

    def forward(self, x):
        for convolution, norm, relu, total in zip(self.convolutions, self.norms, self.relus, self.sums, strict=True):
            x = total(x + relu(norm(convolution(x))))
        return x.mean((2, 3))


IMAGES = torch.randn(4, 2, 5, 5, generator=torch.Generator().manual_seed(2))


def all_cuts(dependence):
    return [dependence.cuts(layer) for layer in dependence.sources]


def is_chain_of(dependence, *names):
    return all_cuts(dependence) == [names[:index] for index in range(len(names))]


def test_noise_on_the_sums_of_a_residual_network_makes_a_chain():
    dependence = graph(Residual(), nn.Identity, IMAGES)
    assert is_chain_of(dependence, "sums.0", "sums.1", "sums.2")
    assert dependence.is_function_of("sums.1", "sums.0")


@pytest.mark.parametrize("inplace", [False, True])
def test_noise_in_the_branches_of_a_residual_network_makes_no_chain(inplace):
    dependence = graph(Residual(inplace), nn.ReLU, IMAGES)
    assert all_cuts(dependence) == [(), (), ()]
    assert dependence.is_function_of_input("relus.0")
    assert not dependence.is_function_of_input("relus.1")


@pytest.mark.parametrize("inplace", [False, True])
def test_convolutional_network_is_a_chain(inplace):
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5),
        nn.Linear(3, 4), nn.ReLU(inplace), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2),
    )  # fmt: skip
    assert is_chain_of(graph(model, [nn.ReLU, nn.Tanh], IMAGES), "2", "7", "9")


class Encoder(nn.Module):
    """Pre-norm transformer blocks with `torch.nn.functional` attention and learnt positions."""

    def __init__(self):
        super().__init__()
        self.embedding, self.positions = nn.Embedding(7, 4), nn.Parameter(torch.randn(5, 4))
        self.attention = nn.ModuleList(nn.MultiheadAttention(4, 2, dropout=0.1, batch_first=True) for _ in range(2))
        self.norms, self.gelu = nn.ModuleList(nn.LayerNorm(4) for _ in range(2)), nn.GELU()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 4)
        self.streams = nn.ModuleList(nn.Identity() for _ in range(2))

    def forward(self, tokens):
        x = self.embedding(tokens) + self.positions
        mask = torch.ones(5, 5, dtype=torch.bool).triu(1)
        for attention, norm, stream in zip(self.attention, self.norms, self.streams, strict=True):
            y = norm(x)
            x = x + attention(y, y, y, attn_mask=mask, need_weights=False)[0]
            x = stream(x + self.last(self.gelu(self.first(norm(x)))))
        return x.mean(1)


TOKENS = torch.randint(7, (4, 5), generator=torch.Generator().manual_seed(3))


def test_noise_on_the_stream_of_a_transformer_makes_a_chain():
    assert is_chain_of(graph(Encoder(), nn.Identity, TOKENS), "streams.0", "streams.1")


def test_noise_in_the_blocks_of_a_transformer_makes_no_chain():
    assert all_cuts(graph(Encoder(), nn.GELU, TOKENS)) == [(), ()]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_other_output_of_a_recurrent_layer_is_a_path(kind):
    class Network(nn.Module):
        def __init__(self, uses_state):
            super().__init__()
            self.rnn, self.tanh, self.uses_state = kind(4, 4, batch_first=True), nn.Tanh(), uses_state

        def forward(self, x):
            output, state = self.rnn(x)
            last = state[0] if isinstance(state, tuple) else state
            return self.tanh(output[:, -1] + (last[0] if self.uses_state else 0)).sum(1)

    sequences = torch.randn(4, 3, 4)
    assert graph(Network(uses_state=False), ["rnn", "tanh"], sequences).cuts("tanh") == ("rnn",)
    assert graph(Network(uses_state=True), ["rnn", "tanh"], sequences).cuts("tanh") == ()


def test_layer_called_twice_is_two_layers():
    model = Forward(lambda net, x: net.a(net.linear(net.a(x))))
    assert is_chain_of(graph(model, ["a", "a@2"]), "a", "a@2")


def test_functional_layers_in_place_are_a_chain():
    class Functions(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            values = self.first(x)
            functional.relu(values, inplace=True)
            values = self.second(values)
            torch.tanh_(values)
            return values.sum(1)

    assert is_chain_of(graph(Functions(), None), "relu", "tanh")


@pytest.mark.parametrize("wrap", [partial(torch.compile, backend="eager"), nn.DataParallel])
def test_wrapped_network_has_the_graph_of_the_network(wrap):
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
    noisy = noisify(model, sigma=0.1)
    wrapped = wrap(noisy)
    assert is_chain_of(noisy_network(wrapped, read_inputs(INPUTS, noisy)).dependence, "1", "3")


def test_single_input_is_enough():
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
    assert is_chain_of(graph(model, inputs=INPUTS[:1]), "1", "3")
