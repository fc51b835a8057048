"""Networks whose forward method changes their state: every pass of a measurement begins with the same state."""

import pytest
import torch
from torch import nn

import layerbits as lb

INPUTS = torch.tensor([[-1.0], [-0.5], [0.0], [0.5]])


class Counter(nn.Module):
    """Adds the number of its calls to the input; the number is a buffer, a tensor or a number."""

    def __init__(self, kind):
        super().__init__()
        self.act = nn.Tanh()
        if kind == "buffer":
            self.register_buffer("calls", torch.zeros(()))
        else:
            self.calls = torch.zeros(()) if kind == "tensor" else 0

    def forward(self, x):
        self.calls += 1
        return 1 * self.act(x + self.calls)


class Membrane(nn.Module):
    """Adds a potential that grows in each call, in a new tensor."""

    def __init__(self):
        super().__init__()
        self.act, self.potential = nn.Tanh(), torch.zeros(())

    def forward(self, x):
        self.potential = 0.9 * self.potential + 1
        return 1 * self.act(x + self.potential)


@pytest.fixture(params=["buffer", "tensor", "number", "membrane"])
def make(request):
    return Membrane if request.param == "membrane" else lambda: Counter(request.param)


def test_passes_begin_with_the_state_of_the_network(make):
    expected = torch.tanh(INPUTS + 1)
    torch.testing.assert_close(lb.layer_activations(make(), INPUTS)["act"], expected, rtol=0, atol=0)
    noisy = lb.noisify(make(), sigma=0.3, layers="act", inputs=INPUTS)
    for signals in lb.propagate(noisy, INPUTS, draws=3, chunk=4)["act"].unbind(1):
        torch.testing.assert_close(signals, expected, rtol=0, atol=0)


def test_information_is_that_of_the_first_call(make):
    row = lb.layer_information(make(), INPUTS, sigma=0.3)["act", "I(X;T)"]
    true_value = lb.information(torch.tanh(INPUTS + 1), 0.3, queries=2**16).rows[0].value
    assert row.lower <= true_value <= row.upper


def test_state_is_restored_in_inference_mode():
    with torch.inference_mode():
        signals = lb.layer_activations(Counter("buffer"), INPUTS)["act"]
    assert signals.equal(torch.tanh(INPUTS + 1))


def test_network_keeps_its_state():
    model = Counter("buffer")
    lb.layer_information(model, INPUTS, sigma=0.3)
    assert model.calls == 0
