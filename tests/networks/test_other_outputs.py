"""Layers that return several tensors: a flag says whether the network uses another than the first, the signal."""

import collections

import pytest
import torch
from torch import nn

import layerbits as lb
from layerbits.networks.execution.output_tensor import all_tensors


class Recurrent(nn.Module):
    """An LSTM and a head that reads its outputs, its last hidden state, or both."""

    def __init__(self, reads):
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.head, self.tanh = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2), nn.Tanh()
        self.last, self.reads = nn.Linear(2, 2), reads

    def forward(self, x):
        outputs, (hidden, _) = self.lstm(x)
        values = {"outputs": outputs[:, -1], "hidden": hidden[0], "both": outputs[:, -1] + hidden[0]}[self.reads]
        return self.last(self.tanh(self.head(values)))


@pytest.fixture
def inputs():
    return torch.randn(30, 5, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("reads", "flags"), [("outputs", ()), ("hidden", ("other_output",)), ("both", ("other_output",))]
)
def test_the_flag_says_whether_another_tensor_is_used(inputs, reads, flags):
    model = lb.noisify(Recurrent(reads), sigma=0.1, layers=["lstm", "tanh"], inputs=inputs)
    table = lb.layer_information(model, inputs, draws=4)
    assert {row.flags for row in table if row.layer == "lstm"} == {flags}
    assert {row.flags for row in table if row.layer == "tanh"} == {()}


def test_there_is_no_audit_against_a_layer_that_is_in_no_chain(inputs):
    """Only the outputs of `lstm` have its large noise, and nothing reads them: the later layer has more information."""
    model = lb.noisify(
        Recurrent("hidden"), sigma={"lstm": 100.0, "tanh": 0.001}, layers=["lstm", "tanh"], inputs=inputs
    )
    table = lb.layer_information(model, inputs, draws=4)
    assert table["tanh", "I(X;T)"].lower > table["lstm", "I(X;T)"].upper
    assert "before it" not in table["tanh", "I(X;T)"].note


def test_randomness_of_the_network_itself_does_not_set_the_flag(inputs):
    class Random(Recurrent):
        def forward(self, x):
            return super().forward(x) + torch.randn(2)

    model = lb.noisify(Random("outputs"), sigma=0.1, layers=["lstm", "tanh"], inputs=inputs)
    assert {row.flags for row in lb.layer_information(model, inputs, draws=4)} == {()}


class Twice(nn.Module):
    """A layer that returns its signal twice, in a container, and a head that reads one of the two."""

    def __init__(self, container, reads):
        super().__init__()
        torch.manual_seed(0)
        self.part, self.head = Held(container), nn.Linear(4, 2)
        self.reads = reads

    def forward(self, x):
        return self.head(list(all_tensors(self.part(x)))[self.reads])


class Held(nn.Linear):
    def __init__(self, container):
        super().__init__(3, 4)
        self.container = container

    def forward(self, x):
        signal = super().forward(x).tanh()
        return self.container(signal, signal)


CONTAINERS = {
    "list": lambda first, second: [first, second],
    "named tuple": collections.namedtuple("Pair", "first second"),
    "nested": lambda first, second: {"a": (first, {"b": second})},
}


@pytest.mark.parametrize(("reads", "flags"), [(0, ()), (1, ("other_output",))], ids=["first", "second"])
@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_signal_that_is_returned_twice_has_the_flag_where_its_copy_without_noise_is_used(container, reads, flags):
    inputs = torch.randn(30, 3, generator=torch.Generator().manual_seed(1))
    model = lb.noisify(Twice(container, reads), sigma=0.1, layers="part", inputs=inputs)
    assert lb.layer_information(model, inputs, draws=4)["part", "I(X;T)"].flags == flags
