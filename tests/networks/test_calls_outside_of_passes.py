"""Calls of layers whose noise differs by call, outside of a pass of the network, and in another thread than forward."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from layerbits import LayerSelectionError, layers, noise_off, noisify

ZEROS = torch.zeros(1000, 2)
OUTSIDE = r"^layers: got 'act', whose calls differ in their noise, outside of a pass"


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.act, self.fails = nn.Identity(), False

    def encode(self, x):
        return self.act(x)

    def forward(self, x):
        first = self.encode(x)
        if self.fails:
            raise ValueError
        return torch.stack([first, self.act(first) - first])


class Outer(nn.Module):
    """Calls a part of its encoder, which is noisy by itself."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, x):
        return self.encoder.encode(x)


def noisy(first=0.1, second=0.5):
    return noisify(Encoder(), sigma={"act": first, "act@2": second}, layers="act@*", inputs=ZEROS)


CALLS = {
    "method": Encoder.encode,
    "layer": lambda model, x: model.act(x),
    "forward": Encoder.forward,
    "outer network": lambda model, x: Outer(model)(x),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_call_outside_of_a_pass_is_refused_before_and_behind_passes(call):
    """Without the error, the noise would depend on the calls before."""
    model = noisy()
    for _ in range(2):
        with pytest.raises(LayerSelectionError, match=OUTSIDE):
            call(model, ZEROS)
        assert model(ZEROS).std(dim=(1, 2)).tolist() == pytest.approx([0.1, 0.5], rel=0.1)  # 6 standard errors
    model.fails = True
    with pytest.raises(ValueError, match=r"^$"):
        model(ZEROS)
    with pytest.raises(LayerSelectionError, match=OUTSIDE):
        call(model, ZEROS)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # from torch's own code
def test_compiled_call_outside_of_a_pass_is_refused():
    torch.compiler.reset()
    model = noisy()
    torch.compile(model, backend="eager")(ZEROS)
    with pytest.raises(LayerSelectionError, match=OUTSIDE):
        torch.compile(model.encode, backend="eager")(ZEROS)
    torch.compiler.reset()


def test_call_outside_of_a_pass_is_free_of_noise_if_it_is_off():
    model = noisy()
    with noise_off(model):
        assert torch.equal(model.encode(ZEROS), ZEROS)
        assert torch.equal(model(ZEROS), torch.zeros(2, 1000, 2))


def test_call_outside_of_a_pass_has_the_noise_that_all_calls_share():
    assert noisy(0.2, 0.2).encode(ZEROS).std().item() == pytest.approx(0.2, rel=0.1)


class Branches(nn.Module):
    """Runs a branch in another thread."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Sequential(nn.Linear(2, 2), nn.Tanh()), nn.Sequential(nn.Linear(2, 2), nn.Tanh())

    def forward(self, x):
        with ThreadPoolExecutor(1) as executor:
            other = executor.submit(self.second, x)
            return torch.cat([self.first(x), other.result()], dim=1).sum(1, keepdim=True)


@pytest.mark.parametrize("function", [layers, lambda model, x: noisify(model, sigma=0.1, inputs=x)])
def test_modules_in_another_thread_than_forward_are_refused(function):
    """There `noise_off` would not hold, and functions would have no noise."""
    with pytest.raises(LayerSelectionError, match=r"^model: got a network whose forward calls 'second.*another thread"):
        function(Branches(), ZEROS)
